"""Exports out of an archive: each file is one; what nothing recognises concerns all streams."""

from __future__ import annotations

import logging
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from tap_mobile_engagement.containers import open_container
from tap_mobile_engagement.containers.urls import check_container_url
from tap_mobile_engagement.errors import Code
from tap_mobile_engagement.sources.arrivals import Arrivals, arrival_text
from tap_mobile_engagement.sources.base import Export, Part
from tap_mobile_engagement.sources.files import Files
from tap_mobile_engagement.sources.patterns import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tap_mobile_engagement.clock import Clock
    from tap_mobile_engagement.containers import Blob
    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.settings import Settings
    from tap_mobile_engagement.sources.files import File
    from tap_mobile_engagement.state import PartitionState

_logger = logging.getLogger("tap-mobile-engagement")

SAMPLE_BLOBS = 200  # that a dry run looks at, to find a file of each data type


class ArchiveSource:
    """Yields the export files in a container, each as an export.

    Raises CONTAINER_URL_INVALID, BAD_SETTING or a SAS's code.
    """

    partitions: tuple[str, ...] = ()
    """None: files do not say which app they are of, so state stands at stream level."""

    def __init__(self, settings: Settings, timing: Clock) -> None:
        url = settings.container_url or ""  # the settings require one
        self._began = now = timing.now()  # before the blobs are listed
        check_container_url(url, needs="rl", now=now, setting="container_url")
        rules = Rules(
            settings.archive_pattern, settings.archive_types, settings.archive_encoding
        )
        self._settings = settings
        self._timing = timing
        self._files = Files(open_container(url, timing), rules, timing)

    def check(self) -> None:
        """Make sure that the container exists and can be listed, and that a file matches."""
        self._files.container.check()
        if self._settings.no_files == "fail":
            self._files.check()

    def prepare(self, *_: object) -> None:
        """Nothing: no work begins before :meth:`exports`."""

    def exports(
        self,
        data_type: DataType,
        _: str,
        state: PartitionState,
        save: Callable[[], None],
    ) -> Iterator[Export]:
        """The files of a data type that are due, in the order in which they were written.

        Those of a snapshot are always due, so that the newest state of each device wins.
        """
        if not data_type.historical:
            yield from self._exports_of(self._files.blobs, data_type)
            return
        arrivals = Arrivals(
            self._files.blobs,
            rules=self._files.rules,
            now=self._began,
            state=state,
            replacing=not data_type.has_record_id,
        )
        if arrivals.is_rereading and arrivals.note():
            save()
        for file in self._files.in_order(arrivals.due):
            done = partial(arrivals.finish, file.blob, of=len(self._files.seen[file.blob]))
            if file.stream == data_type.name or file.is_broken:
                yield self._export(file, data_type, partial(done, exported=True))
            else:
                done()
        self._files.close()
        if arrivals.due and arrivals.note():
            save()

    def keep_state(self, *_: object) -> None:
        """Nothing: no state changes while an export is read."""

    def sample(self, data_type: DataType, _: str) -> Iterator[Export]:
        """Files of a data type among the first ones, for a dry run."""
        return self._exports_of(self._files.blobs[:SAMPLE_BLOBS], data_type, broken=False)

    def close(self) -> None:
        """Say what was found, all streams together."""
        self._files.close()
        seen = [file for files in self._files.seen.values() for file in files]
        counts = Counter(map(_kind, seen))
        counts["skipped for their names"] = len(self._files.skipped)
        if counts.total():
            found = ", ".join(f"{count} {what}" for what, count in sorted((+counts).items()))
            _logger.info("Looked at %d files: %s", len(seen), found)

    def _exports_of(
        self, blobs: Sequence[Blob], data_type: DataType, *, broken: bool = True
    ) -> Iterator[Export]:
        for file in self._files.in_order(blobs):
            if file.stream == data_type.name or (broken and file.is_broken):
                yield self._export(file, data_type)
        self._files.close()

    def _export(
        self, file: File, data_type: DataType, commit: Callable[[], None] = lambda: None
    ) -> Export:
        self._timing.check()
        settings = self._settings
        is_unknown = file.problem is not None and file.problem.code is Code.BLOB_UNRECOGNISED
        reaction = settings.unrecognised_files if is_unknown else settings.bad_files
        opened = partial(self._files.open, file)
        return Export(
            data_type=data_type,
            app_name=next(iter(settings.app_names), ""),
            exported_until=arrival_text(file.arrived),
            parts=(Part(file.blob.name, file.size, opened, file.blob.etag),),
            commit=commit,
            on_failure="hold" if reaction == "fail" else "skip",
        )


def _kind(file: File) -> str:
    if file.stream is not None:
        return file.stream
    if file.problem is None:
        return "empty"
    return "not recognised" if file.problem.code is Code.BLOB_UNRECOGNISED else "damaged"
