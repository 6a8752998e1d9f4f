"""The tap: its settings, its streams, and what holds them together."""

from __future__ import annotations

import os
import stat
import sys
import time
from contextlib import contextmanager
from functools import cached_property
from io import StringIO
from pathlib import Path
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
from tap_mobile_engagement.errors import (
    Code,
    SettingsError,
    TapError,
    ends_on_one_line,
    errors_on_one_line,
)
from tap_mobile_engagement.output.batch_files import batch_config
from tap_mobile_engagement.output.lines import MessageWriter
from tap_mobile_engagement.reading.rejects import check_dead_letter_path
from tap_mobile_engagement.redaction import install_log_redaction
from tap_mobile_engagement.streams import ExportStream

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from types import FrameType

    from click import Command, Context, Option, Parameter
    from singer_sdk import Stream

    from tap_mobile_engagement.api.source import ApiSource
    from tap_mobile_engagement.settings import Settings
    from tap_mobile_engagement.sources.archive import ArchiveSource


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
        self._failures: list[TapError] = []
        self._bad_files: dict[tuple[object, object], TapError] = {}
        self._signalled = 0, 0.0  # the number, and when it came
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
        found, errors = settings.check(self.config, today=self.timing.now().date())
        if found is None:
            raise errors[0]
        return found

    @cached_property
    def source(self) -> ApiSource | ArchiveSource:
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
            known = {*settings.REMOVED, *settings.ALL_SETTINGS}
            inputs.warn_of_unknown(self.config, known, "setting")
            if messages:
                what = "Config validation failed"
                raise ConfigValidationError(what, errors=messages, schema={})
        return messages

    def setup_mapper(self) -> None:
        """Prepare stream maps and flattening; SettingsError BAD_SETTING or BAD_CATALOG."""
        try:
            super().setup_mapper()
        except Exception as error:
            if isinstance(error, TapError):
                raise
            if self.config.get("stream_maps"):
                raise settings.map_failed(error) from error
            raise inputs.CATALOG.bad(f"the catalog can't be applied: {error}") from error

    def load_state(self, state: dict[str, Any]) -> None:
        """Take up the state that an earlier run left, or raise ``BAD_STATE``."""
        super().load_state(inputs.checked_state(state, self.settings.source) if state else {})

    def sync_all(self) -> None:  # type: ignore[misc]
        """Sync all selected streams, then raise STREAMS_FAILED if one of them failed."""
        if _is_test_by_meltano():
            self.logger.info("Started by `meltano config test`: nothing is exported")
            self.run_connection_test()
            return
        with self._ended_by_signal():
            self._check()
            try:
                for stream in self.streams.values():
                    if stream.selected:
                        cast("ExportStream", stream).prepare()
                super().sync_all()
            finally:
                self.source.close()
                # What ended in the background.
                self.source.keep_state(lambda: self._state_writer.write_state(self.state))
        if self._failures:
            raise self._streams_failed()

    def add_failure(self, error: TapError) -> None:
        """Note a failure of a stream; the run continues with the others."""
        self.logger.error("%s", error)
        self._failures.append(error)

    def add_bad_file(self, error: TapError, *, is_skipped: bool) -> None:
        """Note a bad file once, whichever streams meet it; warn of one that is skipped."""
        key = error.where.get("blob"), error.where.get("member")
        known = self._bad_files.setdefault(key, error)
        if known is not error:
            if known.where.get("stream") != error.where.get("stream"):
                known.where.pop("stream", None)  # it concerns more than one
        elif is_skipped:
            name = "/".join(str(part) for part in key if part)
            self.logger.warning("Skipped the file %s: %s: %s", name, error.code, error.what)
        else:
            self._failures.append(error)

    def _streams_failed(self) -> TapError:
        self.logger.error("These failed; all other streams and apps are done:")
        named = []
        for error in self._failures:
            self.logger.error("- %s", error)
            place = error.where.get("stream") or error.where.get("blob", "the tap")
            app = f" of {error.where['app']}" if "app" in error.where else ""
            named.append(f"{place}{app} ({error.code})")
        return TapError(
            Code.STREAMS_FAILED,
            f"{len(named)} failed: {', '.join(named)}",
            next_step="The lines above say what to do; the next run continues where each ended",
        )

    def _check(self) -> None:
        """Raise what would end the run later, before anything is created."""
        path = self.settings.dead_letter_path
        if path and self.settings.bad_records == "skip":
            check_dead_letter_path(path)
        self.source.check()

    def run_sync_dry_run(  # type: ignore[misc]
        self,
        dry_run_record_limit: int | None = 1,
        streams: Iterable[Stream] | None = None,
    ) -> bool:
        """Check all, then sync a few records of the streams that are on and need no task."""
        with self._ended_by_signal():
            self._check()
            tested = [each for each in streams or self.streams.values() if each.selected]
            return super().run_sync_dry_run(dry_run_record_limit, tested)

    def _handle_termination(self, signum: int, _: FrameType | None) -> None:
        if self.timing.is_stopped:  # asked twice: do not wait for a target that reads no more
            os._exit(128 + signum)
        self._signalled = signum, time.monotonic()
        self.timing.is_stopped = True

    @contextmanager
    def _ended_by_signal(self) -> Iterator[None]:
        try:
            yield
        except RunStopped:
            self._state_writer.write_state(self.state)
            number, at = self._signalled
            what = "The state is written. Stopped by signal %d, %.1f s after it"
            self.logger.warning(what, number, time.monotonic() - at)
            sys.exit(128 + number)

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
    def cb_config(cls, _: Context, __: Option, value: tuple[str, ...]) -> _ConfigInput:
        """Read ``--config``: files, of which the later count more, and the environment."""
        config: dict[str, Any] = {}
        for path in value:
            if path != "ENV":
                config |= inputs.CONFIG.read(path)
        return _ConfigInput(config=config, parse_env="ENV" in value)

    @classmethod
    def get_singer_command(cls) -> Command:
        """The command, with files that the tap reads itself."""
        command = super().get_singer_command()
        for option in command.params:
            if option.name in _READ:
                option.type = STRING
                option.callback = _read_as_json
        return ends_on_one_line(command)


_READ = {"state": inputs.STATE, "catalog": inputs.CATALOG}


def _read_as_json(_: Context, option: Parameter, path: str | None) -> StringIO | None:
    """A file as the SDK's command takes it: open, with JSON in it."""
    return None if path is None else StringIO(dump_json(_READ[str(option.name)].read(path)))


def _is_test_by_meltano() -> bool:
    """Whether the parent is ``meltano config test``, with both outputs in a pipe of its own."""
    try:
        words = Path(f"/proc/{os.getppid()}/cmdline").read_bytes().decode().split("\0")
        output, errors = os.fstat(sys.stdout.fileno()), os.fstat(sys.stderr.fileno())
    except (AttributeError, OSError, ValueError):  # no such file; an output that is no file
        return False
    program = [Path(word).name for word in words]
    started = program[program.index("meltano") + 1 :] if "meltano" in program else []
    is_test = "config" in started and "test" in started[started.index("config") :]
    return is_test and stat.S_ISFIFO(output.st_mode) and os.path.samestat(output, errors)
