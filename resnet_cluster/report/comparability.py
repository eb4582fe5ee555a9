"""What keeps a figure of ours from standing beside the paper's: in words, or nothing."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from resnet_cluster.report.experiments import CIFAR10, IMAGENET, Experiment, experiment_of
from resnet_cluster.report.naming import depth_of, model_name
from resnet_cluster.results import AnyFigure, AnyRun, DatasetFacts, Setup
from resnet_cluster.spec import (
    DataSpec,
    ErrorWarmup,
    JobSpec,
    ModelSpec,
    PaperNetSpec,
    ShorterSideJitterSpec,
    StepSchedule,
    TrainSpec,
    recipe_hash,
)

PLAIN_CHOICES = {
    "global_batch_size": "batch {ours}, not {paper}",
    "bn_group": "batch normalisation over {ours} images, not {paper}",
    "lr": "learning rate {ours:g}, not {paper:g}",
    "momentum": "momentum {ours:g}, not {paper:g}",
    "nesterov": "Nesterov's momentum",
    "weight_decay": "weight decay {ours:g}, not {paper:g}",
    "decay_bn_and_bias": "no decay of batch normalisation and biases",
    "label_smoothing": "label smoothing {ours:g}",
    "precision": "{ours} precision",
}
"""Keys of the recipe that differ or do not, and how that is said."""


def differences(run: AnyRun, evaluation: AnyFigure | None) -> tuple[str, ...]:
    """What differs between a run's figure and the paper's of its net; empty where nothing does.

    Runs of one setup differ alike.

    Args:
        run: the run.
        evaluation: the figure; None asks about the run as it was planned, before it has one.
    """
    setup = run.setup
    job, dataset = setup.job, setup.dataset
    experiment = experiment_of(dataset)
    if experiment is None:
        wanted = IMAGENET if job.model.family == "imagenet" else CIFAR10
        return (*_of_origin(setup), f"data set {dataset.name}, not {wanted.dataset}")
    if setup.imported_weights:
        # Of the recipe, the job of such a run says nothing.
        return (
            *_of_origin(setup),
            *_of_model(job.model, experiment),
            *_of_evaluation(job, evaluation, experiment),
        )
    return (
        *_of_model(job.model, experiment),
        *_of_length(setup, evaluation, experiment),
        *_of_dataset(dataset, experiment),
        *_of_transforms(job.data, experiment),
        *_of_recipe(job, experiment),
        *_of_evaluation(job, evaluation, experiment),
    )


def reservations(run: AnyRun, evaluation: AnyFigure | None, *, times: int = 1) -> tuple[str, ...]:
    """What keeps a run from being evidence on the paper's claims, which compare nets with nets.

    As `differences`, but that nets of the same data set are compared among themselves: a copy of
    its pixels is as good, and so is the other reading of the number of training images. Which
    networks the paper's tables have is not asked.

    Args:
        run: the run.
        evaluation: the figure; None asks about the training.
        times: wanted length of the training, in those of the paper.
    """
    setup = run.setup
    experiment = experiment_of(setup.dataset)
    if experiment is None:
        return (f"data set {setup.dataset.name}",)
    return (
        *_of_origin(setup),
        *_of_length(setup, evaluation, experiment, times=times),
        *_of_numbers(setup.dataset, experiment, experiment.other_readings),
        *_of_transforms(setup.job.data, experiment),
        *_of_recipe(setup.job, experiment),
        *_of_evaluation(setup.job, evaluation, experiment),
    )


def _of_origin(setup: Setup) -> Iterator[str]:
    if setup.imported_weights:
        yield "trained elsewhere"


def trained_steps(setup: Setup, evaluation: AnyFigure | None) -> int:
    """Steps of the training behind a figure: selected weights may be older than its end."""
    if evaluation is not None and evaluation.select == "final":
        return evaluation.step
    return setup.num_steps


def course_of(run: AnyRun) -> Hashable:
    """What runs share that were trained alike, whatever their networks and seeds.

    The warm-up is left out: the deepest nets have one.
    """
    setup = run.setup
    train = setup.job.train.model_copy(update={"warmup": None})
    return (
        setup.dataset.sha256,
        setup.dataset.num_train_images,
        recipe_hash(setup.job.model_copy(update={"train": train})),
        setup.num_steps,
        setup.training_semantics,
    )


def _of_model(model: ModelSpec, experiment: Experiment) -> Iterator[str]:
    if not isinstance(model, PaperNetSpec):
        yield f"{model_name(model)}, no network of the paper's"
        return
    if model.family != experiment.family:
        names = {"cifar": "CIFAR's", "imagenet": "ImageNet's"}
        yield f"{names[model.family]} network, not {names[experiment.family]}"
    elif not experiment.rows_of(model):
        yield _missing(model, experiment)
    if model.variant != "v1":
        yield f"variant {model.variant}, not v1"
    if model.blur_pool:
        yield "BlurPool"


def _missing(model: PaperNetSpec, experiment: Experiment) -> str:
    """Why the paper has no such network."""
    depths = {row.depth for row in experiment.rows if row.depth}
    where = "Table 6 has" if experiment is CIFAR10 else "the paper has"
    if model.shortcut == "none":
        is_known = experiment is IMAGENET
        return f"{where} no {model_name(model)}" if is_known else f"{where} no plain nets"
    if model.depth not in depths:
        return f"{where} no {model.depth} layers"
    shortcuts = sorted(
        {row.shortcut for row in experiment.rows if row.depth == model.depth and row.shortcut}
        - {"none"}
    )
    return f"shortcut {model.shortcut}, not {' or '.join(shortcuts)}"


def _of_length(
    setup: Setup, evaluation: AnyFigure | None, experiment: Experiment, *, times: int = 1
) -> Iterator[str]:
    steps = trained_steps(setup, evaluation)
    batch = setup.job.train.global_batch_size
    # Compared by images seen: another batch size is said on its own. Less than an epoch is the
    # rounding between the paper's iterations and whole epochs.
    assert experiment.train.iterations is not None
    paper_images = times * experiment.train.iterations * experiment.train.global_batch_size
    if abs(steps * batch - paper_images) < setup.dataset.num_train_images:
        return
    ours = f"{steps / setup.steps_per_epoch:.3g}"
    paper = f"{paper_images / setup.dataset.num_train_images:.0f}"
    is_shorter = steps * batch < paper_images
    yield f"{ours} of {paper} epochs" if is_shorter else f"{ours} epochs, not {paper}"


def _of_dataset(dataset: DatasetFacts, experiment: Experiment) -> Iterator[str]:
    if not experiment.is_original(dataset):
        formats = dataset.encoding.upper()
        yield "JPEG copy" if formats == "JPEG" else f"{formats} copy, its pixels unchecked"
    yield from _of_numbers(dataset, experiment)


def _of_numbers(
    dataset: DatasetFacts, experiment: Experiment, other_readings: frozenset[int] = frozenset()
) -> Iterator[str]:
    for ours, paper, kind in (
        (dataset.num_train_images, experiment.num_train_images, "training"),
        (dataset.num_test_images, experiment.num_test_images, "test"),
    ):
        if ours != paper and not (kind == "training" and ours in other_readings):
            yield f"{ours:,} of {paper:,} {kind} images"


def _of_transforms(data: DataSpec, experiment: Experiment) -> Iterator[str]:
    paper = experiment.data
    if paper.crop is None:
        yield from _of_padding(data, paper)
    elif data.crop != paper.crop:
        yield _crop_text(data, paper)
    if data.augment.color != paper.augment.color:
        yield "colours augmented" if paper.augment.color == "none" else "colours not augmented"
    if not data.augment.flip:
        yield "no flips"
    if data.normalize == "channel_mean":
        yield "mean colour subtracted, not the mean image"
    elif data.normalize == "channel_mean_std":
        yield "mean colour subtracted and divided by its deviation, not the mean image"
    elif data.normalize == "torchvision":
        yield "normalised by torchvision's constants, not the mean image"


def _of_padding(data: DataSpec, paper: DataSpec) -> Iterator[str]:
    if data.crop:
        yield f"{data.crop.kind.replace('_', ' ')} crops, not padding {paper.augment.pad}"
    elif data.augment.pad != paper.augment.pad:
        yield f"padding {data.augment.pad}, not {paper.augment.pad}"
    if data.view:
        yield f"measured on a centre of {data.view.size} after a resize to {data.view.resize}"


def _crop_text(data: DataSpec, paper: DataSpec) -> str:
    assert isinstance(paper.crop, ShorterSideJitterSpec)
    shortest, longest = paper.crop.shorter_side
    wanted = f"not of {paper.crop.size} from a shorter side of {shortest} to {longest}"
    if data.crop is None:
        return f"no crops, {wanted}"
    if isinstance(data.crop, ShorterSideJitterSpec):
        least, most = data.crop.shorter_side
        return f"crops of {data.crop.size} from a shorter side of {least} to {most}, {wanted}"
    return f"{data.crop.kind.replace('_', ' ')} crops, {wanted}"


def _of_recipe(job: JobSpec, experiment: Experiment) -> Iterator[str]:
    train, paper = job.train, experiment.train
    for key, words in PLAIN_CHOICES.items():
        mine, theirs = getattr(train, key), getattr(paper, key)
        if mine != theirs and key not in experiment.unstated:
            yield words.format(ours=mine, paper=theirs)
    yield from _of_schedule(train, experiment)
    is_warmed = (depth_of(job.model) or 0) >= experiment.fewest_warmed_layers
    yield from _of_warmup(train, experiment.warmup if is_warmed else None)


def _of_warmup(train: TrainSpec, paper: ErrorWarmup | None) -> Iterator[str]:
    """The window over which an error is measured is not stated."""
    warmup = train.warmup
    if paper is None:
        if warmup is not None:
            yield "warm-up"
    elif warmup is None:
        yield "no warm-up"
    elif not isinstance(warmup, ErrorWarmup):
        yield f"{warmup.kind} warm-up"
    elif (warmup.lr, warmup.below) != (paper.lr, paper.below):
        yield (
            f"warm-up at {warmup.lr:g} until below {warmup.below:g} %, "
            f"not {paper.lr:g} and {paper.below:g} %"
        )


def _of_schedule(train: TrainSpec, experiment: Experiment) -> Iterator[str]:
    schedule, paper = train.schedule, experiment.train.schedule
    if schedule.kind != paper.kind:
        yield f"{schedule.kind} schedule, not {paper.kind}"
        return
    ours, theirs = getattr(schedule, "gamma", None), getattr(paper, "gamma", None)
    if ours != theirs:
        yield f"rate multiplied by {ours:g} at a drop, not {theirs:g}"
    if isinstance(schedule, StepSchedule) and isinstance(paper, StepSchedule):
        yield from _of_milestones(_shares(schedule, train), _shares(paper, experiment.train))


def _of_milestones(ours: list[float], theirs: list[float]) -> Iterator[str]:
    # In shares of the length: a shortened run keeps the shape of its schedule.
    paper = CIFAR10.train
    assert paper.iterations is not None
    epoch = CIFAR10.num_train_images / (paper.iterations * paper.global_batch_size)
    is_same = len(ours) == len(theirs) and all(
        abs(mine - their) < epoch for mine, their in zip(ours, theirs, strict=True)
    )
    if not is_same:
        yield f"rate drops at {_percent(ours)}, not {_percent(theirs)}"


def _shares(schedule: StepSchedule, train: TrainSpec) -> list[float]:
    length = train.iterations if train.epochs is None else train.epochs
    assert length is not None
    return [milestone / length for milestone in schedule.milestones]


def _percent(shares: list[float]) -> str:
    return " and ".join(f"{100 * share:.3g} %" for share in shares) or "no point"


def _of_evaluation(
    job: JobSpec, evaluation: AnyFigure | None, experiment: Experiment
) -> Iterator[str]:
    if (evaluation.select if evaluation else job.evaluate.select) != "final":
        yield "weights selected on the hold-out"
    if evaluation.ema if evaluation else job.train.ema is not None:
        yield "moving average of the weights"
    if evaluation is None:
        return
    protocol = experiment.protocols.get(evaluation.protocol)
    rows = experiment.rows_of(job.model)
    if protocol is None:
        yield f"protocol {evaluation.protocol}, not {experiment.protocols_text}"
    elif rows and protocol not in {row.protocol for row in rows}:
        yield f"the paper has no {model_name(job.model)} under {protocol}"
    if evaluation.split != "test":
        yield f"{evaluation.split} split, not test"
