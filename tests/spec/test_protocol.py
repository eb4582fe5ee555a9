"""What a protocol is called: the name says all that changes a figure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from job_values import SHIPPED

from resnet_cluster.errors import JobError
from resnet_cluster.spec import load_job, protocols


def names(job: str, *overrides: str, image_size: int | None = 32) -> list[str]:
    spec = load_job(SHIPPED / f"{job}.yaml", overrides=overrides).spec
    return [protocol.identity for protocol in protocols(spec, image_size)]


ALL = "evaluate.protocols=[single, flip, ten-crop, multi-scale]"
CENTRE = ("evaluate.protocols=[centre]", "evaluate.centre={resize: 329, size: 288}")


def test_the_papers() -> None:
    assert names("imagenet_r50_paper", ALL, image_size=None) == [
        "single",
        "flip-softmax",
        "ten-crop-224of256-softmax",
        "multi-scale-224-256-384-480-640-softmax",
    ]


def test_the_view_of_a_centre_is_in_its_name() -> None:
    assert names("imagenet_r50", *CENTRE, image_size=None) == ["centre-288of329"]
    with pytest.raises(JobError, match="needs its view") as refused:
        names("imagenet_r50", CENTRE[0])
    assert "evaluate.centre" in refused.value.message


def test_small_squares_are_padded() -> None:
    found = names("cifar10_r20", ALL, "evaluate.average=logits", "evaluate.scales=[32, 48]")
    assert found == [
        "single",
        "flip-logits",
        "ten-crop-32pad4-logits",
        "multi-scale-32-48-logits",
    ]


@pytest.mark.parametrize(
    "change",
    ["evaluate.average=logits", "evaluate.scales=[224]", "data.view={resize: 300, size: 224}"],
)
def test_what_changes_a_figure_changes_a_name(change: str) -> None:
    assert names("imagenet_r50_paper", ALL) != names("imagenet_r50_paper", ALL, change)


@given(st.lists(st.integers(8, 4096), min_size=1, max_size=8, unique=True).map(sorted))
def test_a_name_is_a_files_and_finds_room_in_the_store(scales: list[int]) -> None:
    for name in names("imagenet_r50_paper", ALL, f"evaluate.scales={scales}"):
        assert len(name) <= 64
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
