"""Read an export whole: its records out, its counts reported, again if its files changed."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from singer_sdk import metrics
from singer_sdk.metrics import Tag

from tap_mobile_engagement.clock import RunStopped
from tap_mobile_engagement.errors import Code, RetryLaterError, TapError
from tap_mobile_engagement.reading.batch import Origin
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.rejects import BadRecords

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_mobile_engagement.clock import Clock
    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.output.lines import LinePath, SdkPath
    from tap_mobile_engagement.settings import Settings
    from tap_mobile_engagement.sources.base import Export, Part

log = logging.getLogger("tap-mobile-engagement")

_MOST_READINGS = 3  # of one export in one run; files that never come to rest fail the stream


class ExportReader:
    """Reads the exports of one stream; calls ``keep_state`` during exports of the API."""

    def __init__(
        self,
        data_type: DataType,
        settings: Settings,
        clock: Clock,
        keep_state: Callable[[], None],
    ) -> None:
        is_skip, most = settings.bad_records == "skip", settings.max_bad_records
        path = settings.dead_letter_path
        self.bad_records = BadRecords(
            data_type.name, skip=is_skip, most=most, dead_letter_path=path
        )
        self.records = 0  # emitted since a caller set it to zero
        self._reader = RecordReader(data_type, self.bad_records, settings.archive_encoding)
        self._clock = clock
        self._keep_state = keep_state

    def emit(
        self, export: Export, path: LinePath | SdkPath, count: Callable[[int], None]
    ) -> None:
        """Emit an export and ``count`` each part; from its start again if its files changed."""
        try:
            for _ in range(_MOST_READINGS):
                changed = self._read(export, path, count)
                if changed is None:
                    return
                what = "Files of export task %s changed while they were read: it is read again"
                log.warning(what, export.task_id)
                export = replace(export, parts=changed)
            raise RetryLaterError(
                Code.BLOB_CHANGED,
                f"the files of an export changed in each of {_MOST_READINGS} readings",
                next_step="Find out what writes to the container, then run again",
            )
        except TapError as error:
            raise error.at(range=export.window, task=export.task_id) from error.__cause__

    def _read(
        self, export: Export, path: LinePath | SdkPath, count: Callable[[int], None]
    ) -> tuple[Part, ...] | None:
        """Emit an export once; return its files as they are now if they changed."""
        began, records = time.monotonic(), 0
        bad, repaired = self.bad_records.count, self._reader.repaired
        failure = None
        try:
            for part in export.parts:
                emitted = self._emit_part(export, part, path)
                count(emitted)
                records += emitted
        except TapError as error:
            failure = error
        changed = export.changed_files(failure)
        if changed is not None:
            self.bad_records.count = bad
            return changed
        if failure is not None:
            raise failure
        times = {"export_wait": export.waited, "export_read": time.monotonic() - began}
        size = sum(part.size for part in export.parts)
        bad, repaired = self.bad_records.count - bad, self._reader.repaired - repaired
        log.info(
            "Read an export: app=%s range=%s task=%s blobs=%d bytes=%d records=%d bad=%d "
            "repaired=%d waited=%.1fs read=%.1fs",
            *(where or "-" for where in (export.app_name, export.window, export.task_id)),
            *(len(export.parts), size, records, bad, repaired, *times.values()),
        )
        for job_type, seconds in times.items():
            if job_type == "export_read" or export.task_id is not None:
                tags = {Tag.STREAM: export.data_type.name, Tag.JOB_TYPE: job_type}
                tags[Tag.STATUS] = metrics.Status.SUCCEEDED
                timer = metrics.Timer(metrics.Metric.JOB_DURATION, tags)
                timer.context = {"app_name": export.app_name} if export.app_name else None
                timer.start_time -= seconds  # it is over already
                timer.__exit__(None, None, None)
        self.records += records
        return None

    def _emit_part(self, export: Export, part: Part, path: LinePath | SdkPath) -> int:
        records, repaired = 0, self._reader.repaired
        is_api = export.task_id is not None or part.elements is not None
        origin = Origin(
            export.data_type, export.app_name, part.blob_name, export.exported_until
        )
        try:
            with part.open() as chunks:
                if part.elements is not None:
                    batches = self._reader.batches_of_elements(origin, part.elements())
                else:
                    batches = self._reader.batches(origin, chunks)
                for batch in batches:
                    if self._clock.is_stopped:
                        raise RunStopped
                    # Not behind the last batch: a state there would still hold a task whose
                    # records are all out.
                    if is_api:
                        self._keep_state()
                    path.write(batch)
                    records += batch.count
        except TapError as error:
            raise error.at(blob=part.blob_name) from error.__cause__
        if found := self._reader.repaired - repaired:
            what = "Replaced characters that no target can take in %d elements of %s"
            log.warning(what, found, part.blob_name or "the service's answers")
        return records
