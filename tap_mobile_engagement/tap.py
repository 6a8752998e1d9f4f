"""The tap: its settings, its streams, and what holds them together."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, cast

from singer_sdk import Tap
from singer_sdk.exceptions import ConfigValidationError

from tap_mobile_engagement import settings as config_table
from tap_mobile_engagement.datatypes import DATA_TYPES, LISTED_TYPES
from tap_mobile_engagement.errors import SettingsError
from tap_mobile_engagement.exit import (
    errors_on_one_line,
    is_test_by_meltano,
    output_refused_is_told,
    report_checks,
    streams_failed,
)
from tap_mobile_engagement.output.batch_files import batch_config
from tap_mobile_engagement.output.lines import MessageWriter
from tap_mobile_engagement.redaction import install_log_redaction
from tap_mobile_engagement.streams import (
    ExportStream,
    HistoricalStream,
    ListedStream,
    SnapshotStream,
)
from tap_mobile_engagement.tasks.timing import RunStopped, StopFlag, Timing

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

    from singer_sdk import Stream

    from tap_mobile_engagement.errors import TapError
    from tap_mobile_engagement.settings import Settings
    from tap_mobile_engagement.sources.base import ExportSource


class TapMobileEngagement(Tap):
    """Singer tap for the raw data that Azure Mobile Engagement exports."""

    name = "tap-mobile-engagement"
    package_name = "tap-mobile-engagement"
    config_jsonschema: ClassVar[dict[str, Any]] = config_table.json_schema()
    message_writer_class = MessageWriter

    def __init__(self, **options: Any) -> None:
        install_log_redaction()
        self._failures: list[TapError] = []
        self._stop = StopFlag()
        self._signal = 0
        self.timing = Timing(stop=self._stop)
        super().__init__(**options)

    def discover_streams(self) -> list[ExportStream]:
        """One stream for each data type, and for what the service lists beside its data."""
        streams: list[ExportStream] = [
            (HistoricalStream if data_type.historical else SnapshotStream)(self, data_type)
            for data_type in DATA_TYPES
        ]
        return streams + [ListedStream(self, data_type) for data_type in LISTED_TYPES]

    @cached_property
    def settings(self) -> Settings:
        """The checked configuration.

        Raises:
            SettingsError: ``BAD_SETTING``.
        """
        return config_table.parse(self.config, today=self.timing.now().date())

    @cached_property
    def source(self) -> ExportSource:
        """Where exports come from."""
        from tap_mobile_engagement.sources.opening import open_source  # noqa: PLC0415  (slow to import)

        return open_source(self.settings, self.timing)

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        """Check the tap's own settings against the table, and the SDK's as the SDK does."""
        _, errors = config_table.check(self.config, today=self.timing.now().date())
        try:
            batch_config(self.config)
        except SettingsError as error:
            errors.append(error)
        messages = [str(error) for error in errors]
        if messages and raise_errors:
            summary = "Config validation failed"
            raise ConfigValidationError(summary, errors=messages, schema={})
        return messages or super()._validate_config(raise_errors=raise_errors)

    # A run: one stream's failure leaves the others running.

    def sync_all(self) -> None:  # type: ignore[misc]
        """Sync all selected streams, then fail if one of them did.

        The SDK marks this method as final and has no hook behind the last stream; what it
        does is left as it is.

        Raises:
            TapError: What a check found; ``OUTPUT_CLOSED`` if the target ended; otherwise
                ``STREAMS_FAILED``, with the streams and what to do about each.
        """
        if is_test_by_meltano():
            self.logger.info("Started by `meltano config test`: nothing is exported")
            self.run_connection_test()
            return
        with output_refused_is_told(), self._ended_by_signal():
            source = self.source
            for check in source.checks():
                check.run()
            try:
                for stream in self.streams.values():
                    if stream.selected:
                        cast("ExportStream", stream).prepare()
                super().sync_all()
            except RunStopped:
                self._come_to_rest(source)
                self._write_state()
                self.logger.warning("The state is written")
                raise
            else:
                self._come_to_rest(source)
            finally:
                source.close()
        if self._failures:
            raise streams_failed(self._failures)

    def _come_to_rest(self, source: ExportSource) -> None:
        """End the work in the background, and note in the state what came of it."""
        source.close()
        source.keep_state(self._write_state)

    def _write_state(self) -> None:
        self._state_writer.write_state(self.state)
        self.flush()

    def stream_failed(self, error: TapError) -> None:
        """Note a failure of a stream; the run goes on with what else there is to do."""
        self.logger.error("%s", error)
        self._failures.append(error)

    def run_sync_dry_run(  # type: ignore[misc]
        self,
        dry_run_record_limit: int | None = 1,
        streams: Iterable[Stream] | None = None,
    ) -> bool:
        """Tell the verdict on each check, then sync a few records of what needs no task.

        Raises:
            TapError: What a check found, or a stream.
        """
        with output_refused_is_told(), self._ended_by_signal():
            report_checks(self.source.checks())
            return super().run_sync_dry_run(dry_run_record_limit, streams)

    # Signals: they only set a flag, so that no message is cut in the middle.

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        del frame
        if self._signal:  # asked twice: do not wait for a target that reads no more
            os._exit(128 + signum)
        self._signal = signum
        self._stop.set()

    @contextmanager
    def _ended_by_signal(self) -> Iterator[None]:
        try:
            yield
        except RunStopped:
            self.logger.warning("Stopped by signal %d", self._signal)
            sys.exit(128 + self._signal)

    def check_stop(self) -> None:
        """Raise RunStopped if a signal asked the run to end."""
        self.timing.pause(0)

    def flush(self) -> None:
        """Hand all messages over to the operating system."""
        writer = self.message_writer
        if isinstance(writer, MessageWriter):
            writer.flush()

    # The command line: a failure is one line, not a traceback.

    @classmethod
    def invoke(cls, **options: Any) -> None:
        """Run the command line interface."""
        with errors_on_one_line():
            super().invoke(**options)

    @classmethod
    def cb_test(cls, *arguments: Any) -> None:
        """Run ``--test``."""
        with errors_on_one_line():
            super().cb_test(*arguments)


if __name__ == "__main__":
    TapMobileEngagement.cli()
