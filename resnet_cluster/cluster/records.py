"""What a training reports, as the records of its run."""

from __future__ import annotations

from dataclasses import asdict

from resnet_cluster import training
from resnet_cluster.evaluation import Score
from resnet_cluster.results import EpochRecord, Errors, EvaluationRecord, LayerNorms, NormsRecord


def epoch_record(result: training.EpochResult, attempt: int) -> EpochRecord:
    """A finished epoch."""
    return EpochRecord(
        epoch=result.epoch,
        attempt=attempt,
        step=result.step,
        lr=result.lr,
        train=_errors(result.train),
        holdout=_errors(result.holdout) if result.holdout else None,
        observed_test=_errors(result.observed_test) if result.observed_test else None,
        train_seconds=result.train_seconds,
        images_per_second=result.images_per_second,
    )


def evaluation_record(result: training.FinalResult) -> EvaluationRecord:
    """A figure on the test split."""
    return EvaluationRecord(
        protocol=result.protocol,
        split="test",
        select=result.select,
        ema=result.ema,
        step=result.step,
        errors=_errors(result.score),
    )


def norms_record(result: training.NormsResult) -> NormsRecord:
    """What the layers of a network were like."""
    layers = tuple(LayerNorms(**asdict(layer)) for layer in result.layers)
    return NormsRecord(epoch=result.epoch, step=result.step, layers=layers)


def _errors(score: Score) -> Errors:
    return Errors(**asdict(score))
