"""Export files as a library: which there are, and what each of them holds.

::

    from tap_mobile_engagement.archive import Archive

    with Archive("file:///data/mobile-engagement", app_name="shop") as archive:
        for file in archive.files("events"):
            print(file.name, file.size, file.modified)
"""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Self

import msgspec

from tap_mobile_engagement.containers import open_container
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.settings import ArchiveType
from tap_mobile_engagement.sources.files import File, Files
from tap_mobile_engagement.sources.patterns import Rules

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from types import TracebackType

    from azure.core.credentials import TokenCredential

__all__ = ["Archive", "File"]


class Archive:
    """The export files in a container or folder. A context manager.

    Nothing is asked for before one of its methods is called. Its files are listed once.

    Args:
        url: An Azure container URL, or a folder: ``file:///…`` or a path.
        app_name: The label for ``app_name`` in the records.
        pattern: Which files to look at: ``*`` stands for anything within a folder, ``**`` for
            anything across folders.
        types: What files hold, where their content can't tell: mappings with ``pattern`` and
            ``data_type``. The first match counts.
        encoding: Encoding of text that is not UTF-8 or UTF-16.
        credential: The identity for an Azure container whose URL has no SAS; that of the
            environment if None.
        attend: Called before each file is handed out; what it raises ends the work.

    Raises:
        SettingsError: ``CONTAINER_URL_INVALID``.
    """

    def __init__(
        self,
        url: str,
        *,
        app_name: str = "",
        pattern: str = "**",
        types: Iterable[Any] = (),
        encoding: str | None = None,
        credential: TokenCredential | None = None,
        attend: Callable[[], object] = lambda: None,
    ) -> None:
        self.app_name = app_name
        self.encoding = encoding
        rules = Rules(pattern, msgspec.convert([*types], tuple[ArchiveType, ...]), encoding)
        self._files = Files(
            open_container(url, credential=credential),
            rules,
            now=lambda: datetime.now(UTC),
            attend=attend,
        )

    def __enter__(self) -> Self:
        """The archive itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """As :meth:`close`."""
        self.close()

    def check(self) -> None:
        """Make sure that any file matches the pattern.

        Raises:
            SettingsError: ``NO_FILES``, with what is there instead.
            TapError: If the container can't be listed.
        """
        self._files.check()

    def files(self, stream: str | None = None) -> Iterator[File]:
        """The files in the order in which they were written, so that the newest is the last.

        Args:
            stream: Only the files of that stream; otherwise all, also empty ones and those
                that are damaged or no exports, with their problem.

        Raises:
            ValueError: If no stream has that name.
            TapError: If the container can't be listed or read. What is wrong with one file is
                its problem.
        """
        if stream is not None and stream not in BY_NAME:
            raise ValueError(f"{stream!r} is no stream of an archive: {', '.join(BY_NAME)}")
        for file in self._files.in_order(self._files.listing.blobs):
            if stream in {None, file.stream}:
                yield file

    @property
    def skipped(self) -> frozenset[str]:
        """The names that were skipped so far: hidden files, resource forks, unfinished ones."""
        return frozenset(self._files.skipped)

    @contextmanager
    def open(self, file: File) -> Iterator[Iterator[bytes]]:
        """The bytes of a file as they are stored, in pieces; of a zip's member uncompressed.

        Raises:
            TapError: What is wrong with the file, or with the container.
        """
        with self._files.open(file) as chunks:
            yield chunks

    def close(self) -> None:
        """Let go of what is held open."""
        self._files.close()
