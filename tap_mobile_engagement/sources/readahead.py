"""Fetch what comes next while the current export is emitted, within a fixed memory budget.

The network waits, decoding computes: a thread that only downloads lets both go on at once.
Nothing spills to disk.
"""

from __future__ import annotations

import threading
from collections import deque
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_mobile_engagement.sources.base import Part

BUDGET = 32 * 1024 * 1024
"""Bytes that may lie in memory for one part; at most two parts are fetched at once."""

_NAP = 1.0  # seconds; a thread that waits for room looks up this often, in case it was left


def fetched(part: Part, *, at_once: bool = False, budget: int = BUDGET) -> Part:
    """The same part, downloaded by a thread.

    Args:
        part: A part whose bytes come over a network.
        at_once: Whether to begin now; otherwise when it is opened.
        budget: Bytes that may wait for the reader; never less than one chunk.
    """
    download = _Download(part, budget)
    if at_once:
        download.start()
    return replace(part, open=download.read, remote=False)


class _Download:
    """One part on its way: a thread puts chunks in, the reader takes them out."""

    def __init__(self, part: Part, budget: int) -> None:
        self._part = part
        self._budget = budget
        self._changed = threading.Condition()
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._ended = False
        self._left = False  # by the reader
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="fetch-ahead", daemon=True)
        self._thread.start()

    @contextmanager
    def read(self) -> Iterator[Iterator[bytes]]:
        """What the part's own ``open`` promises, once."""
        if self._thread is None:
            self.start()
        try:
            yield self._taken()
        finally:
            with self._changed:
                self._left = True
                self._changed.notify_all()

    def _taken(self) -> Iterator[bytes]:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._chunks or self._ended)
                if not self._chunks:
                    if self._error is not None:
                        raise self._error
                    return
                chunk = self._chunks.popleft()
                self._size -= len(chunk)
                self._changed.notify_all()
            yield chunk

    def _run(self) -> None:
        try:
            with self._part.open() as chunks:
                for chunk in chunks:
                    if not self._put(chunk):
                        return
        except BaseException as error:  # noqa: BLE001  (raised again where it is read)
            self._error = error
        finally:
            with self._changed:
                self._ended = True
                self._changed.notify_all()

    def _put(self, chunk: bytes) -> bool:
        """Wait for room and hand a chunk over; False if nobody wants it any more."""
        with self._changed:
            while self._size and self._size + len(chunk) > self._budget and not self._left:
                self._changed.wait(_NAP)
            if self._left:
                return False
            self._chunks.append(chunk)
            self._size += len(chunk)
            self._changed.notify_all()
        return True
