"""Streams: the records of an export out, then its bookmark; an export that fails leaves it."""

from __future__ import annotations

import time
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from singer_sdk import Stream, metrics
from singer_sdk.exceptions import AbortedSyncExceptionBase
from singer_sdk.helpers.types import Context  # noqa: TC002  (the SDK reads annotations)
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE

from tap_mobile_engagement.clock import RunStopped
from tap_mobile_engagement.datatypes import LISTED_TYPES
from tap_mobile_engagement.errors import (
    Code,
    DataError,
    RetryLaterError,
    TapError,
    tap_error,
)
from tap_mobile_engagement.output.batch_files import BatchOutput, batch_config
from tap_mobile_engagement.output.lines import MessageWriter, RecordOutput, write_singly
from tap_mobile_engagement.reading.batch import Origin
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.rejects import BadRecords
from tap_mobile_engagement.settings import map_failed
from tap_mobile_engagement.sources.base import FILE_CODES
from tap_mobile_engagement.state import REPLICATION_KEY, PartitionState

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping

    from singer_sdk.helpers._batch import BatchConfig
    from singer_sdk.helpers.types import Record
    from singer_sdk.metrics import Counter
    from singer_sdk.singerlib import RecordMessage

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.output.lines import Output, Write
    from tap_mobile_engagement.sources.base import Export, Part
    from tap_mobile_engagement.tap import TapMobileEngagement


_MOST_READINGS = 3  # of one export in one run; files that never come to rest fail the stream
_BLOBS_GONE = {Code.BLOB_CHANGED, Code.BLOB_MISSING, Code.TASK_LOST}  # that a task wrote


class ExportStream(Stream):
    """One data type of all apps: incremental if it has timestamps, else a snapshot."""

    TYPE_CONFORMANCE_LEVEL = Stream.TYPE_CONFORMANCE_LEVEL.NONE  # records conform as they are

    _tap: TapMobileEngagement

    def __init__(self, tap: TapMobileEngagement, data_type: DataType) -> None:
        self.data_type = data_type
        super().__init__(tap, schema=data_type.schema, name=data_type.name)
        self.primary_keys = data_type.keys
        if data_type.historical:
            self.replication_key = REPLICATION_KEY
        self.selected_by_default = data_type not in LISTED_TYPES

    @property
    def partitions(self) -> list[dict[str, Any]] | None:
        """One per app; none where state stands at stream level."""
        apps = self._tap.source.partitions
        return [{"app_name": app} for app in apps] or None

    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """None: bookmarks here are ends of ranges, and need no guard against the clock."""

    def get_records(self, _: Context | None) -> Iterable[dict[str, Any]]:
        """Nothing: records are written block by block."""
        return ()

    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], None, None]:
        del context, write_messages  # only stock BATCH reads without writing
        yield from ()
        writer = cast("MessageWriter", self._tap.message_writer)
        write, version = self._write_record_message, self._stream_version
        output = RecordOutput(self.name, version, writer=writer, write_record=write)
        self._sync_exports(output)

    def _sync_batches(self, batch_config: BatchConfig, context: Context | None = None) -> None:
        del context
        output = BatchOutput(
            batch_config,
            f"{self.tap_name}--{self.name}",
            self.stream_maps[0].stream_alias,
            write_message=self._tap.write_message,
            messages=self._generate_record_messages,
        )
        self._sync_exports(output)

    def _generate_record_messages(self, record: Record) -> Generator[RecordMessage, None, None]:
        try:
            yield from super()._generate_record_messages(record)
        except Exception as error:  # whatever an expression of the user raises
            if not self.config.get("stream_maps"):
                raise
            raise map_failed(error) from error

    def get_batch_config(self, config: Mapping[str, Any]) -> BatchConfig | None:
        """The batch configuration; None where records are emitted, as in every dry run."""
        # Rows out of files have no version: ACTIVATE_VERSION would retire them at once.
        is_out = self.ABORT_AT_RECORD_COUNT is not None or self._stream_version is not None
        return None if is_out else batch_config(config)

    def _sync_exports(self, output: Output) -> None:
        """Emit and commit all exports that are due; after a failure the others continue."""
        try:
            with self.get_record_counter() as counter, self.get_sync_timer():
                write, gaps = self._choose_path(output), list[str]()
                for partition in self.partitions or [{}]:
                    counter.with_context(partition)
                    gaps += self._sync_partition(partition, write, output, counter)
                self._finish(gaps)
        except TapError as error:
            self._failed(error)
        except AbortedSyncExceptionBase:  # the SDK would log an error, and then ignore it
            self.logger.info("A dry run needs no more records of this stream")
        finally:
            output.discard()
            cast("MessageWriter", self._tap.message_writer).flush()
            self._bad_records.close()

    def _sync_partition(
        self, partition: Context, write: Write, output: Output, counter: Counter
    ) -> list[str]:
        """Emit the exports of a partition in order; return why they are not all there is."""
        self._records = self._bad_records.count = 0
        gaps: list[str] = []
        source, app_name, is_held = self._tap.source, partition.get("app_name", ""), False
        try:
            if self.ABORT_AT_RECORD_COUNT is None:
                state = self._state_of(partition)
                exports = source.exports(self.data_type, app_name, state, self._save_state)
            else:
                exports = source.sample(self.data_type, app_name)
            for export in exports:
                failure = self._sync_export(export, write, output, counter)
                if failure is not None:
                    gaps.append(f"the file {failure.where.get('blob')} could not be read")
                    is_held |= not _is_skipped(export, failure)
                elif not export.parts:
                    gaps.append("an export task wrote no file, which was counted as empty")
                if not is_held and self.ABORT_AT_RECORD_COUNT is None:
                    export.commit()
                    self._save_state()
            if self._bad_records.count:
                gaps.append("bad records were skipped")
            if not self._records:
                gaps.append("it holds no record")
        except (AbortedSyncExceptionBase, OSError):  # a dry run is done; the target has ended
            raise
        except Exception as error:  # noqa: BLE001  (the other streams continue)
            output.discard()
            self._failed(tap_error(error).at(app=partition.get("app_name")))
            gaps.append("it failed")
        return gaps

    def _sync_export(
        self, export: Export, write: Write, output: Output, counter: Counter
    ) -> TapError | None:
        """Emit one export; return its failure if the exports behind it can still be read."""
        try:
            self._emit(export, write, counter)
            output.finish()
        except TapError as error:
            if isinstance(error, DataError) or error.code in _BLOBS_GONE:
                export.discard()  # so that the next run asks for it anew
                self._save_state()
            is_dry_run = self.ABORT_AT_RECORD_COUNT is not None
            is_bad_file = error.code in FILE_CODES or error.code is Code.BAD_RECORD
            if is_dry_run or not is_bad_file or export.on_failure == "stop":
                raise
            output.finish()  # what could be read of it is delivered
            error.at(stream=self.name)
            self._tap.add_bad_file(error, is_skipped=_is_skipped(export, error))
            return error
        return None

    def _emit(self, export: Export, write: Write, counter: Counter) -> None:
        """Emit an export and count each part; from its start again if its files changed."""
        try:
            for _ in range(_MOST_READINGS):
                changed = self._read(export, write, counter)
                if changed is None:
                    return
                what = "Files of export task %s changed while they were read: it is read again"
                self.logger.warning(what, export.task_id)
                export = replace(export, parts=changed)
            raise RetryLaterError(
                Code.BLOB_CHANGED,
                f"the files of an export changed in each of {_MOST_READINGS} readings",
                next_step="Find out what writes to the container, then run again",
            )
        except TapError as error:
            raise error.at(range=export.window, task=export.task_id) from error.__cause__

    def _read(self, export: Export, write: Write, counter: Counter) -> tuple[Part, ...] | None:
        """Emit an export once; return its files as they are now if they changed."""
        began, records, failure = time.monotonic(), 0, None
        bad, repaired = self._bad_records.count, self._reader.repaired
        try:
            for part in export.parts:
                emitted = self._emit_part(export, part, write)
                counter.increment(emitted)
                records += emitted
        except TapError as error:
            failure = error
        changed = export.changed_files(failure)
        if changed is not None:
            self._bad_records.count = bad
            return changed
        if failure is not None:
            raise failure
        times = {"export_wait": export.waited, "export_read": time.monotonic() - began}
        size = sum(part.size for part in export.parts)
        bad, repaired = self._bad_records.count - bad, self._reader.repaired - repaired
        self.logger.info(
            "Read an export: app=%s range=%s task=%s blobs=%d bytes=%d records=%d bad=%d "
            "repaired=%d waited=%.1fs read=%.1fs",
            *(where or "-" for where in (export.app_name, export.window, export.task_id)),
            *(len(export.parts), size, records, bad, repaired, *times.values()),
        )
        for job_type, seconds in times.items():
            if job_type == "export_read" or export.task_id is not None:
                tags = {metrics.Tag.STREAM: self.name, metrics.Tag.JOB_TYPE: job_type}
                tags[metrics.Tag.STATUS] = metrics.Status.SUCCEEDED
                timer = metrics.Timer(metrics.Metric.JOB_DURATION, tags)
                timer.context = {"app_name": export.app_name} if export.app_name else None
                timer.start_time -= seconds  # it is over already
                timer.__exit__(None, None, None)
        self._records += records
        return None

    def _emit_part(self, export: Export, part: Part, write: Write) -> int:
        records, repaired, clock = 0, self._reader.repaired, self._tap.timing
        is_api = export.task_id is not None or part.elements is not None
        until = export.exported_until
        origin = Origin(self.data_type, export.app_name, part.blob_name, until)
        try:
            with part.open() as chunks:
                if part.elements is not None:
                    batches = self._reader.batches_of_elements(origin, part.elements())
                else:
                    batches = self._reader.batches(origin, chunks)
                for batch in batches:
                    if clock.is_stopped:
                        raise RunStopped
                    # Not behind the last batch: there a state would still hold a read task.
                    if is_api:
                        self._tap.source.keep_state(self._save_state)
                    write(batch)
                    records += batch.count
        except TapError as error:
            raise error.at(blob=part.blob_name) from error.__cause__
        if found := self._reader.repaired - repaired:
            what = "Replaced characters that no target can take in %d elements of %s"
            self.logger.warning(what, found, part.blob_name or "the service's answers")
        return records

    def _failed(self, error: TapError) -> None:
        """Note a failure with the tap. A dry run ends at once."""
        error.at(stream=self.name)
        if self.ABORT_AT_RECORD_COUNT is not None:
            raise error
        self._tap.add_failure(error)

    def _choose_path(self, output: Output) -> Write:
        """The SDK's path where more is asked for than all fields."""
        properties, maps = self.schema["properties"], self.stream_maps
        if (
            all(field.name in properties for field in self.data_type.record_fields)
            and all(self.mask.values())
            and self.ABORT_AT_RECORD_COUNT is None
            and [type(each) for each in maps] == [SameRecordTransform]
            and not maps[0].flattening_enabled
        ):
            return output.write

        written = count()

        def write_limited(record: dict[str, Any]) -> None:
            self._check_max_record_limit(next(written))
            output.write_record(record)

        self.logger.info("Writing records through the SDK")
        return partial(write_singly, write_limited, properties)

    def prepare(self) -> None:
        """Tell the source which exports this stream will ask for."""
        for partition in self.partitions or [{}]:
            app_name = partition.get("app_name", "")
            with suppress(DataError):  # a bad state is told in the stream's own turn
                self._tap.source.prepare(self.data_type, app_name, self._state_of(partition))

    def _state_of(self, partition: Context) -> PartitionState:
        state = self.get_context_state(partition or None)
        if self.data_type.historical and self.replication_method == REPLICATION_FULL_TABLE:
            # The catalog overrides the stream's own method: begin at the beginning.
            state.pop("replication_key_value", None)
        return PartitionState(state)

    @cached_property
    def _bad_records(self) -> BadRecords:
        settings = self._tap.settings
        is_skip, most = settings.bad_records == "skip", settings.max_bad_records
        letters = settings.dead_letter_path
        return BadRecords(self.name, skip=is_skip, most=most, dead_letter_path=letters)

    @cached_property
    def _reader(self) -> RecordReader:
        encoding = self._tap.settings.archive_encoding
        return RecordReader(self.data_type, self._bad_records, encoding=encoding)

    def _save_state(self) -> None:
        self.state_manager.is_flushed = False
        self._write_state_message()

    def _write_activate_version_message(self, full_table_version: int) -> None:
        """Nothing yet: the SDK calls this before the first record, which is too early."""

    def _finish(self, gaps: list[str]) -> None:
        """Retire the rows of earlier runs, unless there is a gap in what was read."""
        if self._stream_version is None or self.ABORT_AT_RECORD_COUNT is not None:
            return
        if gaps:
            self.logger.warning("No ACTIVATE_VERSION, so no row is retired: %s", gaps[0])
        else:
            super()._write_activate_version_message(self._stream_version)


def _is_skipped(export: Export, failure: TapError) -> bool:
    """Whether an export counts as finished though it failed; a bad record is not its file."""
    return export.on_failure == "skip" and failure.code is not Code.BAD_RECORD
