"""The order of data larger than memory, and the thread that reads its pages ahead."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from resnet_cluster.data import epoch_order
from resnet_cluster.data.page_order import PageOrder, page_order
from resnet_cluster.data.page_reader import PageReader, ReadAhead

LAYOUTS = st.lists(st.integers(1, 9), min_size=1, max_size=60)
"""Images on each page."""


def _pages(layout: list[int]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(layout)), layout)


def _order(page_of: NDArray[np.int64], window_pages: int, **changes: int) -> PageOrder:
    settings: dict[str, Any] = {"seed": 3, "epoch": 5} | changes
    return page_order(np.arange(len(page_of)), page_of, window_pages=window_pages, **settings)


@given(LAYOUTS, st.integers(1, 70), st.integers(0, 2**62), st.integers(0, 99), st.data())
def test_every_image_once_and_every_page_in_one_window(
    layout: list[int], window_pages: int, seed: int, epoch: int, data: st.DataObject
) -> None:
    page_of = _pages(layout)
    indices = np.flatnonzero(
        data.draw(st.lists(st.booleans(), min_size=len(page_of), max_size=len(page_of)))
    )
    if len(indices) == 0:
        return
    order = page_order(indices, page_of, window_pages=window_pages, seed=seed, epoch=epoch)
    assert sorted(order.places) == indices.tolist()
    assert sorted(np.concatenate(order.pages)) == np.unique(page_of[indices]).tolist()
    assert order.starts[0] == 0
    assert order.starts[-1] == len(indices)
    for number, pages in enumerate(order.pages):
        assert 0 < len(pages) <= window_pages
        assert (np.diff(pages) > 0).all()  # read in the order of the file
        window = order.places[order.starts[number] : order.starts[number + 1]]
        assert set(page_of[window]) == set(pages)


@given(LAYOUTS, st.integers(0, 99))
def test_one_window_is_the_order_of_data_that_fits(layout: list[int], epoch: int) -> None:
    page_of = _pages(layout)
    order = _order(page_of, len(layout), epoch=epoch)
    expected = epoch_order(np.arange(len(page_of)), seed=3, epoch=epoch)
    assert np.array_equal(order.places, expected)


def test_a_window_of_any_size_takes_no_longer_than_the_file_has_pages() -> None:
    page_of = _pages([5] * 60)
    assert np.array_equal(_order(page_of, 10**9).places, _order(page_of, 60).places)


def test_it_is_a_function_of_seed_and_epoch() -> None:
    page_of = _pages([7] * 200)
    first = _order(page_of, 20).places
    assert np.array_equal(first, _order(page_of, 20).places)
    for changes in ({"seed": 4}, {"epoch": 6}):
        other = _order(page_of, 20, **changes)
        assert not np.array_equal(first, other.places)
        assert not np.array_equal(_order(page_of, 20).pages[0], other.pages[0])


def test_a_window_has_a_page_of_every_stretch_of_the_file() -> None:
    """Images of a class lie together: no window may lack most of the classes."""
    order = _order(_pages([7] * 200), 20)
    assert len(order.pages) == 10
    for pages in order.pages:
        assert (pages // 10).tolist() == list(range(20))


def test_within_a_window_images_come_at_random() -> None:
    page_of = _pages([50] * 40)
    order = _order(page_of, 10)
    for start, end in zip(order.starts, order.starts[1:], strict=False):
        window = order.places[start:end]
        assert abs(np.corrcoef(window[:-1], window[1:])[0, 1]) < 0.15
        position = np.argsort(np.argsort(window))
        assert abs(np.corrcoef(position, np.arange(len(window)))[0, 1]) < 0.15


def test_over_many_epochs_every_pair_of_pages_meets() -> None:
    page_of = _pages([1] * 12)
    met = np.zeros((12, 12), int)
    for epoch in range(200):
        for pages in _order(page_of, 4, epoch=epoch).pages:
            met[np.ix_(pages, pages)] += 1
    same_stretch = np.arange(12)[:, None] // 3 == np.arange(12) // 3
    assert (met[~same_stretch] > 30).all()  # 200 / 3 are expected
    assert (met[same_stretch & ~np.eye(12, dtype=bool)] == 0).all()


PAGE = 1 << 16


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "x.beton"
    path.write_bytes(bytes(60 * PAGE))
    return path


def _wait_until_read(readers: list[PageReader], pages: int) -> int:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if sum(reader.bytes_read for reader in readers) >= pages * PAGE:
            break
        time.sleep(0.005)
    time.sleep(0.05)  # what should not be read would be by now
    return sum(reader.bytes_read for reader in readers) // PAGE


@pytest.mark.parametrize("world_size", [1, 3])
def test_pages_are_read_a_window_ahead_and_by_one_rank_each(file: Path, world_size: int) -> None:
    order = _order(_pages([5] * 60), 20)
    readers = [
        PageReader(file, PAGE, order, local_rank=rank, local_world_size=world_size)
        for rank in range(world_size)
    ]
    try:
        for place, pages in ((0, 20), (50, 30), (100, 40), (299, 60), (300, 60)):
            for reader in readers:
                reader.reach(place)
            assert _wait_until_read(readers, pages) == pages
    finally:
        for reader in readers:
            reader.close()


def test_a_resumed_epoch_reads_no_page_that_is_behind_it(file: Path) -> None:
    order = _order(_pages([5] * 60), 20)
    reader = PageReader(file, PAGE, order, first_place=150)
    ahead = ReadAhead(reader, 150, 10.0)
    try:
        assert _wait_until_read([reader], 30) == 30  # the window it is in, and half of the next
        for _ in range(15):
            ahead.after_batch()
        assert _wait_until_read([reader], 40) == 40
    finally:
        reader.close()


def test_windows_that_are_over_are_left_in_their_order(file: Path) -> None:
    order = _order(_pages([5] * 60), 20)
    left: list[list[int]] = []
    reader = PageReader(
        file, PAGE, order, first_place=50, leave=lambda pages: left.append(pages.tolist())
    )
    try:
        for place, num_left in ((99, 0), (100, 1), (120, 1), (290, 2), (300, 2)):
            reader.reach(place)
            assert left == [pages.tolist() for pages in order.pages[:num_left]]
    finally:
        reader.close()


def test_a_file_that_is_gone_is_left_to_those_who_need_it(file: Path) -> None:
    reader = PageReader(file.with_name("gone"), PAGE, _order(_pages([5] * 60), 20))
    reader.reach(300)
    reader.close()
    assert reader.bytes_read == 0
