"""Reads the pages of an epoch's windows into the page cache, a little before they are needed."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from resnet_cluster.data.page_order import PageOrder

JOIN_DEADLINE_S = 10.0
_READ_BYTES = 1 << 20


class PageReader:
    """A thread that reads ahead: while a window is trained on, the next one comes into memory.

    The ranks of a node share the pages out among them and find each other's in the cache. A page
    that was not read in time is no fault: whoever touches an image reads it.

    Args:
        path: the beton.
        page_bytes: of one page.
        order: the epoch's order.
        first_place: of the order, where the training begins: windows before it are not read.
        leave: called with the pages of a window that is over: they are not needed again.
        local_rank, local_world_size: of the ranks on this node.
    """

    def __init__(
        self,
        path: Path,
        page_bytes: int,
        order: PageOrder,
        *,
        first_place: int = 0,
        leave: Callable[[NDArray[np.int64]], None] = lambda pages: None,
        local_rank: int = 0,
        local_world_size: int = 1,
    ) -> None:
        self._path, self._page_bytes = path, page_bytes
        self._windows, self._leave = order.pages, leave
        self._pages = np.concatenate(order.pages)
        read_by = np.cumsum([len(pages) for pages in order.pages])
        self._starts = order.starts
        self._window = window = self._window_of(first_place)
        first_page = 0 if window == 0 else int(read_by[window - 1])
        self._mine = range(first_page + local_rank, len(self._pages), local_world_size)
        # When window w begins, it is all to be there; when it ends, window w + 1 as well.
        self._wanted_at = np.append(read_by, read_by[-1])
        self._wanted = 0
        self._changed = threading.Condition()
        self._is_closed = False
        self.bytes_read = 0
        self._thread = threading.Thread(target=self._run, name="pages", daemon=True)
        self._thread.start()
        self.reach(first_place)

    def reach(self, place: int) -> None:
        """Tell that the training has come to a place of the epoch's order."""
        wanted = int(np.ceil(np.interp(place, self._starts, self._wanted_at)))
        with self._changed:
            self._wanted = max(self._wanted, wanted)
            self._changed.notify()
        while self._window < self._window_of(place):
            self._leave(self._windows[self._window])
            self._window += 1

    def _window_of(self, place: int) -> int:
        window = int(np.searchsorted(self._starts, place, side="right")) - 1
        return min(window, len(self._windows) - 1)

    def close(self) -> None:
        """End the thread."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        self._thread.join(JOIN_DEADLINE_S)

    def _run(self) -> None:
        try:
            with self._path.open("rb", buffering=0) as file:
                for page in self._due():
                    self._read(file.fileno(), int(self._pages[page]) * self._page_bytes)
        except OSError:
            return  # whoever needs an image of it hears of it

    def _due(self) -> Iterator[int]:
        """Numbers of the pages that this rank reads, each when it is wanted."""
        for page in self._mine:
            with self._changed:
                while page >= self._wanted and not self._is_closed:
                    self._changed.wait()
                if self._is_closed:
                    return
            yield page

    def _read(self, file: int, start: int) -> None:
        """A page into the cache. Asking the kernel to do so, by advice, it may not."""
        end = start + self._page_bytes
        for offset in range(start, end, _READ_BYTES):
            if self._is_closed:
                return
            self.bytes_read += len(os.pread(file, min(_READ_BYTES, end - offset), offset))


class ReadAhead:
    """Tells a reader of pages how far the batches of a rank have come.

    Args:
        reader: reads the pages.
        first_place: of the epoch's order, where this rank begins.
        places_per_batch: images that all ranks train on while this one takes a batch.
    """

    def __init__(self, reader: PageReader, first_place: int, places_per_batch: float) -> None:
        self.reader = reader
        self._place, self._per_batch = float(first_place), places_per_batch

    def after_batch(self) -> None:
        """A batch has been taken."""
        self._place += self._per_batch
        self.reader.reach(int(self._place))
