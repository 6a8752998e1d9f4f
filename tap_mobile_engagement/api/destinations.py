"""Where export tasks write, and which blobs are a task's.

The service never says which blobs a task wrote. With an account each task has a container of
its own, and the question does not arise. In a shared container a blob is a task's if its name
contains the task's id; where no name of that data type does, if it arrived since the task was
created, was not there before, and holds that data type. When in doubt a blob is read twice,
never not at all.
Flat rows of events and errors look alike, so their tasks take turns; what one of them wrote in
an earlier run can't be told apart any more, and its range is exported again.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from tap_mobile_engagement.containers import Blob
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import (
    Code,
    DataError,
    RetryLaterError,
    SettingsError,
    TapError,
)
from tap_mobile_engagement.reading.recognise import recognise, recognise_all
from tap_mobile_engagement.sources.base import Check, Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tap_mobile_engagement.api.tasks import TaskRef
    from tap_mobile_engagement.containers import Container, StorageAccount
    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.reading.recognise import Recognition

BlobKey = tuple[str, str]
"""Name and ETag: the same name with another ETag is another content."""

_CLOCK_SKEW = timedelta(minutes=15)  # between the tap's clock and the storage's
_ANY_TIME = datetime.min.replace(tzinfo=UTC)  # of a blob that is told by its ETag alone
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

    may_mix: frozenset[str]
    """Data types of which two tasks could be mixed up if they ran at the same time."""

    sas_ends: Mapping[str, datetime]
    """When the SAS in each setting ends, aware, where it says so."""

    @property
    def checks(self) -> Sequence[Check]:
        """What has to hold before a task may write there."""

    def new_place(self, data_type: str) -> Place:
        """A place for a task of that data type that is about to be created."""

    def find(
        self, task: TaskRef, data_type: DataType, before: frozenset[BlobKey] | None
    ) -> tuple[Part, ...]:
        """What a task that succeeded wrote, in order of arrival; none if nothing is there."""

    def find_again(self, task: TaskRef, parts: Sequence[Part]) -> tuple[Part, ...]:
        """What is there by now of a task whose files were found before."""

    def delete(self, container: str | None, blobs: Mapping[str, str]) -> None:
        """Delete blobs in exactly these versions; those that are gone are fine.

        Args:
            container: Name of a task's own container; None for the shared one.
            blobs: ETags by name.

        Raises:
            TapError: What keeps one of them from being deleted; the others are.
        """

    def existing(self, data_type: DataType) -> Iterable[Part]:
        """Some file of that data type that is there already, for a dry run."""


class SharedStorage:
    """One container for all tasks.

    Args:
        container: The container, for reading.
        task_url: Its URL for the service; a secret.
        checks: What has to hold of the URLs themselves.
        sas_ends: When the SAS in each setting ends, aware, where it says so.
    """

    def __init__(
        self,
        container: Container,
        task_url: str,
        *,
        checks: Sequence[Check] = (),
        sas_ends: Mapping[str, datetime] | None = None,
    ) -> None:
        self._container = container
        self._task_url = task_url
        self._url_checks = checks
        self._verdicts: dict[BlobKey, Recognition] = {}
        self.sas_ends = sas_ends or {}
        self._told: set[str] = set()  # blobs whose names say whose they are
        self.may_mix = frozenset(BY_NAME)

    @property
    def checks(self) -> Sequence[Check]:
        """That its URLs allow what is needed, and that it can be listed."""
        return (*self._url_checks, Check("listing of the container", self._container.check))

    def new_place(self, data_type: str) -> Place:
        """The container, with a note of what is in it now, unless names tell in any case."""
        if data_type not in self.may_mix:
            return Place(self._task_url)
        before = frozenset((blob.name, blob.etag) for blob in self._container.list())
        return Place(self._task_url, before=before)

    def find(
        self, task: TaskRef, data_type: DataType, before: frozenset[BlobKey] | None
    ) -> tuple[Part, ...]:
        """The blobs that are the task's, as far as can be told."""
        blobs = [*self._container.list()]
        named = [blob for blob in blobs if _is_named_after(task.id, blob.name)]
        if named:
            # Names that tell once tell always; but nobody knows of another data type's names.
            self.may_mix -= {data_type.name}
            self._told.update(blob.name for blob in named)
            return _parts(self._container, named)
        if data_type.name not in self.may_mix:
            return ()
        since = task.created - _CLOCK_SKEW
        found = [
            blob
            for blob in blobs
            if blob.arrived >= since
            and blob.name not in self._told
            and not (before and (blob.name, blob.etag) in before)
            and self._may_hold(blob, data_type)
        ]
        if before is None and any(self._is_doubtful(blob) for blob in found):
            raise RetryLaterError(
                Code.TASK_LOST,
                "nothing tells which files an export task of an earlier run wrote",
                next_step="Its range is exported again",
                stream=data_type.name,
                task=task.id,
            )
        return _parts(self._container, found)

    def find_again(self, task: TaskRef, parts: Sequence[Part]) -> tuple[Part, ...]:
        """The blobs that are named after the task; without such names, those found before.

        In the second case no others: they may be the next task's by now.
        """
        blobs = [*self._container.list()]
        found = {part.blob_name for part in parts}
        named = [blob for blob in blobs if _is_named_after(task.id, blob.name)]
        return _parts(self._container, named or [b for b in blobs if b.name in found])

    def delete(self, container: str | None, blobs: Mapping[str, str]) -> None:
        """Delete blobs in exactly these versions, and nothing else."""
        if container is not None:
            raise _other_storage(
                "blobs in a container of their own", "storage_connection_string"
            )
        _delete(self._container, blobs)

    def existing(self, data_type: DataType) -> Iterable[Part]:
        """The first blob found that holds the data type."""
        for blob in self._container.list():
            if self._verdict(blob).data_type is data_type:
                return _parts(self._container, [blob])
        return ()

    def _may_hold(self, blob: Blob, data_type: DataType) -> bool:
        """Whether its content is of that type, or does not tell: in doubt it is read."""
        try:
            verdict = self._verdict(blob)
        except DataError:
            return True  # reading it will say what is wrong
        if verdict.candidates:
            return data_type in verdict.candidates
        return verdict.data_type in {None, data_type}

    def _is_doubtful(self, blob: Blob) -> bool:
        """Whether it holds something that does not tell what it is."""
        try:
            return bool(self._verdict(blob).reason)
        except DataError:
            return False

    def _verdict(self, blob: Blob) -> Recognition:
        key = (blob.name, blob.etag)
        if key not in self._verdicts:
            with self._container.open(blob) as chunks:
                self._verdicts[key] = next(recognise_all(chunks), recognise([]))
        return self._verdicts[key]


class AccountStorage:
    """A container of its own for each task, in one storage account.

    Args:
        account: The account.
        task_timeout: How long a task may run; its SAS has to last longer.
    """

    may_mix: frozenset[str] = frozenset()
    sas_ends: Mapping[str, datetime] = MappingProxyType({})  # each task gets a SAS of its own

    def __init__(self, account: StorageAccount, task_timeout: timedelta) -> None:
        self._account = account
        self._lifetime = task_timeout + _SAS_LIFETIME_BEYOND_TASK

    @property
    def checks(self) -> Sequence[Check]:
        """That the account can be used."""
        return (Check("the storage account", self._list_containers),)

    def _list_containers(self) -> None:
        next(iter(self._account.list_containers("")), None)

    def new_place(self, data_type: str) -> Place:
        """A new container, with a SAS that lasts longer than any task."""
        del data_type  # all are alike to it
        name = f"mobile-engagement-{secrets.token_hex(8)}"
        made = self._account.new_task_container(name, lifetime=self._lifetime)
        return Place(made.task_url, container=name)

    def find(
        self, task: TaskRef, data_type: DataType, before: frozenset[BlobKey] | None
    ) -> tuple[Part, ...]:
        """All blobs in the task's container."""
        del data_type, before  # nothing else writes there
        return self.find_again(task, ())

    def find_again(self, task: TaskRef, parts: Sequence[Part]) -> tuple[Part, ...]:
        """All blobs in the task's container."""
        del parts  # all that is there is the task's
        if task.container is None:
            raise _other_storage("a task that wrote to a shared container", "container_url")
        container = self._account.container(task.container)
        return _parts(container, container.list())

    def delete(self, container: str | None, blobs: Mapping[str, str]) -> None:
        """Delete the blobs, then their container unless it holds something else."""
        if container is None:
            raise _other_storage("blobs in a shared container", "container_url")
        own = self._account.container(container)
        try:
            _delete(own, blobs)
            is_empty = next(iter(own.list()), None) is None
        except SettingsError as error:
            if error.code is Code.CONTAINER_NOT_FOUND:
                return  # deleted, by a run whose state was lost
            raise
        if is_empty:
            self._account.delete_container(container)

    def existing(self, data_type: DataType) -> Iterable[Part]:
        """None: which of its containers hold what is known to a state alone."""
        del data_type
        return ()


def _other_storage(what: str, setting: str) -> DataError:
    return DataError(
        Code.BAD_STATE,
        f"the state names {what}, which the settings give no access to",
        next_step=f"Set {setting} again until that is done, or remove the entry from the "
        "state; the range of a task is then exported again",
    )


def _delete(container: Container, blobs: Mapping[str, str]) -> None:
    """Delete all that can be deleted, then raise what kept one from it."""
    fault: TapError | None = None
    for name, etag in blobs.items():
        try:
            container.delete(Blob(name, 0, etag, _ANY_TIME))
        except TapError as error:
            fault = fault or error
    if fault is not None:
        raise fault


def _is_named_after(task_id: str, blob_name: str) -> bool:
    plain = task_id.replace("-", "").lower()
    return plain in blob_name.replace("-", "").lower()


def _parts(container: Container, blobs: Iterable[Blob]) -> tuple[Part, ...]:
    in_order = sorted(blobs, key=lambda blob: (blob.arrived, blob.name))
    return tuple(
        Part(blob.name, blob.size, partial(container.open, blob), blob.etag)
        for blob in in_order
    )
