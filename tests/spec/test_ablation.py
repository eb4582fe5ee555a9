"""Ablations: files and options to trials, the paper's own among them, and what is refused."""

from __future__ import annotations

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_values import SHIPPED

from resnet_cluster.errors import UsageError
from resnet_cluster.spec import (
    NAME_PATTERN,
    Ablation,
    AblationRequest,
    JobSpec,
    load_ablation,
    shipped_ablations,
)
from resnet_cluster.spec.trial_name import trial_name

R20 = SHIPPED / "cifar10_r20.yaml"
WARMUP = "{kind: until_train_error, lr: 0.01, below: 80}"


def ablation(path: Path = R20, **request: Any) -> Ablation:
    return load_ablation(path, AblationRequest(**request))


def jobs(found: Ablation) -> list[JobSpec]:
    base = found.base().spec
    return [found.trial(point, base.seed).loaded.spec for point in found.points()]


def refusal(path: Path = R20, **request: Any) -> UsageError:
    with pytest.raises(UsageError) as caught:
        jobs(ablation(path, **request))
    assert caught.value.mend
    assert caught.value.message.isprintable()
    return caught.value


def write(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(text.replace("R20", str(R20)))
    return path


def test_lists_are_a_grid_and_seeds_repeat_it() -> None:
    found = ablation(depths="20,56", shortcuts="none,A,B,C", num_seeds=5, seed=3)
    assert found.num_trials == 40
    made = jobs(found)
    combined = itertools.product((20, 56), ["none", "A", "B", "C"], range(3, 8))
    assert [(job.model.depth, job.model.shortcut, job.seed) for job in made] == list(combined)
    assert len({job.name for job in made}) == 40
    assert made[0].name == "cifar10_r20_sweep-d20-none-s0"
    assert {job.train for job in made} == {found.base().spec.train}


def test_any_key_varies_with_any_value() -> None:
    found = ablation(
        vary=["train.lr=0.05,0.1", f"train.warmup=null,{WARMUP}", "train.schedule.gamma=0.1,0.5"],
        overrides=["model.depth=32"],
        name="rates",
    )
    made = jobs(found)
    assert len(made) == 8
    assert {job.train.lr for job in made} == {0.05, 0.1}
    assert {job.train.warmup and job.train.warmup.kind for job in made} == {
        None,
        "until_train_error",
    }
    assert {job.model.depth for job in made} == {32}
    assert all(job.name.startswith("rates-lr0_") for job in made)


def test_zipped_lists_are_walked_together() -> None:
    made = jobs(ablation(depths="20,56", shortcuts="none,A", is_zipped=True))
    assert [(job.model.depth, job.model.shortcut) for job in made] == [(20, "none"), (56, "A")]


def test_a_file_is_an_ablation_and_options_take_the_place_of_its_axes(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "job: R20\nset:\n  train.epochs: 2\nvary:\n  model.depth: [20, 32]\n"
        "  train.lr: [0.1, 0.2]\nseeds: 2\n",
    )
    found = ablation(path)
    assert (found.name, found.num_trials) == ("own", 8)
    assert {job.train.epochs for job in jobs(found)} == {2}
    other = ablation(path, depths="56", num_seeds=1, shortcuts="none,A", name="b")
    assert [axis.key for axis in other.axes] == ["model.depth", "train.lr", "model.shortcut"]
    assert [(job.model.depth, job.train.lr) for job in jobs(other)] == [
        (56, 0.1),
        (56, 0.1),
        (56, 0.2),
        (56, 0.2),
    ]


def test_the_papers_ablations_are_its_tables_and_figures() -> None:
    def nets(name: str) -> list[tuple[int, str, str]]:
        (path,) = (path for path in shipped_ablations() if path.stem == name)
        found = ablation(path)
        assert found.name == name
        opening = path.read_text().split("\nname:")[0]
        command = "resnet-cluster ablate "
        command += (
            "--depths 18,34,50" if name == "imagenet_depth" else f"jobs/ablations/{path.name}"
        )
        assert command in opening
        return [
            (job.model.depth, job.model.shortcut, job.train.warmup.kind if job.train.warmup else "")
            for job in jobs(found)
        ]

    assert nets("imagenet_depth") == [(depth, "B", "") for depth in (18, 34, 50)]
    assert nets("imagenet_table2") == [(d, s, "") for d in (18, 34) for s in ("none", "A")]
    assert nets("imagenet_table3") == [
        *((34, shortcut, "") for shortcut in ("none", "A", "B", "C")),
        *((depth, "B", "") for depth in (50, 101, 152)),
    ]
    usual = [(depth, "A", "") for depth in (20, 32, 44, 56)]
    deep = [(depth, "A", "until_train_error") for depth in (110, 1202)]
    assert nets("cifar10_table6") == usual + deep
    assert nets("cifar10_fig1") == [(20, "none", ""), (56, "none", "")]
    plain = [(depth, "none", "") for depth, _, _ in usual]
    assert nets("cifar10_fig6") == plain + usual + deep
    assert len(shipped_ablations()) == 6


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        ({}, "nothing varies"),
        ({"depths": ""}, "--depths: an empty list"),
        ({"depths": "20,20"}, "model.depth: given twice: 20"),
        ({"vary": ["train.lr"]}, "is not a key and values"),
        ({"vary": ["train.lr="]}, "an empty list"),
        ({"vary": ["=1"]}, "is no key of a job"),
        ({"vary": ["train.lr=0.1,{"]}, "is not YAML"),
        ({"vary": ["train.rate=0.1"]}, "unknown key train.rate"),
        ({"depths": "20,deep"}, "model.depth is 'deep', and must be a whole number"),
        ({"depths": "20,56", "shortcuts": "D"}, "model.shortcut is 'D'"),
        ({"depths": "20,56", "shortcuts": "A", "is_zipped": True}, "model.depth 2"),
        ({"vary": ["seed=1,2"]}, "seed is no key to vary"),
        ({"vary": ["name=a,b"]}, "name is no key to vary"),
        ({"vary": ["model={family: cifar, depth: 20, shortcut: A}"], "depths": "20"}, "within"),
        ({"depths": "20", "vary": ["model.depth=32"]}, "model.depth is said twice"),
        ({"depths": "20", "name": "s-0123abcd"}, "looks like an id"),
        ({"depths": "20", "name": "Über"}, "is no name of an ablation"),
        ({"depths": "20", "name": "a" * 41}, "is no name of an ablation"),
        ({"depths": "20\x1b[31m"}, "is not allowed"),
    ],
)
def test_what_makes_no_ablation_is_refused(request_: dict[str, Any], says: str) -> None:
    assert says in refusal(**request_).message


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("job: R20\nvary: {model.depth: [20]}\nseed: 3\n", "own.yaml:3: unknown key seed"),
        ("vary: {model.depth: [20]}\n", "own.yaml:1: job is missing"),
        ("job: R20\n", "nothing varies"),
        ("vary: {train.lr: [1]}\njob: no.yaml\n", "no.yaml: there is no such file"),
        ("vary: {train.lr: [1]}\njob: no.yaml\n", "own.yaml:2: "),
        ("vary: {train.lr: [1]}\njob: own.yaml\n", "own.yaml is an ablation, and no job"),
        ("job: R20\nvary: [20]\n", "own.yaml:2: vary is not a section"),
        ("job: R20\nvary:\n  model.depth: 20\n", "own.yaml:3: vary.model.depth is not a list"),
        ("job: R20\nvary:\n  model.depth: []\n", "model.depth has no values to take"),
        ("job: R20\nvary:\n  model..x: [1]\n", "own.yaml:3: 'model..x' is no key of a job"),
        ("job: R20\nvary:\n  model.depth:\n  - x\n", "own.yaml:4: model.depth is 'x'"),
        ("job: R20\nvary: {train.lr: [1]}\ncombine: all\n", "own.yaml:3: combine is 'all'"),
        ("job: R20\nvary: {train.lr: [1]}\nseeds: 0\n", "own.yaml:3: seeds is 0"),
        ("job: R20\nvary: {train.lr: [1]}\nseeds: many\n", "own.yaml:3: seeds is not a whole"),
        ("job: R20\nvary: {train.lr: [1]}\nname: 7\n", "own.yaml:3: name is not a name"),
    ],
)
def test_a_file_is_refused_with_its_line(text: str, says: str, tmp_path: Path) -> None:
    assert says in refusal(write(tmp_path, text)).message


def test_a_million_trials_are_counted_without_being_made() -> None:
    lists = ",".join(map(str, range(1, 101)))
    found = ablation(vary=[f"train.lr={lists}", f"train.weight_decay={lists}"], num_seeds=100)
    assert found.num_trials == 10**6


VALUES = st.one_of(
    st.integers(-5, 5),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=8),
    st.dictionaries(st.sampled_from(["kind", "lr"]), st.integers(0, 9), max_size=2),
)
KEYS = st.sampled_from(["model.depth", "model.shortcut", "train.lr", "train.warmup", "a.b_c"])


@given(st.dictionaries(KEYS, VALUES, max_size=5), st.none() | st.integers(0, 999))
def test_every_trial_has_a_name_that_a_run_may_have(said: dict[str, Any], seed: int | None) -> None:
    name = trial_name("my_sweep", said, seed)
    assert re.fullmatch(NAME_PATTERN, name)
    assert trial_name("my_sweep", said, seed) == name


@given(KEYS, st.lists(st.floats(1e-9, 1e9), min_size=2, max_size=2, unique=True))
def test_other_numbers_have_other_names(key: str, values: list[float]) -> None:
    first, second = (trial_name("my_sweep", {key: value}, None) for value in values)
    assert first != second
