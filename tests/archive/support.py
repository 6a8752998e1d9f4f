"""What the tests of archives have in common: records of a file, sources over a folder."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.clock import Clock
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import TapError
from tap_mobile_engagement.sources.archive import ArchiveSource
from tap_mobile_engagement.sources.base import FILE_CODES
from tap_mobile_engagement.state import PartitionState
from tests.support.records import read_file
from tests.support.settings import parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tap_mobile_engagement.containers import Blob, Container
    from tap_mobile_engagement.settings import Settings

Record = dict[str, Any]


def records_of(data_type: str, chunks: Iterable[bytes]) -> list[Record]:
    """All records of a file, without lineage; one that can't be read fails the test."""
    lineage = {"app_name", "blob_name", "exported_until"}
    return [
        {"record_id": None, **{k: v for k, v in record.items() if k not in lineage}}
        for record in read_file(data_type, chunks)
    ]


def settings_for(container_url: str = "file:///archive", **more: Any) -> Settings:
    config = {"source": "archive", "container_url": container_url, **more}
    return parse(config, today=datetime.now(UTC).date())


class CountingContainer:
    """Passes everything on to a container, and counts it."""

    def __init__(self, container: Container) -> None:
        self._container = container
        self.listings = 0
        self.opened: list[str] = []

    @property
    def label(self) -> str:
        return self._container.label

    def list(
        self, prefix: str = "", *, takes: Callable[[str], bool] | None = None
    ) -> Iterator[Blob]:
        self.listings += 1
        return self._container.list(prefix, takes=takes)

    @contextmanager
    def open(self, blob: Blob, start: int = 0) -> Iterator[Iterator[bytes]]:
        self.opened.append(blob.name)
        with self._container.open(blob, start) as chunks:
            yield chunks

    def check(self) -> None:
        self._container.check()


class Run:
    """One run of the tap over an archive: as the streams do it, but without messages.

    Args:
        container: The archive.
        state: The state of all streams, as an earlier run left it.
        now: Where the clock stands.
        workers: Blobs to look at at once.
        clock: Another clock.
        settings: More settings.
    """

    def __init__(
        self,
        container: Container,
        state: dict[str, dict[str, Any]],
        *,
        now: datetime | None = None,
        workers: int = 1,
        clock: Clock | None = None,
        **settings: Any,
    ) -> None:
        timing = clock or Clock(now=lambda: now or datetime.now(UTC))
        self.source = ArchiveSource(settings_for(**settings), timing)
        self.source._files.container = container
        self.source._files._workers = workers
        self.state = state
        self.saves = 0
        self.bad_files: dict[str, TapError] = {}

    def read(self, data_type: str, *, at_most: int | None = None) -> list[str]:
        """Read what is due for a stream; the names of the blobs, in order.

        Args:
            data_type: Name of the stream.
            at_most: Exports to read before the run dies.
        """
        return [name for name, _ in self._read(data_type, at_most)]

    def records(self, data_type: str) -> list[Record]:
        """The records of all that is due for a stream."""
        return [record for _, records in self._read(data_type, None) for record in records]

    def _read(self, data_type: str, at_most: int | None) -> Iterator[tuple[str, list[Record]]]:
        is_held = False
        for number, export in enumerate(self._exports(data_type)):
            if number == at_most:
                break
            (part,) = export.parts
            try:
                with part.open() as chunks:
                    records = records_of(data_type, chunks)
            except TapError as error:
                if error.code not in FILE_CODES:
                    raise
                self.bad_files[part.blob_name] = error
                is_held |= export.on_failure == "hold"
            else:
                yield part.blob_name, records
            if not is_held:
                export.commit()
        if self.bad_files:
            self._save()

    def _exports(self, data_type: str) -> Iterator[Any]:
        values = self.state.setdefault(data_type, {})
        return self.source.exports(BY_NAME[data_type], "", PartitionState(values), self._save)

    def _save(self) -> None:
        self.saves += 1
