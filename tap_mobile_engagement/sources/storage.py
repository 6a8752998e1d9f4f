"""Where export tasks write, and which blobs are a task's.

The service never says which blobs a task wrote. With an account each task has a container of
its own, and the question does not arise. In a shared container a blob is a task's if its name
contains the task's id; where no name does, if it arrived since the task was created, was not
there before, and holds that data type. When in doubt a blob is read twice, never not at all.
"""

from __future__ import annotations

import logging
import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from tap_mobile_engagement.errors import DataError
from tap_mobile_engagement.reading.recognise import data_type_of_blocks, read_blocks
from tap_mobile_engagement.sources.base import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tap_mobile_engagement.containers import Blob, Container, StorageAccount
    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.tasks.model import TaskRef
    from tap_mobile_engagement.tasks.timing import Timing

_logger = logging.getLogger("tap-mobile-engagement")

BlobKey = tuple[str, str]
"""Name and ETag: the same name with another ETag is another content."""

_CLOCK_SKEW = timedelta(minutes=15)  # between the tap's clock and the storage's
_LOOK_AGAIN_FOR = 60.0  # seconds, for blobs that appear after the success of their task
_FIRST_PAUSE = 1.0  # seconds; doubles
_SAS_LIFETIME_BEYOND_TASK = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one task is to write.

    Attributes:
        url: The container URL for the service; a secret.
        container: Name of the task's own container; None where tasks share one.
        before: What was in a shared container before the task was created; None if that is
            not known, as for a task that an earlier run created.
    """

    url: str
    container: str | None = None
    before: frozenset[BlobKey] | None = None


class TaskStorage(Protocol):
    """Gives each task a place to write, and finds what it wrote."""

    shared: bool
    """Whether tasks of one data type could be mixed up if they ran at the same time."""

    def check(self) -> None:
        """Check that it can be listed; raises SettingsError."""

    def new_place(self) -> Place:
        """A place for a task that is about to be created."""

    def parts_of(
        self, task: TaskRef, data_type: DataType, before: frozenset[BlobKey] | None
    ) -> tuple[Part, ...]:
        """What a task that succeeded wrote, in order of arrival."""

    def existing(self, data_type: DataType) -> Iterable[Part]:
        """Some file of that data type that is there already, for a dry run."""


class SharedStorage:
    """One container for all tasks.

    Args:
        container: The container, for reading.
        task_url: Its URL for the service; a secret.
        timing: The clock.
    """

    shared = True

    def __init__(self, container: Container, task_url: str, timing: Timing) -> None:
        self._container = container
        self._task_url = task_url
        self._timing = timing

    def check(self) -> None:
        """Check that the container can be listed."""
        self._container.check()

    def new_place(self) -> Place:
        """The container, with a note of what is in it now."""
        before = frozenset((blob.name, blob.etag) for blob in self._container.list())
        return Place(self._task_url, before=before)

    def parts_of(
        self, task: TaskRef, data_type: DataType, before: frozenset[BlobKey] | None
    ) -> tuple[Part, ...]:
        """The blobs that are the task's; waits a minute for the first one to appear."""

        def find() -> list[Blob]:
            blobs = [*self._container.list()]
            named = [blob for blob in blobs if _is_named_after(task.id, blob.name)]
            if named:
                return named
            since = task.created - _CLOCK_SKEW
            return [
                blob
                for blob in blobs
                if blob.arrived >= since
                and not (before and (blob.name, blob.etag) in before)
                and self._may_hold(blob, data_type)
            ]

        return _parts(self._container, _wait_for_blobs(find, task, self._timing))

    def existing(self, data_type: DataType) -> Iterable[Part]:
        """The first blob found that holds the data type."""
        for blob in self._container.list():
            if self._data_type(blob) is data_type:
                return _parts(self._container, [blob])
        return ()

    def _may_hold(self, blob: Blob, data_type: DataType) -> bool:
        """Whether its content is of that type, or does not tell: in doubt it is read."""
        try:
            found = self._data_type(blob)
        except DataError:
            return True  # reading it will say what is wrong
        return found is None or found is data_type

    def _data_type(self, blob: Blob) -> DataType | None:
        with self._container.open(blob) as chunks:
            return data_type_of_blocks(read_blocks(chunks))


class AccountStorage:
    """A container of its own for each task, in one storage account.

    Args:
        account: The account.
        task_timeout: How long a task may run; its SAS has to last longer.
        timing: The clock.
    """

    shared = False

    def __init__(
        self, account: StorageAccount, task_timeout: timedelta, timing: Timing
    ) -> None:
        self._account = account
        self._lifetime = task_timeout + _SAS_LIFETIME_BEYOND_TASK
        self._timing = timing

    def check(self) -> None:
        """Check that the account can be used."""
        next(iter(self._account.list_containers("")), None)

    def new_place(self) -> Place:
        """A new container, with a SAS that lasts longer than any task."""
        name = f"mobile-engagement-{secrets.token_hex(8)}"
        made = self._account.new_task_container(name, lifetime=self._lifetime)
        return Place(made.task_url, container=name)

    def parts_of(
        self, task: TaskRef, data_type: DataType, before: frozenset[BlobKey] | None
    ) -> tuple[Part, ...]:
        """All blobs in the task's container."""
        del data_type, before  # nothing else writes there
        assert task.container is not None  # noqa: S101  (new_place named it)
        container = self._account.container(task.container)
        blobs = _wait_for_blobs(lambda: [*container.list()], task, self._timing)
        return _parts(container, blobs)

    def existing(self, data_type: DataType) -> Iterable[Part]:
        """None: which of its containers hold what is known to a state alone."""
        del data_type
        return ()


def _wait_for_blobs(
    find: Callable[[], list[Blob]], task: TaskRef, timing: Timing
) -> list[Blob]:
    """Look for a task's blobs until there are some, or a minute has passed."""
    pause = _FIRST_PAUSE
    waited = 0.0
    while not (blobs := find()) and waited < _LOOK_AGAIN_FOR:
        timing.pause(pause)
        waited += pause
        pause = min(pause * 2, _LOOK_AGAIN_FOR - waited)
    if not blobs:
        _logger.warning(
            "Export task %s succeeded, but %.0f s later there is no blob of it: taking its "
            "range as empty",
            task.id,
            waited,
        )
    return blobs


def _is_named_after(task_id: str, blob_name: str) -> bool:
    plain = task_id.replace("-", "").lower()
    return plain in blob_name.replace("-", "").lower()


def _parts(container: Container, blobs: Iterable[Blob]) -> tuple[Part, ...]:
    in_order = sorted(blobs, key=lambda blob: (blob.arrived, blob.name))
    return tuple(
        Part(blob.name, blob.size, lambda blob=blob: container.open(blob))  # type: ignore[misc]
        for blob in in_order
    )
