"""Exports out of an archive: files that an earlier export left behind, recognised by content.

Files are listed once per run, and looked at once, in the order in which they arrived. Each is
an export of its own, for the stream of the data type that it holds.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from functools import cached_property, partial
from typing import TYPE_CHECKING

from tap_mobile_engagement.containers import FolderContainer
from tap_mobile_engagement.sources.arrivals import Arrivals, arrival_text, order
from tap_mobile_engagement.sources.base import Check, Export, Part
from tap_mobile_engagement.sources.files import Files
from tap_mobile_engagement.sources.patterns import Rules
from tap_mobile_engagement.tasks.parallel import map_in_order

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from datetime import datetime

    from tap_mobile_engagement.containers import Blob, Container
    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.settings import Settings
    from tap_mobile_engagement.sources.files import File
    from tap_mobile_engagement.tasks.timing import Timing
    from tap_mobile_engagement.windows import PartitionState

_logger = logging.getLogger("tap-mobile-engagement")

WORKERS = 8
"""Blobs of a remote container that may be looked at at once."""

SAMPLE_BLOBS = 200
"""Blobs that a dry run looks at, to find a file of each data type."""


class ArchiveSource:
    """Yields the export files that are in a container, each as an export.

    Args:
        settings: The checked configuration.
        container: Where the files are.
        timing: The clock and the stop flag.
        workers: Blobs to look at at once; by default one in a folder, several elsewhere.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        container: Container,
        timing: Timing,
        workers: int | None = None,
    ) -> None:
        self._rules = Rules.of(settings)
        self._label = next(iter(settings.app_names), "")
        self._container = container
        self._timing = timing
        is_folder = isinstance(container, FolderContainer)
        self._workers = workers or (1 if is_folder else WORKERS)
        self._files = Files(container, self._rules.data_type)
        self._told: set[Blob] = set()
        self._counts: Counter[str] = Counter()

    @property
    def partitions(self) -> tuple[str, ...]:
        """None: files do not say which app they are of, so state stands at stream level."""
        return ()

    def checks(self) -> Sequence[Check]:
        """That the container is there and can be listed."""
        return (Check("listing of the container", self._container.check),)

    def prepare(self, data_type: DataType, app_name: str, state: PartitionState) -> None:
        """Nothing: whatever is asked for is there already."""

    def keep_state(self, save: Callable[[], None]) -> None:
        """Nothing: no state changes behind the back of a stream."""

    def exports(
        self,
        data_type: DataType,
        app_name: str,
        state: PartitionState,
        save: Callable[[], None],
    ) -> Iterator[Export]:
        """The files of a data type that are due, by arrival, then name.

        Those of a snapshot are always due, so that the newest state of each device wins.
        """
        del app_name  # the label is in the settings
        if not data_type.historical:
            for blob, files in self._look_at(self._listing.blobs):
                export = self._export(blob, files, data_type)
                if export:
                    yield export
            return
        listing = self._listing
        arrivals = Arrivals(listing.blobs, rules=self._rules, now=listing.at, state=state)
        for blob, files in self._look_at(arrivals.due):
            export = self._export(blob, files, data_type, _Commit(blob, arrivals, state))
            if export:
                yield export
            else:
                arrivals.finish(blob)
        if arrivals.due and arrivals.note():
            save()

    def sample(self, data_type: DataType, app_name: str) -> Iterator[Export]:
        """Files of a data type among the first ones, for a dry run."""
        del app_name
        for blob, files in self._look_at(self._listing.blobs[:SAMPLE_BLOBS]):
            export = self._export(blob, files, data_type)
            if export:
                yield export

    def close(self) -> None:
        """Say what was found, all streams together."""
        self._files.close()
        if self._counts:
            _logger.info(
                "Looked at %d files: %s",
                self._counts.total(),
                ", ".join(f"{count} {what}" for what, count in sorted(self._counts.items())),
            )
            self._counts.clear()

    @cached_property
    def _listing(self) -> _Listing:
        at = self._timing.now()
        listed = self._container.list(self._rules.prefix)
        blobs = (blob for blob in listed if self._rules.looks_at(blob.name))
        return _Listing(at, sorted(blobs, key=order))

    def _export(
        self,
        blob: Blob,
        files: Iterable[File],
        data_type: DataType,
        commit: Callable[[], None] = lambda: None,
    ) -> Export | None:
        """The export of a data type that a blob holds; None if it holds nothing of it."""
        parts = tuple(
            Part(blob.name, file.size, partial(self._files.open, file), blob.etag)
            for file in files
            if file.found.data_type is data_type
        )
        if not parts:
            return None
        return Export(
            data_type=data_type,
            app_name=self._label,
            exported_until=arrival_text(blob),
            parts=parts,
            commit=commit,
        )

    def _look_at(self, blobs: Sequence[Blob]) -> Iterator[tuple[Blob, tuple[File, ...]]]:
        """The blobs in order, each with the files in it; some are looked at ahead."""
        with closing(self._files_of(blobs)) as found:
            try:
                for blob, files in zip(blobs, found, strict=True):
                    self._timing.pause(0)  # a stop is due between two files
                    if blob not in self._told:
                        self._told.add(blob)
                        self._tell_of(files)
                    yield blob, files
            finally:
                self._files.close()

    def _files_of(self, blobs: Sequence[Blob]) -> Generator[tuple[File, ...], None, None]:
        if self._workers == 1 or all(map(self._files.has_seen, blobs)):
            yield from map(self._files.of, blobs)
        else:
            yield from map_in_order(self._files.of, blobs, workers=self._workers)

    def _tell_of(self, files: Iterable[File]) -> None:
        """Count what was found; name each file that no stream will read, and why."""
        for file in files:
            found = file.found
            if found.data_type:
                self._counts[found.data_type.name] += 1
            elif found.is_empty:
                self._counts["empty"] += 1
            else:
                self._counts["not recognised"] += 1
                _logger.warning("Left out the file %s: %s", file.name, found.reason)


@dataclass(frozen=True, slots=True)
class _Listing:
    """The blobs that are looked at, in the order in which they are read.

    Attributes:
        at: When they were listed.
        blobs: By arrival, then name.
    """

    at: datetime
    blobs: list[Blob]


@dataclass(frozen=True, slots=True)
class _Commit:
    """Notes in a stream's state that all records of a blob are out."""

    blob: Blob
    arrivals: Arrivals
    state: PartitionState

    def __call__(self) -> None:
        self.arrivals.finish(self.blob)
        self.state.advance_to(arrival_text(self.blob))
        self.arrivals.note()
