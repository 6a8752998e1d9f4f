"""Streams: read an export, emit its records, reconcile the counts, then move the bookmark.

Every stream does the same for every export, wherever it comes from. The order is the promise:
the bookmark moves behind the last record of an export, so it can never pass data that was not
emitted; an export that fails leaves it where it was.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import cached_property
from itertools import count
from typing import TYPE_CHECKING, Any, cast

from singer_sdk import Stream
from singer_sdk.exceptions import AbortedSyncExceptionBase
from singer_sdk.helpers.types import Context  # noqa: TC002  (the SDK reads annotations)
from singer_sdk.mapper import SameRecordTransform
from singer_sdk.singerlib.catalog import REPLICATION_FULL_TABLE

from tap_mobile_engagement.errors import Code, DataError, RetryLaterError, TapError
from tap_mobile_engagement.output.batch_files import BatchOutput, batch_config
from tap_mobile_engagement.output.lines import LinePath, MessageWriter, Output, RecordOutput
from tap_mobile_engagement.output.sdk import SdkPath, selected_fields
from tap_mobile_engagement.reading.batch import Origin
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.rejects import BadRecords
from tap_mobile_engagement.report import Tally, report
from tap_mobile_engagement.settings import map_failed
from tap_mobile_engagement.sources.base import FILE_CODES, OnFailure
from tap_mobile_engagement.state import REPLICATION_KEY, PartitionState

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence

    from singer_sdk.helpers._batch import BatchConfig
    from singer_sdk.helpers.types import Record
    from singer_sdk.metrics import Counter
    from singer_sdk.singerlib import RecordMessage

    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.batch import Batch
    from tap_mobile_engagement.sources.base import Export, Part
    from tap_mobile_engagement.tap import TapMobileEngagement


MOST_READINGS = 3
"""How often one export is read in one run; files that change each time fail the stream."""

_BLOBS_GONE = {
    Code.BLOB_CHANGED,
    Code.BLOB_MISSING,
    Code.TASK_LOST,
}  # what a task wrote is not there any more


class ExportStream(Stream):
    """One data type of all apps.

    Args:
        tap: The tap.
        data_type: The data type; its name is the stream's.
    """

    TYPE_CONFORMANCE_LEVEL = Stream.TYPE_CONFORMANCE_LEVEL.NONE  # records conform as they are

    _tap: TapMobileEngagement

    def __init__(self, tap: TapMobileEngagement, data_type: DataType) -> None:
        self.data_type = data_type
        super().__init__(tap, schema=data_type.schema, name=data_type.name)
        self.primary_keys = data_type.keys
        self._bad_records: BadRecords | None = None
        self._emitted = 0  # records of the partition at hand

    @property
    def partitions(self) -> list[dict[str, Any]] | None:
        """One per app; none where state stands at stream level."""
        apps = self._tap.source.partitions
        return [{"app_name": app} for app in apps] or None

    def get_replication_key_signpost(self, context: Context | None = None) -> None:
        """None: bookmarks here are ends of ranges, and need no guard against the clock."""

    def get_records(self, context: Context | None) -> Iterable[dict[str, Any]]:
        """The records of one partition, without a message being written for them."""
        for export in self._exports(context or {}):
            for part in export.parts:
                with self._batches(export, part) as batches:
                    for batch in batches:
                        yield from batch.dictionaries()

    def _sync_records(
        self, context: Context | None = None, *, write_messages: bool = True
    ) -> Generator[dict[str, Any], None, None]:
        """Emit all exports that are due as RECORD messages.

        Yields:
            Nothing: records are written block by block, and nobody asks for them here.
        """
        del write_messages  # only stock BATCH reads without writing
        yield from ()
        output = RecordOutput(
            self.name,
            self._stream_version,
            writer=cast("MessageWriter", self._tap.message_writer),
            write_record=self._write_record_message,
        )
        self._sync_exports(context, output)

    def _sync_batches(self, batch_config: BatchConfig, context: Context | None = None) -> None:
        """Emit all exports that are due as BATCH messages."""
        output = BatchOutput(
            batch_config,
            f"{self.tap_name}--{self.name}",
            self.stream_maps[0].stream_alias,
            write_message=self._tap.write_message,
            messages=self._generate_record_messages,
        )
        self._sync_exports(context, output)

    def _generate_record_messages(self, record: Record) -> Generator[RecordMessage, None, None]:
        """The messages that stream maps make of a record."""
        try:
            yield from super()._generate_record_messages(record)
        except Exception as error:  # whatever an expression of the user raises
            if not self.config.get("stream_maps"):
                raise
            raise map_failed(error) from error

    def get_batch_config(self, config: Mapping[str, Any]) -> BatchConfig | None:
        """The batch configuration; None where records are emitted, as in every dry run."""
        if self.ABORT_AT_RECORD_COUNT is not None:
            return None
        if self._stream_version is not None:
            # Rows out of files have no version: ACTIVATE_VERSION would retire them at once.
            return None
        return batch_config(config)

    def _sync_exports(self, context: Context | None, output: Output) -> None:
        """Emit all exports that are due, partition by partition, and commit each.

        A failure is noted with the tap, and keeps neither the other partitions nor the other
        streams from going on.
        """
        try:
            with self.get_record_counter() as counter, self.get_sync_timer():
                path = self._choose_path(output)
                gaps = [
                    self._sync_partition(partition, path, output, counter)
                    for partition in self._partitions(context)
                ]
                self._finish(next(filter(None, gaps), ""))
        except TapError as error:
            self._failed(error)
        except AbortedSyncExceptionBase:  # the SDK would log an error, and then ignore it
            self.logger.info("A dry run needs no more records of this stream")
        finally:
            output.discard()
            self._tap.flush()
            if self._bad_records:
                self._bad_records.close()

    def _sync_partition(
        self, partition: Context, path: LinePath | SdkPath, output: Output, counter: Counter
    ) -> str:
        """Emit the exports of one partition in order, up to the first that stops it.

        Returns:
            Why it can't be taken for all that there is; empty if it can.
        """
        counter.with_context(partition)
        self._emitted = self._rejects.count = 0
        gaps: list[str] = []
        is_held = is_unsaved = False
        try:
            for export in self._exports(partition):
                failure = self._sync_export(export, path, output, counter)
                if failure is not None:
                    gaps.append(f"the file {failure.where.get('blob')} could not be read")
                    is_held |= not _is_skipped(export, failure)
                elif not export.parts:
                    gaps.append("an export task wrote no file, which was counted as empty")
                if not is_held and failure is None:
                    self._commit(export)
                elif not is_held:
                    export.commit()
                    is_unsaved = True  # one state after all of them will do
            if is_unsaved:
                self._save_state()
            if self._rejects.count:
                gaps.append("bad records were skipped")
            elif not self._emitted:
                gaps.append("it holds no record")
        except TapError as error:
            output.discard()
            self._failed(error.at(app=partition.get("app_name")))
            gaps.append("it failed")
        return next(iter(gaps), "")

    def _sync_export(
        self, export: Export, path: LinePath | SdkPath, output: Output, counter: Counter
    ) -> TapError | None:
        """Emit one export; return what is wrong with it where those behind it can be read."""
        try:
            self._emit(export, path, counter)
            output.finish()
        except TapError as error:
            is_dry_run = self.ABORT_AT_RECORD_COUNT is not None
            is_bad_file = error.code in FILE_CODES or error.code is Code.BAD_RECORD
            if is_dry_run or not is_bad_file or export.on_failure is OnFailure.STOP:
                raise
            output.finish()  # what could be read of it is delivered
            error.at(stream=self.name)
            self._tap.failures.add_file(error, is_skipped=_is_skipped(export, error))
            return error
        return None

    def _failed(self, error: TapError) -> None:
        """Note a failure with the tap. In a dry run it is the verdict, and ends it at once."""
        error.at(stream=self.name)
        if self.ABORT_AT_RECORD_COUNT is not None:
            raise error
        self._tap.failures.add(error)

    def _choose_path(self, output: Output) -> LinePath | SdkPath:
        """The SDK's path where more is asked for than a choice of fields."""
        properties = self.schema["properties"]
        selected = selected_fields(self.data_type, properties, self.mask)
        reason = self._needs_sdk(selected)
        if selected is not None and reason is None:
            return LinePath(self.data_type, output, selected)

        written = count()

        def write_limited(record: dict[str, Any]) -> None:
            self._check_max_record_limit(next(written))
            output.write_record(record)

        self.logger.info("Writing records through the SDK: %s", reason)
        return SdkPath(write_limited, properties)

    def _needs_sdk(self, selected: Sequence[str] | None) -> str | None:
        """Why the records of this stream have to go through the SDK; None if nothing asks."""
        maps = self.stream_maps
        is_mapped = len(maps) != 1 or type(maps[0]) is not SameRecordTransform
        is_own_writer = isinstance(self._tap.message_writer, MessageWriter)
        reasons = {
            "it is a dry run": self.ABORT_AT_RECORD_COUNT is not None,
            "its fields are selected in part": selected is None,
            "there is a stream map": is_mapped,
            "records are flattened": any(each.flattening_enabled for each in maps),
            "the tap was given another writer": not is_own_writer,
        }
        return next((reason for reason, holds in reasons.items() if holds), None)

    def _partitions(self, context: Context | None) -> list[Context]:
        """What to sync: one partition, or all there are; an empty one is the whole stream."""
        return [context] if context else [*(self.partitions or [{}])]

    def prepare(self) -> None:
        """Tell the source which exports this stream will ask for."""
        for partition in self._partitions(None):
            app_name = partition.get("app_name", "")
            with suppress(DataError):  # a bad state is told in the stream's own turn
                self._tap.source.prepare(self.data_type, app_name, self._state_of(partition))

    def _state_of(self, partition: Context) -> PartitionState:
        return PartitionState(self.get_context_state(partition or None))

    def _exports(self, partition: Context) -> Iterator[Export]:
        source = self._tap.source
        app_name = partition.get("app_name", "")
        if self.ABORT_AT_RECORD_COUNT is not None:
            return source.sample(self.data_type, app_name)
        state = self._state_of(partition)
        return source.exports(self.data_type, app_name, state, self._save_state)

    def _emit(self, export: Export, path: LinePath | SdkPath, counter: Counter) -> None:
        """Emit the records of an export; from its start again if its files changed meanwhile.

        An export whose files prove bad is discarded, so that the next run asks for it anew.
        """
        try:
            for _ in range(MOST_READINGS):
                changed = self._read(export, path, counter)
                if changed is None:
                    return
                self.logger.warning(
                    "Files of export task %s changed while they were read: it is read again",
                    export.task_id,
                )
                export = replace(export, parts=changed)
            raise RetryLaterError(
                Code.BLOB_CHANGED,
                f"the files of an export changed each of the {MOST_READINGS} times that they "
                "were read",
                next_step="Find out what writes to the container, then run again",
            )
        except TapError as error:
            if isinstance(error, DataError) or error.code in _BLOBS_GONE:
                export.discard()
                self._save_state()
            raise error.at(range=export.window, task=export.task_id) from error.__cause__

    def _read(
        self, export: Export, path: LinePath | SdkPath, counter: Counter
    ) -> tuple[Part, ...] | None:
        """Emit the records of an export once, and reconcile it in one log line.

        Returns:
            None if that is all; otherwise its files as they are by now, to be read instead.
        """
        tally = Tally()
        bad_before = self._rejects.count
        try:
            for part in export.parts:
                before = tally.records
                self._emit_part(export, part, path, tally)
                counter.increment(tally.records - before)
        except TapError as error:
            changed = export.changed_files(error)
            if changed is None:
                raise
        else:
            changed = export.changed_files()
        if changed is not None:
            self._rejects.count = bad_before
            return changed
        report(export, tally, bad=self._rejects.count - bad_before, logger=self.logger)
        self._emitted += tally.records
        return None

    def _emit_part(
        self, export: Export, part: Part, path: LinePath | SdkPath, tally: Tally
    ) -> None:
        """Emit the records of a part.

        Before each batch a stop is heeded and the state brought up to date, and not behind the
        last: a state there would still hold a task whose records are all out.
        """
        reader = self._reader
        repaired = reader.repaired
        is_stopped = self._tap.timing.stop.is_set
        is_api = export.task_id is not None or part.elements is not None
        try:
            with self._batches(export, part) as batches:
                for batch in batches:
                    if is_stopped():
                        self._tap.check_stop()
                    if is_api:
                        self._tap.source.keep_state(self._save_state)
                    path.write(batch)
                    tally.records += batch.count
        except TapError as error:
            raise error.at(blob=part.blob_name) from error.__cause__
        tally.size += part.size
        found = reader.repaired - repaired
        tally.repaired += found
        if found:
            self.logger.warning(
                "Replaced characters that no target can take in %d elements of %s",
                found,
                part.blob_name or "the service's answers",
            )

    @contextmanager
    def _batches(self, export: Export, part: Part) -> Iterator[Iterator[Batch]]:
        """The records of a part, whether it has bytes or elements."""
        origin = Origin(self.data_type, export.app_name, part.blob_name, export.exported_until)
        if part.elements is not None:
            yield self._reader.batches_of_elements(origin, part.elements())
            return
        with part.open() as chunks:
            yield self._reader.batches(origin, chunks)

    @cached_property
    def _reader(self) -> RecordReader:
        encoding = self._tap.settings.archive_encoding
        return RecordReader(self.data_type, self._rejects, encoding=encoding)

    @property
    def _rejects(self) -> BadRecords:
        if self._bad_records is None:
            settings = self._tap.settings
            self._bad_records = BadRecords(
                self.name,
                skip=settings.bad_records == "skip",
                most=settings.max_bad_records,
                dead_letter_path=settings.dead_letter_path,
            )
        return self._bad_records

    def _commit(self, export: Export) -> None:
        """Move the bookmark: all records of the export have been written."""
        if self.ABORT_AT_RECORD_COUNT is None:
            export.commit()
            self._save_state()

    def _save_state(self) -> None:
        self.state_manager.is_flushed = False
        self._write_state_message()

    def _write_activate_version_message(self, full_table_version: int) -> None:
        """Nothing yet: the SDK calls this before the first record, which is too early."""

    def _finish(self, gap: str) -> None:
        """Retire the rows of earlier runs, if what was read is proven to be all there is.

        Args:
            gap: Why it is not proven; empty if it is.
        """
        if self._stream_version is None or self.ABORT_AT_RECORD_COUNT is not None:
            return
        if gap:
            self.logger.warning("No ACTIVATE_VERSION, so no row is retired: %s", gap)
        else:
            super()._write_activate_version_message(self._stream_version)


def _is_skipped(export: Export, failure: TapError) -> bool:
    """Whether an export counts as finished though it failed; a bad record is not its file."""
    return export.on_failure is OnFailure.SKIP and failure.code is not Code.BAD_RECORD


class HistoricalStream(ExportStream):
    """A data type with timestamps: incremental, by date range or by arrival of files."""

    def __init__(self, tap: TapMobileEngagement, data_type: DataType) -> None:
        super().__init__(tap, data_type)
        self.replication_key = REPLICATION_KEY

    def _state_of(self, partition: Context) -> PartitionState:
        if self.replication_method == REPLICATION_FULL_TABLE:
            # The catalog overrides the stream's own method: begin at the beginning.
            self.get_context_state(partition or None).pop("replication_key_value", None)
        return super()._state_of(partition)


class SnapshotStream(ExportStream):
    """A data type that is exported whole: full-table.

    With ``emit_activate_version_messages`` a snapshot replaces the one before it. The message
    that retires old rows follows the last record, and only a snapshot that is proven whole.
    """


class ListedStream(SnapshotStream):
    """What the service lists beside its data: full-table, and off unless selected."""

    selected_by_default = False
