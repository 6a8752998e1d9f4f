"""The tap: its settings, its streams, and what holds them together."""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from functools import cached_property, partial
from io import StringIO
from typing import TYPE_CHECKING, Any, ClassVar, cast

from click import STRING
from singer_sdk import Tap
from singer_sdk.cli import plugin_cli
from singer_sdk.exceptions import ConfigValidationError
from singer_sdk.helpers._util import dump_json
from singer_sdk.plugin_base import _ConfigInput

from tap_mobile_engagement import inputs, settings
from tap_mobile_engagement.clock import Clock, RunStopped
from tap_mobile_engagement.datatypes import DATA_TYPES, LISTED_TYPES
from tap_mobile_engagement.errors import Code, SettingsError, TapError
from tap_mobile_engagement.exit import (
    ends_on_one_line,
    errors_on_one_line,
    is_test_by_meltano,
)
from tap_mobile_engagement.failures import Failures, report_checks
from tap_mobile_engagement.output.batch_files import batch_config
from tap_mobile_engagement.output.lines import MessageWriter
from tap_mobile_engagement.reading.rejects import check_dead_letter_path
from tap_mobile_engagement.redaction import install_log_redaction
from tap_mobile_engagement.sources.base import Check
from tap_mobile_engagement.streams import ExportStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from types import FrameType

    from click import Command, Context, Option, Parameter
    from singer_sdk import Stream

    from tap_mobile_engagement.settings import Settings
    from tap_mobile_engagement.sources.base import ExportSource


class TapMobileEngagement(Tap):
    """Singer tap for the raw data that Azure Mobile Engagement exports."""

    name = "tap-mobile-engagement"
    package_name = "tap-mobile-engagement"
    config_jsonschema: ClassVar[dict[str, Any]] = {
        "type": "object",
        "properties": {name: setting.schema for name, setting in settings.ALL_SETTINGS.items()},
    }
    message_writer_class = MessageWriter

    def __init__(self, **options: Any) -> None:
        install_log_redaction()
        self.failures = Failures()
        self._signal = 0
        self._signalled_at = 0.0
        self.timing = Clock()
        if isinstance(catalog := options.get("catalog"), dict):
            inputs.check_catalog(catalog)
        super().__init__(**options)

    def discover_streams(self) -> list[ExportStream]:
        """One stream for each data type, and for what the service lists beside its data."""
        return [ExportStream(self, data_type) for data_type in (*DATA_TYPES, *LISTED_TYPES)]

    @cached_property
    def settings(self) -> Settings:
        """The checked configuration."""
        return settings.parse(self.config, today=self.timing.now().date())

    @cached_property
    def source(self) -> ExportSource:
        """Where exports come from."""
        # Each is imported only where it is wanted: what talks to Azure is slow to load.
        if self.settings.source == "archive":
            from tap_mobile_engagement.sources.archive import ArchiveSource  # noqa: PLC0415

            return ArchiveSource(self.settings, self.timing)
        from tap_mobile_engagement.api.source import open_api  # noqa: PLC0415

        return open_api(self.settings, self.timing, self.state)

    @property
    def _env_var_config(self) -> dict[str, Any]:
        return inputs.read_environment(self._env_var_prefix)

    def _validate_config(self, *, raise_errors: bool = True) -> list[str]:
        self._config = settings.given(self._config)
        _, errors = settings.check(self.config, today=self.timing.now().date())
        try:
            if isinstance(self.config.get("batch_config"), dict):
                batch_config(self.config)
        except SettingsError as error:
            errors.append(error)
        messages = [*map(str, errors)]
        if raise_errors:
            inputs.warn_of_unknown(
                self.config, {*settings.REMOVED, *settings.ALL_SETTINGS}, "setting"
            )
            if messages:
                summary = "Config validation failed"
                raise ConfigValidationError(summary, errors=messages, schema={})
        return messages

    def setup_mapper(self) -> None:
        """Prepare stream maps and flattening; SettingsError BAD_SETTING or BAD_CATALOG."""
        try:
            super().setup_mapper()
        except TapError:
            raise
        except Exception as error:
            if self.config.get("stream_maps"):
                raise settings.map_failed(error) from error
            raise inputs.CATALOG.bad(f"the catalog can't be applied: {error}") from error

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the state that an earlier run left, or raise ``BAD_STATE``."""
        super().load_state(inputs.checked_state(state, self.settings.source) if state else {})

    def sync_all(self) -> None:  # type: ignore[misc]
        """Sync all selected streams, then raise STREAMS_FAILED if one of them failed.

        The SDK marks this method as final, and has no hook behind the last stream.
        """
        if is_test_by_meltano():
            self.logger.info("Started by `meltano config test`: nothing is exported")
            self.run_connection_test()
            return
        with self._ended_by_signal():
            source = self.source
            for check in self._checks():
                check.run()
            try:
                for stream in self.streams.values():
                    if stream.selected:
                        cast("ExportStream", stream).prepare()
                super().sync_all()
            except RunStopped:
                source.close()
                source.keep_state(self._write_state)
                self._write_state()
                self.logger.warning("The state is written")
                raise
            finally:
                source.close()
            source.keep_state(self._write_state)  # what the work in the background came to
        self.failures.end()

    def _checks(self) -> Sequence[Check]:
        checks = self.source.checks()
        path = self.settings.dead_letter_path
        if path is None or self.settings.bad_records != "skip":
            return checks
        return Check("the dead letter file", partial(check_dead_letter_path, path)), *checks

    def _write_state(self) -> None:
        self._state_writer.write_state(self.state)
        self.flush()

    def run_sync_dry_run(  # type: ignore[misc]
        self,
        dry_run_record_limit: int | None = 1,
        streams: Iterable[Stream] | None = None,
    ) -> bool:
        """Log what came of each check, then sync a few records of what needs no task.

        Streams that are off stay off: the SDK would sync them, with no field in their schema.
        """
        with self._ended_by_signal():
            report_checks(self._checks())
            tested = [each for each in streams or self.streams.values() if each.selected]
            return super().run_sync_dry_run(dry_run_record_limit, tested)

    def _handle_termination(self, signum: int, frame: FrameType | None) -> None:
        del frame
        if self._signal:  # asked twice: do not wait for a target that reads no more
            os._exit(128 + signum)
        self._signal = signum
        self._signalled_at = time.monotonic()
        self.timing.is_stopped = True

    @contextmanager
    def _ended_by_signal(self) -> Iterator[None]:
        try:
            yield
        except RunStopped:
            seconds = time.monotonic() - self._signalled_at
            self.logger.warning("Stopped by signal %d, %.1f s after it", self._signal, seconds)
            sys.exit(128 + self._signal)

    def flush(self) -> None:
        """Hand all messages over to the operating system."""
        writer = self.message_writer
        if isinstance(writer, MessageWriter):
            writer.flush()

    @plugin_cli
    def cli(cls) -> Command:  # noqa: N805  (the decorator makes it a property of the class)
        """The command, with its log set up."""
        with errors_on_one_line():
            try:
                command: Command = super().cli
            except Exception as error:
                raise SettingsError(
                    Code.BAD_SETTING,
                    f"the log can't be set up: {error}",
                    next_step="Correct LOGLEVEL, or the file that SINGER_SDK_LOG_CONFIG names",
                ) from error
        return command

    @classmethod
    def cb_config(cls, ctx: Context, param: Option, value: tuple[str, ...]) -> _ConfigInput:
        """Read ``--config``: files, of which the later count more, and the environment."""
        del ctx, param
        config: dict[str, Any] = {}
        for path in value:
            if path != "ENV":
                config |= inputs.CONFIG.read(path)
        return _ConfigInput(config=config, parse_env="ENV" in value)

    @classmethod
    def get_singer_command(cls) -> Command:
        """The command, with files that the tap reads itself."""
        command, one_line = super().get_singer_command(), errors_on_one_line()
        for option in command.params:
            if option.name in _READ:
                option.type = STRING
                option.callback = _read_as_json
            if option.callback is not None:
                option.callback = one_line(option.callback)
        assert command.callback is not None  # noqa: S101  (it is invoke)
        command.callback = one_line(command.callback)
        return ends_on_one_line(command)


_READ = {"state": inputs.STATE, "catalog": inputs.CATALOG}


def _read_as_json(ctx: Context, option: Parameter, path: str | None) -> StringIO | None:
    """A file as the SDK's command takes it: open, with JSON in it."""
    del ctx
    return None if path is None else StringIO(dump_json(_READ[str(option.name)].read(path)))
