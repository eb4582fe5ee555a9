"""Threads that take turns: one is alone, and the others wait between their steps."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from resnet_cluster.training import lanes

NUM_THREADS, NUM_STEPS = 4, 60


def test_nobody_steps_while_one_is_alone() -> None:
    turns = lanes._Turns()
    inside: set[int] = set()
    seen_alone: list[set[int]] = []
    start = threading.Barrier(NUM_THREADS)

    def train(me: int) -> int:
        start.wait(20)
        turns.enter()
        num_alone = 0
        for step in range(NUM_STEPS):
            turns.give_way()
            if step % 7 == me:
                with turns.alone() as is_alone:
                    assert is_alone
                    seen_alone.append(set(inside))
                    time.sleep(0.001)
                    seen_alone.append(set(inside))
                    num_alone += 1
            inside.add(me)
            time.sleep(0.0002)
            inside.discard(me)
        turns.leave()
        return num_alone

    with ThreadPoolExecutor(NUM_THREADS) as threads:
        taken = list(threads.map(train, range(NUM_THREADS)))
    assert taken == [len(range(me, NUM_STEPS, 7)) for me in range(NUM_THREADS)]
    assert set(map(frozenset, seen_alone)) == {frozenset()}
    assert turns._num_inside == 0


def test_who_is_not_left_alone_in_time_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lanes, "ALONE_DEADLINE_S", 0.1)
    turns = lanes._Turns()
    turns.enter()
    turns.enter()  # another, at a long measurement
    with turns.alone() as is_alone:
        assert not is_alone
    turns.give_way()  # waits for nobody
    turns.leave()
    with turns.alone() as is_alone:
        assert is_alone
    turns.leave()
    assert turns._num_inside == 0


def test_who_was_alone_and_failed_leaves_the_others_free() -> None:
    turns = lanes._Turns()
    turns.enter()
    with pytest.raises(RuntimeError, match="capture"), turns.alone():
        raise RuntimeError("the capture failed")
    turns.give_way()
    turns.leave()
    turns.enter()
    turns.leave()
    assert turns._num_inside == 0
