"""From a job file to a job: everything that a user gets wrong is answered with its line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from job_values import JOB, SHIPPED, job_values, line_of

from resnet_cluster.errors import IntegrityError, JobError
from resnet_cluster.spec import JobSpec, load_job, load_resolved, load_split, split_resolved

JARGON = ("pydantic", "Input should", "http", "type=", "Field required", "Value error", "tag")


def refusal(folder: Path, text: str) -> JobError:
    path = folder / "job.yaml"
    path.write_text(text)
    with pytest.raises(JobError) as caught:
        load_job(path)
    error = caught.value
    assert error.exit_code == 2
    assert error.mend
    assert not any(word in error.message + error.mend for word in JARGON)
    assert "\n" not in error.message + error.mend
    return error


def test_a_right_job(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB)
    job, source = load_job(tmp_path / "job.yaml")
    assert (job.name, job.seed, job.model.depth, job.resources.workers) == ("demo", 3, 20, 2)
    assert job.train.lr == 0.1
    assert job.train.precision == "off"
    assert job.train.schedule.model_dump() == {
        "kind": "step",
        "milestones": (3200.0, 4800.0),
        "gamma": 0.1,
    }
    assert job.train.shortened_from is None
    assert source.where(("model", "depth")) == f"{tmp_path}/job.yaml:{line_of(JOB, 'depth')}"


AUGMENT = "  augment: {pad: 2,"
UNPADDED = "  augment: {pad: 0,"
CROP = "  crop: {kind: random_resized, size: 64%s}\n"
GROW = CROP % ", grow: {from_size: 32, begin: %s, end: %s}" + UNPADDED
JITTER = "  crop: {kind: shorter_side_jitter, size: %s, shorter_side: %s}\n" + UNPADDED

SCHEDULE = """  schedule:
    kind: step
    milestones:
      - 3200
      - 4800
"""


@pytest.mark.parametrize(
    ("old", "new", "at", "message", "mend"),
    [
        # unknown keys, with the nearest known one
        ("  lr: 1e-1", "  lrr: 1e-1", "  lrr", "unknown key train.lrr", "train.lr?"),
        ("  depth", "  dept", "  dept", "unknown key model.dept", "model.depth?"),
        ("seed: 3", "sed: 3", "sed", "unknown key sed", "seed?"),
        ("seed: 3", "seed: 3\nlr: 1", "lr: 1", "unknown key lr", "did you mean train.lr?"),
        ("  bn_group: 32", "  bn_group: 32\n  zzz: 1", "  zzz", "train.zzz", "global_batch_size"),
        ("    kind: step", "    kind: step\n    gama: 1", "    gama", "schedule.gama", ".gamma?"),
        ("{pad: 2,", "{pat: 2,", "  augment", "unknown key data.augment.pat", "augment.pad?"),
        ("seed: 3", "seed: 3\n<<: {name: x}", "<<", "unknown key <<", "a job has name, seed"),
        # missing keys and sections
        ("seed: 3\n", "", "name", "the key seed is missing", "a whole number at least 0"),
        ("  lr: 1e-1\n", "", "train:", "the key train.lr is missing", "a number above 0"),
        (
            "  family: cifar\n",
            "",
            "model:",
            "one of imagenet, cifar, torchvision, custom",
            "The network",
        ),
        (SCHEDULE, "", "train:", "the section train.schedule is missing", "one of step, plateau"),
        ("    kind: step\n", "", "  schedule", "train.schedule.kind is missing", "rate falls"),
        # values of another type or out of range
        ("seed: 3", "seed: -1", "seed", "seed is -1, and must be a whole number", "seed:"),
        ("seed: 3", "seed: true", "seed", "seed is true, and must be a whole number", "seed:"),
        ("seed: 3", "seed: 3.0", "seed", "seed is 3.0, and must be a whole number", "seed:"),
        ("seed: 3", "seed: '3'", "seed", "seed is '3', and must be a whole number", "seed:"),
        ("seed: 3", f"seed: {2**63}", "seed", f"below {2**63}", "seed:"),
        ("lr: 1e-1", "lr: true", "  lr", "train.lr is true, and must be a number", "Learning"),
        ("lr: 1e-1", "lr: fast", "  lr", "train.lr is 'fast', and must be a number", "Learning"),
        ("lr: 1e-1", "lr: .inf", "  lr", "train.lr is inf, and must be a number", "Learning"),
        ("lr: 1e-1", "lr: .nan", "  lr", "train.lr is nan, and must be a number", "Learning"),
        ("lr: 1e-1", "lr: 1e999", "  lr", "train.lr is inf, and must be a number", "Learning"),
        ("lr: 1e-1", f"lr: {'9' * 99}", "  lr", "must be a number above 0", "Learning"),
        ("lr: 1e-1", "lr: 0", "  lr", "train.lr is 0, and must be a number above 0", "Learning"),
        ("lr: 1e-1", "lr:", "  lr", "train.lr is null, and must be a number", "Learning"),
        ("flip: false", "flip: no", "  augment", "is 'no', and must be true or false", "flip"),
        ("- 3200", "- x", "      - x", "milestones[0] is 'x', and must be a number", "drops"),
        ("depth: 20", "depth: [20]", "  depth", "model.depth is a list", "layers"),
        ("  shortcut: A", "  shortcut: a", "  shortcut", "one of none, A, B, C", "plain net"),
        ("precision: off", "precision: fp32", "  precision", "one of off, bf16, fp16", "float32"),
        ("workers: 2", "workers: 0", "  workers", "resources.workers is 0", "processes"),
        ("  select: final", "  protocols: []", "  protocols", "is an empty list", "Protocols"),
        ("  select: final", "  select: best", "  select", "one of final, best_holdout", "select"),
        (
            "  select: final",
            "  protocols: [ten]",
            "  protocols",
            "single, flip, centre, ten-crop, multi",
            "run on",
        ),
        ("  select: final", "  protocols: [single, single]", "  protocols", "listed twice", "once"),
        ("  select: final", "  scales: [256, 224]", "  scales", "scales do not rise", "in order"),
        ("  select: final", "  scales: [4]", "  scales", "scales[0] is 4", "in pixels"),
        ("evaluate:\n  select: final", "evaluate:", "evaluate", "evaluate is null", "measured"),
        # sections of one of several kinds
        ("kind: step", "kind: cosin", "    kind", "one of step, plateau, cosine, linear", "falls"),
        ("kind: step", "kind: [step]", "    kind", "kind is a list, and must be one of", "falls"),
        (SCHEDULE, "  schedule: cosine\n", "  schedule", "is 'cosine', and must be a", "falls"),
        ("lr: 1e-1", "lr: 1\n  warmup: {kind: x}", "  warmup", "linear, until_train", "begins"),
        # crops and views
        (AUGMENT, CROP % "" + AUGMENT, "  augment", "data.crop crops the images already", "to 0"),
        (AUGMENT, CROP % ", kin: 1" + UNPADDED, "  crop", "unknown key data.crop.kin", "kind"),
        (AUGMENT, "  crop: {kind: centre}\n" + UNPADDED, "  crop", "one of random_resized", "crop"),
        (AUGMENT, "  crop: random\n" + UNPADDED, "  crop", "a section whose kind is", "cropped"),
        (AUGMENT, CROP % ", scale: [1, 0.1]" + UNPADDED, "  crop", "falls from 1", "swap"),
        (AUGMENT, CROP % ", ratio: [2, 1]" + UNPADDED, "  crop", "ratio falls", "swap"),
        (AUGMENT, CROP % ", scale: [0.5]" + UNPADDED, "  crop", "a list of 2, each", "share"),
        (AUGMENT, CROP % ", scale: 0.5" + UNPADDED, "  crop", "a list of 2, each", "share"),
        (AUGMENT, CROP % ", scale: [0, 1]" + UNPADDED, "  crop", "scale[0] is 0", "share"),
        (AUGMENT, GROW % (5, 4), "  crop", "growth ends before it begins", "end"),
        (AUGMENT, GROW % (5, 6401), "  crop", "grow until 6401, and the training", "earlier"),
        (AUGMENT, (GROW % (5, 6)).replace("32", "64"), "  crop", "grow from 64 to 64", "smaller"),
        (AUGMENT, JITTER % (64, [80, 70]), "  crop", "falls from 80 to 70", "swap"),
        (AUGMENT, JITTER % (64, [60, 70]), "  crop", "does not fit into a side of 60", "or less"),
        (AUGMENT, JITTER % (4, [60, 70]), "  crop", "at least 8", "Side"),
        (AUGMENT, "  view: {size: 64}\n" + AUGMENT, "  view", "data.view.resize is missing", "add"),
        (AUGMENT, "  view: {resize: 32, size: 64}\n" + AUGMENT, "  view", "does not fit", "less"),
        ("pad: 2,", "pad: 2, color: PCA,", "  augment", "one of none, pca", "principal"),
        # names that are folders, identifiers and words on a terminal
        ("name: demo", "name: ../demo", "name", "[a-z0-9][a-z0-9_-]{0,62}", "a-z, 0-9"),
        ("name: demo", 'name: "a\\nb"', "name", r"name is 'a\nb'", "a-z, 0-9"),
        ("name: demo", 'name: "demo\\n"', "name", r"name is 'demo\n'", "a-z, 0-9"),
        ("name: demo", "name: '[red]x'", "name", "[a-z0-9][a-z0-9_-]{0,62}", "a-z, 0-9"),
        ("name: demo", f"name: {'a' * 64}", "name", "[a-z0-9][a-z0-9_-]{0,62}", "a-z, 0-9"),
        ("name: demo", "name: 7", "name", "name is 7, and must be text", "a-z, 0-9"),
        ("name: digits", 'name: "x\\0y"', "  name: ", "cannot hold the character U+0000", "folder"),
        ("name: digits", "name: ''", "  name: ", "text of 1 to 4096 characters", "prepare"),
        # values that do not go together
        ("bn_group: 32", "bn_group: 24", "  bn_group", "24 does not divide", "to 16 or 32"),
        ("bn_group: 32", "bn_group: 128", "  bn_group", "128 does not divide", "to 64"),
        ("global_batch_size: 64", "global_batch_size: 1", "  bn_group", "not divide", "multiple"),
        ("iterations: 6400", "iterations: 6400\n  epochs: 1", "  iterations", "twice", "keep one"),
        ("  iterations: 6400\n", "", "train:", "train gives no length", "give one of"),
        ("- 4800", "- 3200", "    milestones", "milestones do not rise", "in order"),
        ("- 4800", "- 6400", "      - 6400", "the milestone 6400 is not within the", "longer"),
        ("lr: 1e-1", "lr: 1\n  warmup: {kind: linear, length: 6401}", "  warmup", "6401", "short"),
        ("lr: 1e-1", "lr: 1\n  momentum: 0\n  nesterov: true", "  nesterov", "above 0", "0.9"),
        (SCHEDULE, "  schedule: {kind: plateau, on: holdout}\n", "  schedule", "is 0", "holdout"),
        ("select: final", "select: best_holdout", "  select", "holdout is 0", "data.holdout"),
        # what only the tool may say
        ("lr: 1e-1", "lr: 1\n  shortened_from: x", "  shortened", "set by the tool", "remove it"),
    ],
)
def test_refusals(tmp_path: Path, old: str, new: str, at: str, message: str, mend: str) -> None:
    assert JOB.count(old) >= 1
    text = JOB.replace(old, new, 1)
    error = refusal(tmp_path, text)
    assert error.message.startswith(f"{tmp_path}/job.yaml:{line_of(text, at)}: ")
    assert message in error.message
    assert mend in error.mend


@pytest.mark.parametrize("section", ["model", "data", "train"])
def test_a_missing_section_is_named(tmp_path: Path, section: str) -> None:
    lines = JOB.splitlines()
    start = lines.index(f"{section}:")
    end = next(i for i in range(start + 1, len(lines)) if not lines[i].startswith(" "))
    error = refusal(tmp_path, "\n".join(lines[:start] + lines[end:]))
    assert error.message == f"{tmp_path}/job.yaml:3: the section {section} is missing"
    assert error.mend.startswith(f"add {section}: a section w")


@pytest.mark.parametrize("section", ["evaluate", "resources"])
def test_sections_that_may_be_left_out(tmp_path: Path, section: str) -> None:
    (tmp_path / "job.yaml").write_text(JOB[: JOB.index("evaluate:")])
    job, _ = load_job(tmp_path / "job.yaml")
    assert getattr(job, section) == type(getattr(job, section))()


def test_whole_numbers_are_numbers(tmp_path: Path) -> None:
    (tmp_path / "job.yaml").write_text(JOB.replace("lr: 1e-1", "lr: 1"))
    lr = load_job(tmp_path / "job.yaml").spec.train.lr
    assert (lr, type(lr)) == (1.0, float)


def test_control_characters_do_not_reach_the_terminal(tmp_path: Path) -> None:
    error = refusal(tmp_path, JOB + '"\\e[31m\\u202e": 1\n')
    assert error.message.isprintable()
    assert "\\x1b[31m\\u202e" in error.message


@settings(max_examples=100, deadline=None)
@given(values=job_values())
def test_a_stored_job_is_the_same_job(values: dict[str, object]) -> None:
    job = JobSpec.model_validate(values)
    stored = json.loads(json.dumps(job.model_dump(mode="json"), allow_nan=False))
    again = load_resolved(stored)
    assert again == job
    assert hash(again) == hash(job)
    assert again.model_dump(mode="json") == stored


@settings(max_examples=60, deadline=None)
@given(values=job_values(), data=st.data())
def test_a_stored_job_is_split_into_its_own_and_the_rest(
    values: dict[str, object], data: st.DataObject
) -> None:
    stored = JobSpec.model_validate(values).model_dump(mode="json")
    shuffled = {key: stored[key] for key in data.draw(st.permutations(list(stored)))}
    for text in (json.dumps(stored), json.dumps(shuffled), json.dumps(stored, indent=1)):
        split = split_resolved(text)
        own = {"name": split.name, "seed": split.seed}
        assert own | json.loads(split.rest) == stored
        assert load_split(split) == load_resolved(stored)
    other = stored | {"name": "another", "seed": stored["seed"] + 1}
    assert split_resolved(json.dumps(other)).rest == split_resolved(json.dumps(stored)).rest


@settings(max_examples=60, deadline=None)
@given(values=job_values())
def test_a_job_file_says_what_it_holds(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, object]
) -> None:
    path = tmp_path_factory.getbasetemp() / "said.yaml"
    path.write_text(json.dumps(values))
    held = load_job(path).spec.model_dump(mode="json")
    held["model"].pop("source_sha256", None)  # found, not said
    said = JobSpec.model_validate(values).model_dump(mode="json")
    said["model"].pop("source_sha256", None)
    assert held == said


@pytest.mark.parametrize("change", [{"seed": "x"}, {"model": None}, {"later": 1}])
def test_a_stored_job_that_is_none(change: dict[str, object]) -> None:
    job = load_job(SHIPPED / "digits_r20.yaml").spec
    with pytest.raises(IntegrityError) as caught:
        load_resolved(job.model_dump(mode="json") | change)
    assert next(iter(change)) in caught.value.message


@pytest.mark.parametrize("name", [path.name for path in sorted(SHIPPED.glob("*.yaml"))])
def test_specs_are_values(name: str) -> None:
    first, second = (load_job(SHIPPED / name).spec for _ in range(2))
    assert first == second
    assert hash(first) == hash(second)
    with pytest.raises(ValueError, match="frozen"):
        setattr(first, "seed", 4)  # noqa: B010  # mypy forbids the assignment itself
