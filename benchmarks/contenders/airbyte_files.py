"""Reads JSON lines with airbyte-cdk's file-based source, from a local folder.

python airbyte_files.py FILE
"""

from __future__ import annotations

import json
import sys
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airbyte_cdk.entrypoint import launch
from airbyte_cdk.models import ConfiguredAirbyteCatalogSerializer
from airbyte_cdk.sources.file_based.config.abstract_file_based_spec import (
    AbstractFileBasedSpec,
)
from airbyte_cdk.sources.file_based.file_based_source import FileBasedSource
from airbyte_cdk.sources.file_based.file_based_stream_reader import (
    AbstractFileBasedStreamReader,
    FileReadMode,
)
from airbyte_cdk.sources.file_based.remote_file import RemoteFile

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable
    from io import IOBase

STRING = {"type": ["null", "string"]}
SCHEMA = {
    "type": "object",
    "properties": {
        **dict.fromkeys(
            ("device_id", "session_id", "name", "timestamp", "info_id", "location_id"), STRING
        ),
        "extras": {"type": ["null", "object"]},
    },
}


class Spec(AbstractFileBasedSpec):  # type: ignore[misc]
    """Nothing beyond what every file-based source is configured with."""

    @classmethod
    def documentation_url(cls) -> str:
        """There is none."""
        return "https://example.com"


class LocalSource(FileBasedSource):  # type: ignore[misc]
    """Reads streams side by side, as the CDK's own connectors do."""

    _concurrency_level = 100


class LocalReader(AbstractFileBasedStreamReader):  # type: ignore[misc]
    """Opens files of this machine."""

    _config: Any = None

    @property
    def config(self) -> Any:
        """The source's configuration."""
        return self._config

    @config.setter
    def config(self, value: Any) -> None:
        self._config = value

    def open_file(
        self, file: RemoteFile, mode: FileReadMode, encoding: str | None, logger: logging.Logger
    ) -> IOBase:
        """The file, open for reading."""
        del logger
        opened: IOBase = Path(file.uri).open(mode.value, encoding=encoding)  # noqa: SIM115
        return opened

    def get_matching_files(
        self, globs: list[str], prefix: str | None, logger: logging.Logger
    ) -> Iterable[RemoteFile]:
        """The one file that is named."""
        del prefix, logger
        yield RemoteFile(uri=globs[0], last_modified=datetime(2016, 5, 1, tzinfo=UTC))

    def file_size(self, file: RemoteFile) -> int:
        """Bytes of the file."""
        return Path(file.uri).stat().st_size

    def upload(self, *arguments: Any, **options: Any) -> Any:
        """Files are read here, never copied."""
        raise NotImplementedError


def main() -> None:
    """Read the file as the command line of a connector does."""
    config = {
        "streams": [
            {
                "name": "events",
                "format": {"filetype": "jsonl"},
                "globs": [sys.argv[1]],
                "input_schema": json.dumps(_simple_types()),
                "validation_policy": "Emit Record",
            }
        ]
    }
    catalog = {
        "streams": [
            {
                "stream": {
                    "name": "events",
                    "json_schema": SCHEMA,
                    "supported_sync_modes": ["full_refresh", "incremental"],
                },
                "sync_mode": "full_refresh",
                "destination_sync_mode": "append",
            }
        ]
    }
    with tempfile.TemporaryDirectory(prefix="bench-airbyte-") as folder:
        paths = {}
        for name, value in {"config": config, "catalog": catalog}.items():
            paths[name] = Path(folder) / f"{name}.json"
            paths[name].write_text(json.dumps(value))
        source = LocalSource(
            stream_reader=LocalReader(),
            spec_class=Spec,
            catalog=ConfiguredAirbyteCatalogSerializer.load(catalog),
            config=config,
            state=None,
        )
        arguments = ["--config", str(paths["config"]), "--catalog", str(paths["catalog"])]
        launch(source, ["read", *arguments])


def _simple_types() -> dict[str, str]:
    names = ("device_id", "session_id", "name", "timestamp", "info_id", "location_id")
    return {**dict.fromkeys(names, "string"), "extras": "object"}


if __name__ == "__main__":
    main()
