"""A comparison for programs: plain values, ready for JSON."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from resnet_cluster.report.comparison import Contender, Contrast
from resnet_cluster.report.comparison_wording import Labels, verdict_text
from resnet_cluster.report.naming import model_name
from resnet_cluster.report.resampling import DRAWS, Interval
from resnet_cluster.report.statistics import spread


def comparison_object(
    contenders: Sequence[Contender], contrasts: Sequence[Contrast], labels: Labels
) -> dict[str, Any]:
    """All that was found; errors in percent, differences in percentage points."""
    identity, setup = contenders[0].group.identity, contenders[0].group.figures[0].run.setup
    return {
        "dataset": setup.dataset.name,
        "dataset_sha256": identity.dataset_sha256,
        "num_test_images": setup.dataset.num_test_images,
        "split": identity.split,
        "protocol": identity.protocol,
        "bootstrap_draws": DRAWS,
        "groups": [_group(each, labels) for each in contenders],
        "pairs": [_pair(each, labels, is_family=len(contrasts) > 1) for each in contrasts],
    }


def _group(contender: Contender, labels: Labels) -> dict[str, Any]:
    group = contender.group
    over = spread(group.errors)
    return {
        "label": labels[group],
        "name": group.name,
        "model": model_name(group.figures[0].run.setup.job.model),
        "run_ids": list(group.run_ids),
        "seeds": [one.run.seed for one in group.figures],
        "top1_errs": list(group.errors),
        "mean_top1_err": over.mean,
        "std_top1_err": over.std,
        "n": over.n,
        "has_predictions": contender.wrong is not None,
        "marks": list(group.marks),
    }


def _pair(contrast: Contrast, labels: Labels, *, is_family: bool) -> dict[str, Any]:
    return {
        "first": labels[contrast.first],
        "second": labels[contrast.second],
        "difference": contrast.difference,
        "interval": _interval(contrast.interval),
        "bootstrap": _interval(contrast.bootstrap),
        "welch": contrast.welch and asdict(contrast.welch),
        "mcnemar": contrast.mcnemar and asdict(contrast.mcnemar),
        "p": contrast.p,
        "p_holm": contrast.p_holm,
        "outcome": contrast.outcome.value,
        "verdict": verdict_text(contrast, labels, is_family=is_family),
        "needed": contrast.needed and asdict(contrast.needed),
        "images_tell": contrast.images_tell,
        "differs": {each.key: [each.first, each.second] for each in contrast.unlike},
    }


def _interval(interval: Interval | None) -> dict[str, Any] | None:
    if interval is None:
        return None
    return asdict(interval) | {"method": interval.method.value, "over": interval.over.value}
