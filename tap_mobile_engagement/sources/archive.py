"""Exports out of an archive: files that an earlier export left behind, recognised by content.

Files are listed once per run and looked at once. They are read in the order in which they were
written, so that the newest state wins. Each is an export of its own, for the stream of the data
type that it holds; one that is damaged or not recognised concerns every stream.
"""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from tap_mobile_engagement.errors import Code
from tap_mobile_engagement.sources.arrivals import Arrivals, arrival_text
from tap_mobile_engagement.sources.base import Check, Export, OnFailure, Part
from tap_mobile_engagement.sources.files import Files
from tap_mobile_engagement.sources.patterns import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tap_mobile_engagement.clock import Clock
    from tap_mobile_engagement.containers import Blob, Container
    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.settings import Settings
    from tap_mobile_engagement.sources.files import File
    from tap_mobile_engagement.state import PartitionState

_logger = logging.getLogger("tap-mobile-engagement")

SAMPLE_BLOBS = 200
"""Blobs that a dry run looks at, to find a file of each data type."""

_ON_FAILURE = {"fail": OnFailure.HOLD, "skip": OnFailure.SKIP}


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
        timing: Clock,
        workers: int | None = None,
    ) -> None:
        self._settings = settings
        self._rules = Rules.of(settings)
        self._container = container
        self._timing = timing
        self._is_closed = False
        self._files = Files(
            container,
            self._rules,
            now=timing.now,
            attend=self._heed_stop,
            workers=workers,
        )

    @property
    def partitions(self) -> tuple[str, ...]:
        """None: files do not say which app they are of, so state stands at stream level."""
        return ()

    def checks(self) -> Sequence[Check]:
        """That the container exists and can be listed, and that a file matches."""
        listing = Check("listing of the container", self._container.check)
        if self._settings.no_files == "accept":
            return (listing,)
        return (listing, Check("the files", self._files.check))

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
        """The files of a data type that are due, in the order in which they were written.

        Those of a snapshot are always due, so that the newest state of each device wins. Once
        an export is not committed, nothing behind it is finished either.
        """
        del app_name  # the label is in the settings
        listing = self._files.listing
        if not data_type.historical:
            for file in self._due(listing.blobs, data_type):
                yield self._export(file, data_type)
            return
        arrivals = Arrivals(
            listing.blobs,
            rules=self._rules,
            now=listing.at,
            state=state,
            replacing=not data_type.has_record_id,
        )
        if arrivals.is_rereading and arrivals.note():
            save()
        progress = _Progress(arrivals, self._files.of)
        for file in self._files.in_order(arrivals.due):
            if not _concerns(file, data_type):
                progress.done(file)
                continue
            self._heed_stop()
            yield self._export(file, data_type, partial(progress.done, file, exported=True))
            progress.is_held |= not progress.is_done(file)
        self._files.close()
        if arrivals.due and arrivals.note():
            save()

    def sample(self, data_type: DataType, app_name: str) -> Iterator[Export]:
        """Files of a data type among the first ones, for a dry run."""
        del app_name
        for file in self._due(self._files.listing.blobs[:SAMPLE_BLOBS], data_type):
            if not file.is_broken:
                yield self._export(file, data_type)

    def close(self) -> None:
        """Say what was found, all streams together."""
        self._files.close()
        counts = Counter(map(_kind, self._files.seen))
        counts["skipped for their names"] = len(self._files.skipped)
        if counts.total() and not self._is_closed:
            _logger.info(
                "Looked at %d files: %s",
                len(self._files.seen),
                ", ".join(f"{count} {what}" for what, count in sorted((+counts).items())),
            )
        self._is_closed = True

    def _due(self, blobs: Sequence[Blob], data_type: DataType) -> Iterator[File]:
        for file in self._files.in_order(blobs):
            if _concerns(file, data_type):
                self._heed_stop()
                yield file
        self._files.close()

    def _export(
        self, file: File, data_type: DataType, commit: Callable[[], None] = lambda: None
    ) -> Export:
        settings = self._settings
        is_unknown = file.problem is not None and file.problem.code is Code.BLOB_UNRECOGNISED
        reaction = settings.unrecognised_files if is_unknown else settings.bad_files
        return Export(
            data_type=data_type,
            app_name=next(iter(settings.app_names), ""),
            exported_until=arrival_text(file.arrived),
            parts=(
                Part(
                    file.blob.name, file.size, partial(self._files.open, file), file.blob.etag
                ),
            ),
            commit=commit,
            on_failure=_ON_FAILURE[reaction],
        )

    def _heed_stop(self) -> None:
        self._timing.pause(0)


class _Progress:
    """How far the files of one stream are done; a blob is done with the last of its files.

    Args:
        arrivals: Gets the blobs that are finished.
        files_of: Tells the files of a blob.

    Attributes:
        is_held: Whether a file is not done, so that no later one counts as done either.
    """

    def __init__(self, arrivals: Arrivals, files_of: Callable[[Blob], Sequence[File]]) -> None:
        self.is_held = False
        self._arrivals = arrivals
        self._files_of = files_of
        self._open: dict[Blob, int] = {}
        self._done: set[tuple[str, int | None]] = set()
        self._exported: set[Blob] = set()

    def is_done(self, file: File) -> bool:
        """Whether that is so of a file."""
        return (file.blob.name, file.member) in self._done

    def done(self, file: File, *, exported: bool = False) -> None:
        """Take note that a file is done: its records are out, or it has none."""
        if self.is_held:
            return
        blob = file.blob
        if exported:
            self._done.add((file.blob.name, file.member))
            self._exported.add(blob)
        self._open[blob] = self._open.get(blob) or len(self._files_of(blob))
        self._open[blob] -= 1
        if not self._open[blob]:
            self._arrivals.finish(blob, exported=blob in self._exported)
            if exported:
                self._arrivals.note()


def _concerns(file: File, data_type: DataType) -> bool:
    return file.stream == data_type.name or file.is_broken


def _kind(file: File) -> str:
    if file.stream is not None:
        return file.stream
    if file.problem is None:
        return "empty"
    return "not recognised" if file.problem.code is Code.BLOB_UNRECOGNISED else "damaged"
