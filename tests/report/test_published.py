"""The paper's figures, against the paper: written out here once more, and in its text."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

from resnet_cluster.report.published import PUBLISHED, TABLE_1, TABLE_6, Published

# model: (top-1, top-5), from the tables of the paper
TEN_CROP = """
VGG-16 28.07 9.33
GoogLeNet - 9.15
PReLU-net 24.27 7.38
plain-34 28.54 10.02
ResNet-34 A 25.03 7.76
ResNet-34 B 24.52 7.46
ResNet-34 C 24.19 7.40
ResNet-50 22.85 6.71
ResNet-101 21.75 6.05
ResNet-152 21.43 5.71
"""
SINGLE_MODEL = """
VGG (ILSVRC'14) - 8.43
GoogLeNet (ILSVRC'14) - 7.89
VGG (v5) 24.4 7.1
PReLU-net 21.59 5.71
BN-inception 21.99 5.81
ResNet-34 B 21.84 5.71
ResNet-34 C 21.53 5.60
ResNet-50 20.74 5.25
ResNet-101 19.87 4.60
ResNet-152 19.38 4.49
"""
ENSEMBLES = """
VGG (ILSVRC'14) - 7.32
GoogLeNet (ILSVRC'14) - 6.66
VGG (v5) - 6.8
PReLU-net - 4.94
BN-inception - 4.82
ResNet (ILSVRC'15) - 3.57
"""
PLAIN_AND_RESIDUAL = """
plain-18 27.94 -
ResNet-18 27.88 -
plain-34 28.54 -
ResNet-34 25.03 -
"""
CIFAR = """
Maxout 9.38 -
NIN 8.81 -
DSN 8.22 -
FitNet 8.39 -
Highway 7.54 -
Highway 8.80 -
ResNet-20 8.75 -
ResNet-32 7.51 -
ResNet-44 7.17 -
ResNet-56 6.97 -
ResNet-110 6.43 -
ResNet-1202 7.93 -
"""


def written_out(text: str) -> list[tuple[str, float | None, float | None]]:
    lines = [line.rsplit(" ", 2) for line in text.strip().splitlines()]
    return [
        (model, *(None if number == "-" else float(number) for number in numbers))  # type: ignore[misc]
        for model, *numbers in lines
    ]


@pytest.mark.parametrize(
    ("table", "text"),
    [(2, PLAIN_AND_RESIDUAL), (3, TEN_CROP), (4, SINGLE_MODEL), (5, ENSEMBLES), (6, CIFAR)],
)
def test_errors_are_the_papers(table: int, text: str) -> None:
    rows = PUBLISHED[table]
    assert [(row.model, row.top1_err, row.top5_err) for row in rows] == written_out(text)
    assert {row.table for row in rows} == {table}


def test_table_6_has_sizes_and_spreads() -> None:
    sizes = [(row.layers, row.num_parameters) for row in TABLE_6]
    assert sizes == [
        (None, ""),
        (None, ""),
        (None, ""),
        (19, "2.5M"),
        (19, "2.3M"),
        (32, "1.25M"),
        (20, "0.27M"),
        (32, "0.46M"),
        (44, "0.66M"),
        (56, "0.85M"),
        (110, "1.7M"),
        (1202, "19.4M"),
    ]
    spreads = [(row.model, row.layers, row.mean_top1_err, row.std_top1_err) for row in TABLE_6]
    assert [row for row in spreads if row[2:] != (None, None)] == [
        ("Highway", 19, 7.72, 0.16),
        ("ResNet-110", 110, 6.61, 0.16),
    ]
    assert [row.layers for row in TABLE_6 if row.num_runs] == [110]


def test_table_1_counts_layers_and_flops() -> None:
    flops = {18: 1.8e9, 34: 3.6e9, 50: 3.8e9, 101: 7.6e9, 152: 11.3e9}
    assert {net.depth: net.flops for net in TABLE_1} == flops
    for net in TABLE_1:
        in_a_block = {"basic": 2, "bottleneck": 3}[net.block]
        assert sum(net.num_blocks) * in_a_block + 2 == net.depth  # and the stem and the classifier
        assert {len(widths) for widths in net.widths} == {in_a_block}
        assert [widths[0] for widths in net.widths] == [64, 128, 256, 512]


def test_splits_and_protocols_are_told_apart() -> None:
    def kinds(rows: Iterable[Published]) -> set[tuple[str, str, str]]:
        return {(row.dataset, row.split, row.protocol) for row in rows}

    assert kinds((*PUBLISHED[2], *PUBLISHED[3])) == {("ImageNet", "validation", "10-crop")}
    assert kinds(PUBLISHED[5]) == {("ImageNet", "test server", "ensemble")}
    ours = [row for row in PUBLISHED[4] if row.depth]
    assert kinds(ours) == {("ImageNet", "validation", "multi-scale")}
    on_server = [row.model for row in PUBLISHED[4] if row.split == "test server"]
    assert on_server == ["VGG (ILSVRC'14)"]
    residual = [row for row in TABLE_6 if row.depth]
    assert kinds(residual) == {("CIFAR-10", "test", "single")}


@pytest.fixture
def facts(shared_data: Path) -> str:
    """The results of the paper as its text has them."""
    page = shared_data.parent / "paper" / "FACTS.md"
    if not page.is_file():
        pytest.skip("the paper's figures are not at hand")
    return page.read_text().partition("## Results")[2]


@pytest.mark.parametrize("table", sorted(PUBLISHED))
def test_every_number_stands_in_the_papers_text(table: int, facts: str) -> None:
    (paragraph,) = re.findall(rf"^Table {table}\b.*?(?=\n\n|\Z)", facts, re.DOTALL | re.MULTILINE)
    stated = set(re.findall(r"\d+\.\d+", paragraph))
    for row in PUBLISHED[table]:
        for number in (row.top1_err, row.top5_err, row.mean_top1_err, row.std_top1_err):
            if number is not None:
                assert stated & {f"{number:.2f}", f"{number:.1f}"}, (row.model, number)
