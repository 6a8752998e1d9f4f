"""Where export tasks write, and which blobs are a task's.

The service never says which blobs a task wrote. With an account each task has a container of
its own, and the question does not arise. In a shared container a blob is a task's if its name
contains the task's id; where no name does, if it arrived since the task was created, was not
there before, and holds that data type. When in doubt a blob is read twice, never not at all.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.recognise import data_type_of_blocks, read_blocks
from tap_mobile_engagement.sources.base import Part

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tap_mobile_engagement.containers import Blob, Container, StorageAccount
    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.tasks.model import TaskRef

BlobKey = tuple[str, str]
"""Name and ETag: the same name with another ETag is another content."""

_CLOCK_SKEW = timedelta(minutes=15)  # between the tap's clock and the storage's
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

    may_mix: bool
    """Whether tasks of one data type could be mixed up if they ran at the same time."""

    def check(self) -> None:
        """Check that it can be listed; raises SettingsError."""

    def new_place(self) -> Place:
        """A place for a task that is about to be created."""

    def find(
        self, task: TaskRef, data_type: DataType, before: frozenset[BlobKey] | None
    ) -> tuple[Part, ...]:
        """What a task that succeeded wrote, in order of arrival; none if nothing is there."""

    def existing(self, data_type: DataType) -> Iterable[Part]:
        """Some file of that data type that is there already, for a dry run."""


class SharedStorage:
    """One container for all tasks.

    Args:
        container: The container, for reading.
        task_url: Its URL for the service; a secret.
    """

    def __init__(self, container: Container, task_url: str) -> None:
        self._container = container
        self._task_url = task_url
        self.may_mix = True

    def check(self) -> None:
        """Check that the container can be listed."""
        self._container.check()

    def new_place(self) -> Place:
        """The container, with a note of what is in it now."""
        before = frozenset((blob.name, blob.etag) for blob in self._container.list())
        return Place(self._task_url, before=before)

    def find(
        self, task: TaskRef, data_type: DataType, before: frozenset[BlobKey] | None
    ) -> tuple[Part, ...]:
        """The blobs that are the task's, as far as can be told."""
        blobs = [*self._container.list()]
        named = [blob for blob in blobs if _is_named_after(task.id, blob.name)]
        if named:
            # Names that tell once tell always: tasks can't be mixed up any more.
            self.may_mix = False
            return _parts(self._container, named)
        if not self.may_mix:
            return ()
        since = task.created - _CLOCK_SKEW
        return _parts(
            self._container,
            [
                blob
                for blob in blobs
                if blob.arrived >= since
                and not (before and (blob.name, blob.etag) in before)
                and self._may_hold(blob, data_type)
            ],
        )

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
    """

    may_mix = False

    def __init__(self, account: StorageAccount, task_timeout: timedelta) -> None:
        self._account = account
        self._lifetime = task_timeout + _SAS_LIFETIME_BEYOND_TASK

    def check(self) -> None:
        """Check that the account can be used."""
        next(iter(self._account.list_containers("")), None)

    def new_place(self) -> Place:
        """A new container, with a SAS that lasts longer than any task."""
        name = f"mobile-engagement-{secrets.token_hex(8)}"
        made = self._account.new_task_container(name, lifetime=self._lifetime)
        return Place(made.task_url, container=name)

    def find(
        self, task: TaskRef, data_type: DataType, before: frozenset[BlobKey] | None
    ) -> tuple[Part, ...]:
        """All blobs in the task's container."""
        del data_type, before  # nothing else writes there
        if task.container is None:
            raise DataError(
                Code.BAD_STATE,
                "the state names a task that wrote to a shared container, but the settings "
                "give each task a container of its own",
                next_step="Set container_url again until that task is done, or remove it from "
                "tasks in the state; its range is then exported again",
                task=task.id,
            )
        container = self._account.container(task.container)
        return _parts(container, container.list())

    def existing(self, data_type: DataType) -> Iterable[Part]:
        """None: which of its containers hold what is known to a state alone."""
        del data_type
        return ()


def _is_named_after(task_id: str, blob_name: str) -> bool:
    plain = task_id.replace("-", "").lower()
    return plain in blob_name.replace("-", "").lower()


def _parts(container: Container, blobs: Iterable[Blob]) -> tuple[Part, ...]:
    in_order = sorted(blobs, key=lambda blob: (blob.arrived, blob.name))
    return tuple(
        Part(blob.name, blob.size, lambda blob=blob: container.open(blob))  # type: ignore[misc]
        for blob in in_order
    )
