"""`--set` and the options beside it: what they change, and what they say of a refusal."""

from __future__ import annotations

from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_values import JOB, SHIPPED

from resnet_cluster.errors import JobError, UsageError
from resnet_cluster.spec import (
    JobSpec,
    LinearWarmup,
    LoadedJob,
    RandomResizedSpec,
    StepSchedule,
    load_job,
)

R20 = SHIPPED / "cifar10_r20.yaml"
DIGITS = SHIPPED / "digits_r20.yaml"


def job_with(*overrides: str, path: Path = R20) -> JobSpec:
    return load_job(path, overrides=overrides).spec


def refusal(*overrides: str, path: Path = R20, **flags: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        load_job(path, overrides=overrides, **flags)
    assert caught.value.exit_code == 2
    assert caught.value.mend
    assert caught.value.message.isprintable()
    return caught.value


@pytest.mark.parametrize(
    ("override", "key", "value"),
    [
        ("train.lr=0.2", "train.lr", 0.2),
        ("train.lr=2e-1", "train.lr", 0.2),
        ("train.lr= 1", "train.lr", 1.0),
        ("train.precision=off", "train.precision", "off"),
        ("train.nesterov=true", "train.nesterov", True),
        ("data.holdout=5000", "data.holdout", 5000),
        ("data.name=/data/my set", "data.name", "/data/my set"),
        ("data.name='7'", "data.name", "7"),
        ("data.name=a=b", "data.name", "a=b"),
        ("data.augment={pad: 0, flip: false}", "data.augment.pad", 0),
        ("train.schedule={kind: cosine}", "train.schedule.kind", "cosine"),
        ("train.schedule={kind: cosine, final_lr: 1e-4}", "train.schedule.final_lr", 1e-4),
        ("train.schedule.milestones=[1, 2.5]", "train.schedule.milestones", (1.0, 2.5)),
        ("train.warmup={kind: linear, length: 5}", "train.warmup.length", 5.0),
        ("train.ema.decay=0.99", "train.ema.decay", 0.99),
        ("resources.gpu=no", "resources.gpu", "no"),
        ("name=other", "name", "other"),
    ],
)
def test_sets_a_value(override: str, key: str, value: object) -> None:
    got: object = job_with(override)
    for part in key.split("."):
        got = getattr(got, part)
    assert got == value
    assert type(got) is type(value)


def test_changes_nothing_else() -> None:
    before, after = job_with(), job_with("train.lr=0.2")
    assert after.model_copy(update={"train": before.train}) == before
    assert after.train.model_copy(update={"lr": before.train.lr}) == before.train


def test_null_takes_away() -> None:
    assert job_with(path=SHIPPED / "cifar10_r110.yaml").train.warmup is not None
    assert job_with("train.warmup=null", path=SHIPPED / "cifar10_r110.yaml").train.warmup is None


def test_a_later_one_goes_over_an_earlier_one() -> None:
    assert job_with("train.lr=1", "train.lr=2").train.lr == 2
    assert job_with("train.ema={decay: 0.5}", "train.ema.decay=0.9").train.ema is not None
    assert job_with("train.ema.decay=0.9", "train.ema=null").train.ema is None


def test_options_of_their_own() -> None:
    job, source = load_job(
        R20, overrides=["name=x", "seed=1"], name="y", seed=2, workers=3, data="/data/z"
    )
    assert (job.name, job.seed, job.resources.workers, job.data.name) == ("y", 2, 3, "/data/z")
    assert source.where(("data", "name")) == "--data /data/z"


@pytest.mark.parametrize(
    ("override", "message", "mend"),
    [
        ("train.lrr=0.2", "--set train.lrr=0.2: unknown key train.lrr", "did you mean train.lr?"),
        ("lr=0.2", "--set lr=0.2: unknown key lr", "did you mean train.lr?"),
        ("trian.lr=0.2", "--set trian.lr=0.2: unknown key trian", "did you mean train?"),
        ("train.lr=fast", "--set train.lr=fast: train.lr is 'fast', and must be", "Learning rate"),
        ("train.lr=true", "--set train.lr=true: train.lr is true, and must be", "Learning rate"),
        ("seed=1.5", "--set seed=1.5: seed is 1.5, and must be a whole number", "seed"),
        ("name=7", "--set name=7: name is 7, and must be text", "a-z"),
        ("train.lr", "--set train.lr: is not a key and a value", "--set train.lr=0.2"),
        ("=1", "--set =1: is not a key and a value", "--set train.lr=0.2"),
        ("", "--set : is not a key and a value", "--set train.lr=0.2"),
        ("train..lr=1", "--set train..lr=1: is not a key and a value", "--set train.lr=0.2"),
        ("train lr=1", "--set train lr=1: is not a key and a value", "--set train.lr=0.2"),
        ("train.lr=", "--set train.lr=: has no value", "null"),
        ("train.lr=[1", "--set train.lr=[1: is not YAML", "--set 'train.lr=\"[1\"'"),
        ("name=[red]x", "--set name=[red]x: is not YAML", "--set 'name=\"[red]x\"'"),
        ("train.lr=*x", "--set train.lr=*x: an alias", "write"),
        ("train.lr=!!int 1", "--set train.lr=!!int 1: the tag", "remove"),
        ("train={lr: 1, lr: 2}", "--set train={lr: 1, lr: 2}: lr is given twice", "keep one"),
        ("train.lr.x=1", "--set train.lr.x=1: train.lr is not a section", "--set train.lr=VALUE"),
        ("train.schedule.milestones.0=1", "milestones is not a section", "milestones=VALUE"),
        ("train.schedule.kind=cosine", "unknown key train.schedule.milestones", "{kind: ...}"),
        ("train.ema.x=1", "--set train.ema.x=1: unknown key train.ema.x", "has decay"),
        ("train.warmup.kind=linear", "--set train.warmup.kind=linear: the key train.warmup", "add"),
        ("train.bn_group=48", "--set train.bn_group=48: train.bn_group 48 does not", "32 or 64"),
        ("evaluate.protocols=[single, single]", "a protocol is listed twice", "once"),
        ("evaluate.select=best_holdout", "--set evaluate.select=best_holdout: ", "data.holdout"),
        ("train.shortened_from=x", "--set train.shortened_from=x: ", "remove"),
        ("train.schedule={kind: cosin}", "--set train.schedule={kind: cosin}: ", "How the rate"),
        (".".join("a" * 150) + "=1", "is not a key and a value", "--set train.lr=0.2"),
        ("train.lr=" + "[" * 5000, "nested more than 32 deep", "nesting"),
        ("train.lr=" + "9" * 5000, "a number of 5000 characters", "shorter"),
    ],
)
def test_refusals(override: str, message: str, mend: str) -> None:
    error = refusal(override)
    assert message in error.message
    assert mend in error.mend


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        ({"name": "../x"}, "--name ../x: name is '../x', and must be text that matches"),
        ({"name": "a\nb"}, r"--name a\nb: name is 'a\nb', and must be text that matches"),
        ({"seed": -1}, "--seed -1: seed is -1, and must be a whole number"),
        ({"workers": 0}, "--workers 0: resources.workers is 0, and must be a whole number"),
        ({"data": ""}, "--data : data.name is '', and must be text"),
    ],
)
def test_refusals_of_options(flags: dict[str, Any], message: str) -> None:
    assert refusal(**flags).message.startswith(message)


def length_of(job: JobSpec) -> tuple[float | None, int | None, str | None]:
    return job.train.epochs, job.train.iterations, job.train.shortened_from


def milestones_of(job: JobSpec) -> tuple[float, ...]:
    assert isinstance(job.train.schedule, StepSchedule)
    return job.train.schedule.milestones


def test_epochs_take_the_place_of_iterations() -> None:
    job = job_with("train.epochs=2")
    assert length_of(job) == (2.0, None, "64000 iterations")
    assert milestones_of(job) == (1.0, 1.5)


def test_iterations_take_the_place_of_epochs() -> None:
    job = job_with("train.iterations=100", path=DIGITS)
    assert length_of(job) == (None, 100, "6 epochs")


def test_a_longer_run_says_so_too() -> None:
    job = job_with("train.iterations=128000")
    assert length_of(job) == (None, 128_000, "64000 iterations")
    assert milestones_of(job) == (64_000.0, 96_000.0)


@pytest.mark.parametrize("override", ["train.iterations=64000", "train.lr=1"])
def test_the_files_own_length_is_no_other(override: str) -> None:
    assert length_of(job_with(override)) == (None, 64_000, None)
    assert milestones_of(job_with(override)) == (32_000.0, 48_000.0)


def test_milestones_that_are_overridden_too_are_taken_as_given() -> None:
    job = job_with("train.epochs=2", "train.schedule.milestones=[0.25]")
    assert milestones_of(job) == (0.25,)
    assert job.train.shortened_from == "64000 iterations"
    whole = job_with("train.schedule={kind: step, milestones: [0.25]}", "train.epochs=2")
    assert milestones_of(whole) == (0.25,)


def test_given_milestones_must_fit_the_new_length() -> None:
    error = refusal("train.epochs=2", "train.schedule.milestones=[5]")
    assert "the milestone 5 is not within the 2 epochs" in error.message
    assert error.message.startswith("--set train.schedule.milestones=[5]: ")


def test_a_linear_warm_up_keeps_its_share(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(JOB.replace("lr: 1e-1", "lr: 1\n  warmup: {kind: linear, length: 640}"))
    job = job_with("train.epochs=5", path=path)
    assert isinstance(job.train.warmup, LinearWarmup)
    assert job.train.warmup.length == 0.5
    given_too = job_with("train.epochs=5", "train.warmup.length=2", path=path)
    assert isinstance(given_too.train.warmup, LinearWarmup)
    assert given_too.train.warmup.length == 2


def test_the_growth_of_crops_keeps_its_share(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    crop = "{kind: random_resized, size: 64, grow: {from_size: 32, begin: 3200, end: 6400}}"
    path.write_text(JOB.replace("  augment: {pad: 2,", f"  crop: {crop}\n  augment: {{pad: 0,"))

    def grown(*overrides: str) -> tuple[float, float]:
        crop = job_with(*overrides, path=path).data.crop
        assert isinstance(crop, RandomResizedSpec)
        assert crop.grow
        return crop.grow.begin, crop.grow.end

    assert grown() == (3200, 6400)
    assert grown("train.epochs=5") == (2.5, 5)
    assert grown("train.epochs=5", "data.crop.grow.begin=1") == (1, 5)


def test_a_warm_up_until_an_error_has_no_length() -> None:
    path = SHIPPED / "cifar10_r110.yaml"
    assert job_with("train.epochs=2", path=path).train.warmup == job_with(path=path).train.warmup


def test_a_recipe_replaced_as_a_whole_is_taken_as_given() -> None:
    recipe = (
        "{global_batch_size: 8, bn_group: 8, epochs: 3, lr: 1, precision: off, "
        "schedule: {kind: step, milestones: [1]}}"
    )
    job = job_with(f"train={recipe}")
    assert length_of(job) == (3.0, None, "64000 iterations")
    assert milestones_of(job) == (1.0,)


def test_both_lengths_are_refused() -> None:
    error = refusal("train.epochs=2", "train.iterations=5")
    assert error.message == "--set train.iterations=5: train gives its length twice"


def test_a_file_with_both_lengths_is_refused_whatever_is_overridden(tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(JOB.replace("iterations: 6400", "iterations: 6400\n  epochs: 1"))
    assert "twice" in refusal("train.epochs=2", path=path).message


@pytest.mark.parametrize("length", ["x", "-1", "0", "true", "null", "[2]", "1e300", "1e-300"])
def test_lengths_that_cannot_be_meant(length: str) -> None:
    assert isinstance(refusal(f"train.iterations={length}"), JobError)


@settings(max_examples=100, deadline=None)
@given(
    old=st.integers(2, 10**6),
    new=st.decimals("0.01", "1000", places=2),
    shares=st.lists(st.integers(1, 10**6), min_size=1, max_size=4, unique=True),
)
def test_milestones_keep_their_share_exactly(
    tmp_path_factory: pytest.TempPathFactory, old: int, new: Decimal, shares: list[int]
) -> None:
    places = sorted({share % (old - 1) + 1 for share in shares})
    listed = f"    milestones: {places}\n"
    text = JOB.replace("    milestones:\n      - 3200\n      - 4800\n", listed)
    path = tmp_path_factory.getbasetemp() / "scaled.yaml"
    path.write_text(text.replace("iterations: 6400", f"iterations: {old}"))
    # A place may fall on the end only where rounding puts it there.
    loaded: LoadedJob = load_job(path, overrides=[f"train.epochs={new}"])
    with localcontext(prec=60):
        expected = tuple(float(place * new / old) for place in places)
    assert milestones_of(loaded.spec) == expected
    assert loaded.spec.train.shortened_from == f"{old} iterations"
