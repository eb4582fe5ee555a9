"""The paper's figures: which runs draw them, what their image holds, and what is refused."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from factories import CIFAR10, IMAGENET, PAPER_WARMUP, make_epoch, make_errors
from fixture_types import MakeRun

from resnet_cluster.errors import PreflightError, UsageError
from resnet_cluster.report.drawing import draw, svg_element
from resnet_cluster.report.figures import Figure, build_figure, drawable
from resnet_cluster.results import (
    DatasetFacts,
    EpochRecord,
    LayerStd,
    ResponsesRecord,
    RunState,
)

SHORT = {"train.iterations": 1170, "train.schedule.milestones": [585, 877.5]}
DEEP = {"train.warmup": PAPER_WARMUP}


def net(depth: int, shortcut: str = "A", **more: Any) -> dict[str, Any]:
    warmup = DEEP if depth >= 110 else {}
    return {"model.depth": depth, "model.shortcut": shortcut, **warmup, **more}


class Told:
    """What a store tells of runs."""

    def __init__(self, num_images: Mapping[str, int] | None = None) -> None:
        self.num_images = num_images or {}
        """Images that runs have been analyzed on, by id."""

    def epochs(self, run_id: str) -> Sequence[EpochRecord]:
        """Three, whose errors tell the run: 50, 40, 30 less a hundredth of its number."""
        own = int(run_id.removeprefix("r-")) / 100
        return [
            make_epoch(number).model_copy(
                update={
                    "train": make_errors(60 - 10 * number - own),
                    "observed_test": make_errors(65 - 10 * number - own),
                }
            )
            for number in (1, 2, 3)
        ]

    def responses(self, run_id: str) -> Sequence[ResponsesRecord]:
        """Of an analyzed run one, of three layers."""
        if run_id not in self.num_images:
            return []
        own = int(run_id.removeprefix("r-"))
        layers = tuple(
            LayerStd(name=f"conv{place}", std=std + own)
            for place, std in enumerate((0.5, 2.0, 1.0))
        )
        return [ResponsesRecord(split="test", num_images=self.num_images[run_id], layers=layers)]


TOLD = Told()


def names(figure: Figure) -> list[list[tuple[str, str]]]:
    return [[(curve.net, curve.split) for curve in panel] for panel in figure.panels]


def test_figure_1_has_the_plain_nets_training_and_test_apart(make_run: MakeRun) -> None:
    runs = [make_run(net(depth, "none"), 9.0) for depth in (20, 56)]
    figure = build_figure(1, runs, TOLD)
    assert names(figure) == [
        [("plain-20", "train"), ("plain-56", "train")],
        [("plain-20", "test"), ("plain-56", "test")],
    ]
    train = figure.panels[0][1]
    assert train.x == (390, 780, 1170)
    assert train.y == pytest.approx((49.99, 39.99, 29.99))
    assert figure.panels[1][1].y == pytest.approx((54.99, 44.99, 34.99))


def test_figure_6_has_three_panels_of_both(make_run: MakeRun) -> None:
    plains = [make_run(net(depth, "none"), 9.0) for depth in (20, 32, 44, 56)]
    residuals = [make_run(net(depth), 8.0) for depth in (20, 32, 44, 56, 110, 1202)]
    found = names(build_figure(6, [*plains, *residuals], TOLD))
    assert [len(panel) for panel in found] == [8, 10, 4]
    assert {name for name, _ in found[2]} == {"ResNet-110", "ResNet-1202"}
    assert [split for _, split in found[1]] == ["train", "test"] * 5


def test_figure_4_is_of_imagenet(make_run: MakeRun) -> None:
    job = {"model.family": "imagenet", "data.normalize": "channel_mean"}
    runs = [
        make_run(net(depth, shortcut, **job), 30.0, dataset=IMAGENET)
        for depth in (18, 34)
        for shortcut in ("none", "A", "B")
    ]
    assert names(build_figure(4, runs, TOLD)) == [
        [("plain-18", s) for s in ("train", "test")] + [("plain-34", s) for s in ("train", "test")],
        [("ResNet-18 A", s) for s in ("train", "test")]
        + [("ResNet-34 A", s) for s in ("train", "test")],
    ]


def copy(**changes: Any) -> DatasetFacts:
    return CIFAR10.model_copy(update=changes)


@pytest.mark.parametrize(
    "other",
    [
        ({"train.lr": 0.2}, CIFAR10),
        ({"train.bn_group": 128}, CIFAR10),
        (SHORT, CIFAR10),
        ({}, copy(sha256="e" * 64)),
        ({}, copy(num_train_images=45_000)),
    ],
)
def test_curves_of_another_course_are_not_in_one_figure(
    make_run: MakeRun, other: tuple[Mapping[str, Any], DatasetFacts]
) -> None:
    changes, dataset = other
    runs = [make_run(net(20, "none"), 9.0), make_run(net(32, "none"), 9.0)]
    apart = make_run(net(44, "none") | dict(changes), 9.0, dataset=dataset)
    runs.append(apart)
    found = build_figure(6, runs, TOLD)
    assert {name for name, _ in names(found)[0]} == {"plain-20", "plain-32"}
    assert "8 of 10 networks not trained so" in found.note
    # The newest of courses with as many networks.
    alone = build_figure(6, [runs[0], apart], TOLD)
    assert {name for name, _ in names(alone)[0]} == {"plain-44"}


def test_the_newest_of_several_runs_is_drawn_and_the_note_says_what_differs(
    make_run: MakeRun,
) -> None:
    jpeg = copy(encoding="jpeg")
    runs = [make_run(net(20) | SHORT | {"seed": seed}, 9.0, dataset=jpeg) for seed in (0, 1)]
    figure = build_figure(6, runs, TOLD)
    assert figure.panels[1][0].y[0] == pytest.approx(49.99)
    assert figure.note == (
        "cifar10, our runs; 3 of 164 epochs; JPEG copy; 9 of 10 networks not trained so"
    )


def test_a_run_that_failed_is_drawn_where_there_is_no_other(make_run: MakeRun) -> None:
    done = make_run(net(20), 9.0)
    failed = [make_run(net(depth), state=RunState.FAILED) for depth in (20, 32)]
    figure = build_figure(6, [done, *failed], TOLD)
    assert [curve.y[0] for curve in figure.panels[1][::2]] == pytest.approx([50.0, 49.98])


def test_what_cannot_be_drawn_is_refused(make_run: MakeRun) -> None:
    for number in (0, 2, 8):
        with pytest.raises(UsageError, match=f"no Figure {number} "):
            build_figure(number, [], TOLD)
    others = [make_run(net(20), 9.0), make_run(net(26, "none"), 9.0)]
    with pytest.raises(PreflightError, match="no run has a curve of Figure 1") as refused:
        build_figure(1, others, TOLD)
    assert "--set model.shortcut=none" in refused.value.mend
    assert drawable(others, TOLD) == (6,)
    with pytest.raises(UsageError, match="gif"):
        draw(build_figure(6, others, TOLD), "gif")


def test_figure_7_has_the_layers_in_order_and_sorted(make_run: MakeRun) -> None:
    runs = [make_run(net(20, "none"), 9.0), make_run(net(20), 8.0), make_run(net(56), 8.0)]
    told = Told({run.run_id: 10_000 for run in runs[:2]} | {runs[2].run_id: 500})
    figure = build_figure(7, runs, told)
    # The third was analyzed on other images.
    assert names(figure) == [[("plain-20", "test"), ("ResNet-20", "test")]] * 2
    assert [curve.y for curve in figure.panels[0]] == [(0.5, 2.0, 1.0), (1.5, 3.0, 2.0)]
    assert [curve.y for curve in figure.panels[1]] == [(2.0, 1.0, 0.5), (3.0, 2.0, 1.5)]
    assert figure.panels[0][0].x == (1, 2, 3)
    assert drawable(runs, told) == (1, 6, 7)
    with pytest.raises(PreflightError, match="no run has been analyzed") as refused:
        build_figure(7, runs, TOLD)
    assert "resnet-cluster analyze" in refused.value.mend


@pytest.mark.parametrize(
    ("suffix", "magic"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
)
def test_an_image_is_the_same_every_time(make_run: MakeRun, suffix: str, magic: bytes) -> None:
    figure = build_figure(6, [make_run(net(20), 9.0)], TOLD)
    first = draw(figure, suffix)
    assert first.startswith(magic)
    assert draw(figure, suffix) == first


def test_the_image_has_every_curve_and_users_text_as_text(make_run: MakeRun) -> None:
    hostile = copy(name="<script>$x^2$</script>\x1b cifar10")
    runs = [make_run(net(depth), 9.0, dataset=hostile) for depth in (20, 32)]
    element = svg_element(draw(build_figure(6, runs, TOLD), "svg"))
    tree = ET.fromstring(element)
    space = "{http://www.w3.org/2000/svg}"
    assert tree.tag == f"{space}svg"
    assert not list(tree.iter(f"{space}script"))
    texts = ["".join(text.itertext()) for text in tree.iter(f"{space}text")]
    assert {"ResNet-20", "ResNet-32", "iterations", "no runs yet"} <= set(texts)
    assert any(r"<script>$x^2$</script>\x1b cifar10, our runs" in text for text in texts)
    lines = [
        group for group in tree.iter(f"{space}g") if (group.get("id") or "").startswith("line2d")
    ]
    dashed = [
        path
        for group in lines
        for path in group.iter(f"{space}path")
        if "stroke-dasharray" in (path.get("style") or "")
    ]
    assert len(dashed) == 2  # the training errors of two networks


def test_other_commands_do_not_wait_for_matplotlib() -> None:
    script = (
        "import sys, resnet_cluster.cli.app, resnet_cluster.report, resnet_cluster.cli.report\n"
        "import resnet_cluster.report.figures, resnet_cluster.report.drawing\n"
        "print('matplotlib' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr
