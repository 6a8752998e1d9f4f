"""Where export tasks write, and which blobs are a task's, by the rules of docs/failures.md."""

from __future__ import annotations

import base64
import re
import secrets
from collections import Counter
from contextlib import suppress
from datetime import timedelta
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError
from azure.storage.blob import BlobServiceClient, generate_container_sas
from msgspec.structs import replace

from tap_mobile_engagement.api.tasks import plain_id, task_lost
from tap_mobile_engagement.clock import Clock
from tap_mobile_engagement.containers.azure import AzureContainer
from tap_mobile_engagement.containers.storage import Storage, client_options, new_transport
from tap_mobile_engagement.containers.urls import CONTAINER_NAME, ContainerUrl
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError, SettingsError, TapError
from tap_mobile_engagement.reading.content import contents, open_content
from tap_mobile_engagement.reading.recognise import recognise
from tap_mobile_engagement.redaction import register_secret, warn_of_plain_http
from tap_mobile_engagement.sources.base import Part

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_mobile_engagement.api.tasks import Key, PendingExport
    from tap_mobile_engagement.containers import Blob, Container
    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.state import TaskEntry

CONTAINER_PREFIX = "mobile-engagement-"  # of the containers that the tap makes
# What the tap called a container that it made for one task; nothing else is ever deleted.
OWN_CONTAINER = re.compile(rf"{CONTAINER_PREFIX}[0-9a-f]{{16}}-[0-9]{{1,9}}")
SAMPLED_BLOBS = 10  # that a dry run looks at, at most, for all streams together
_RIGHT_FORM = (
    "DefaultEndpointsProtocol=https;AccountName=…;AccountKey=…;EndpointSuffix=core.windows.net"
)
_READ_FOR = timedelta(days=7)  # beyond the time that a run takes
_CLOCK_SKEW = timedelta(minutes=15)  # between the tap's clock and the storage's
_SAS_LIFETIME_BEYOND_TASK = timedelta(days=1)
_SHORTEST_ID = 8  # characters; a shorter one may be in a name by chance
_UNREAD = DataError(Code.BLOB_UNREADABLE, "it was not looked at")


class SharedStorage:
    """One container for all tasks of ``apps`` apps; its URL for the service is a secret."""

    def __init__(self, container: Container, task_url: str, *, apps: int = 1) -> None:
        self._container = container
        self._task_url = task_url
        self._only_names_count = apps > 1
        self._types: dict[tuple[str, str], tuple[DataType, ...] | DataError | None] = {}
        # Names and ETags of blobs that are no task's, or a known one's. One set for all tasks.
        self._settled: set[tuple[str, str]] | None = None
        self._exports: set[PendingExport] = set()  # all whose tasks were to write here
        self._latest: dict[str, PendingExport] = {}  # by data type, the last one to write here
        self.check = container.check
        self.one_at_a_time = frozenset(BY_NAME)  # whose tasks could be mixed up
        self.one_app = apps > 1  # whether those of two apps could be
        self.read_first: frozenset[str] = frozenset()  # who write over each other's blobs

    def choose(self, export: PendingExport) -> None:
        """Set where a task is to write; AMBIGUOUS_BLOBS beside a blob of another app's task."""
        if self._settled is None:
            self._settled = {(blob.name, blob.etag) for blob in self._container.list()}
        others = [e.key for e in self._latest.values() if e.key.app != export.key.app]
        if self.one_app and others:
            blobs = [*self._container.list()]
            for other in others:
                self._new(blobs, BY_NAME[other.data_type])
        export.container_url = self._task_url
        self._latest[export.key.data_type] = export
        self._exports.add(export)

    def find(self, export: PendingExport) -> tuple[Part, ...]:
        """What a task that succeeded wrote, by arrival; raises TASK_LOST or AMBIGUOUS_BLOBS."""
        task, data_type = export.task, BY_NAME[export.key.data_type]
        if task is None or task.container is not None:
            raise task_lost("an export task wrote to a container of its own, in an account")
        self._exports.add(export)
        blobs = [*self._container.list()]
        named = _named_after([task.id], blobs)
        if named:
            # Names that tell once tell always; but those of another data type may not.
            self.one_at_a_time -= {data_type.name}
            self.one_app = False
            return _parts(self._container, named)
        if data_type.name not in self.one_at_a_time:
            return ()
        if export.asked_at is None:
            unnamed, created = self._unnamed(blobs), task.created
            maybe = [blob for blob in unnamed if blob.arrived + _CLOCK_SKEW >= created]
            if any(self._may_hold(blob, data_type) for blob in maybe):
                # Its range is exported again: its blobs must not be taken for the next one's.
                self._settle(b for b in maybe if self._may_hold(b, data_type, in_doubt=False))
                raise task_lost("nothing tells which blobs a task of an earlier run wrote")
            return ()
        new = self._new(blobs, data_type)
        if not any(blob.size for blob in new):
            return ()
        known = {name for name, _ in self._settled or ()}
        if any(blob.name in known for blob in new):
            self.read_first |= {data_type.name}
        found = [(blob, self._types[blob.name, blob.etag]) for blob in new]
        # What is in doubt may be any task's: each one that meets it fails by reading it.
        self._settle(blob for blob, types in found if isinstance(types, tuple))
        # It may be readable by then, and another data type's.
        problems = ((b, types if isinstance(types, DataError) else None) for b, types in found)
        return _parts(self._container, (replace(b, problem=why) for b, why in problems))

    def _settle(self, blobs: Iterable[Blob]) -> None:
        if self._settled is not None:  # else all of them are, before the first task
            self._settled.update((blob.name, blob.etag) for blob in blobs)

    def _new(self, blobs: Sequence[Blob], data_type: DataType) -> list[Blob]:
        """What no task is known to have written; of several apps that is AMBIGUOUS_BLOBS."""
        settled = self._settled or ()
        new = [blob for blob in blobs if (blob.name, blob.etag) not in settled]
        found = [blob for blob in self._unnamed(new) if self._may_hold(blob, data_type)]
        if found and self._only_names_count:
            raise SettingsError(
                Code.AMBIGUOUS_BLOBS,
                "several apps share a container, and the names of blobs don't tell which task "
                f"wrote them, as that of {found[0].name!r}",
                next_step="Set storage_connection_string, or give each app a container and a "
                "run of its own",
            )
        return found

    def _unnamed(self, blobs: Sequence[Blob]) -> list[Blob]:
        """Those that are not named after any task of the run, also one that came to nothing."""
        ids = [each for export in self._exports for each in export.task_ids]
        named = {blob.name for blob in _named_after(ids, blobs)}
        return [blob for blob in blobs if blob.name not in named]

    def find_again(self, task: TaskEntry, parts: Sequence[Part]) -> tuple[Part, ...]:
        """The blobs that are named after the task; without such names, those found before."""
        blobs = [*self._container.list()]
        named = _named_after([task.id], blobs)
        if named:
            return _parts(self._container, named)
        found = {part.blob_name: part.etag for part in parts}
        now = [blob for blob in blobs if blob.name in found]
        is_latest = any(e.task and e.task.id == task.id for e in self._latest.values())
        if not is_latest and any(found[blob.name] != blob.etag for blob in now):
            raise task_lost("the blobs of an export task were written over by a later one's")
        return _parts(self._container, now)

    def delete_container(self, name: str) -> None:
        """Refuse: it is none of this storage."""
        raise task_lost(f"the container {name} is in an account that is not in the settings")

    def sample(self, data_type: DataType) -> tuple[Part, ...]:
        """The first of a handful of blobs that holds the data type, for a dry run."""
        for blob in islice(self._container.list(), SAMPLED_BLOBS):
            if self._may_hold(blob, data_type, in_doubt=False):
                return _parts(self._container, [blob])
        return ()

    def _may_hold(self, blob: Blob, data_type: DataType, *, in_doubt: bool = True) -> bool:
        """Whether its content is of that type; ``in_doubt`` where it can't be told."""
        types = self._types_in(blob)
        return data_type in types if types and isinstance(types, tuple) else in_doubt

    def _types_in(self, blob: Blob) -> tuple[DataType, ...] | DataError | None:
        """The data types that fit a blob, none if it is empty; an error or None in doubt."""
        key = (blob.name, blob.etag)
        if isinstance(self._types.get(key, _UNREAD), DataError):
            try:
                with self._container.open(blob) as chunks:
                    each = (recognise(content) for content in contents(chunks))
                    found = next(each, recognise(open_content([])))
                if found.problem and not found.data_type:
                    raise found.problem
                types = (found.data_type,) if found.data_type else found.candidates
                self._types[key] = types if types or found.is_empty else None
            except DataError as error:
                self._types[key] = error  # it is looked at again
        return self._types[key]


class AccountStorage:
    """A container of its own for each task, with a SAS that outlasts ``task_timeout``."""

    one_at_a_time: frozenset[str] = frozenset()
    one_app = False
    read_first: frozenset[str] = frozenset()

    def __init__(
        self, connection_string: str, task_timeout: timedelta, *, clock: Clock | None = None
    ) -> None:
        self._transport = new_transport()
        try:
            self._service = BlobServiceClient.from_connection_string(
                connection_string.strip(), **client_options(self._transport)
            )
            self._key: str = self._service.credential.account_key
            base64.b64decode(self._key, validate=True)
        except (AttributeError, KeyError, ValueError):
            # Without its cause, which may quote the connection string.
            raise SettingsError(
                Code.BAD_SETTING,
                "storage_connection_string is no connection string with the key of an account",
                next_step=f"Copy it from the account's access keys: {_RIGHT_FORM}",
            ) from None
        register_secret(self._key)
        label = self._service.url.rstrip("/")
        warn_of_plain_http(label)
        self._storage = Storage(label, None, clock or Clock())
        self._lifetime = task_timeout + _SAS_LIFETIME_BEYOND_TASK
        self._tokens: dict[Key, str] = {}
        self._numbers: Counter[Key] = Counter()
        self.check = self._list_containers

    def _list_containers(self) -> None:
        listing = self._service.list_containers(CONTAINER_PREFIX, results_per_page=1)
        failed = "the account's containers could not be listed"
        # Each try asks anew: after a failure the SDK's listing takes itself for finished.
        self._storage.call(lambda: next(listing.by_page(), None), failed, "l")

    def choose(self, export: PendingExport) -> None:
        """A new container with a SAS; a refused task keeps its own."""
        if export.container is not None:
            return
        token = self._tokens.setdefault(export.key, secrets.token_hex(8))
        self._numbers[export.key] += 1
        name = f"{CONTAINER_PREFIX}{token}-{self._numbers[export.key]}"
        export.container_url = self.new_task_container(name)
        export.container = name

    def new_task_container(self, name: str) -> str:
        """Make a container for one task; its URL, a secret, lets it write and list."""
        url = self._url(name, "wl", self._lifetime)
        self._change("create", name, ResourceExistsError)
        return url

    def delete_container(self, name: str) -> None:
        """Delete a container with all that it holds, if it exists."""
        self._change("delete", name, ResourceNotFoundError)

    def _change(self, verb: str, name: str, done_before: type[Exception]) -> None:
        def change() -> None:
            with suppress(done_before):  # by a try whose answer was lost
                getattr(self._service, f"{verb}_container")(name)

        self._storage.call(change, f"the container {name} could not be {verb}d", verb[0])

    def container(self, name: str) -> AzureContainer:
        """The container of that name, which need not exist."""
        url = self._url(name, "rl", _READ_FOR)
        clock = self._storage.clock
        return AzureContainer.from_url(url, clock=clock, transport=self._transport)

    def _url(self, name: str, permission: str, lifetime: timedelta) -> str:
        if not CONTAINER_NAME.fullmatch(name):
            raise task_lost(f"{name!r} can't be the name of a task's container")
        sas = generate_container_sas(
            str(self._service.account_name),
            name,
            self._key,
            permission=permission,
            expiry=self._storage.clock.now() + lifetime,
        )
        text = f"{self._storage.label}/{name}?{sas}"
        url = ContainerUrl.parse(text, setting="storage_connection_string")
        register_secret(url.sas.signature if url.sas else None)
        return url.text

    def find(self, export: PendingExport) -> tuple[Part, ...]:
        """All blobs in the task's container; raises TASK_LOST."""
        assert export.task is not None  # noqa: S101  (it has succeeded)
        return self.find_again(export.task)

    def find_again(self, task: TaskEntry, _: Sequence[Part] = ()) -> tuple[Part, ...]:
        """All blobs in the task's container, whichever were found before."""
        if task.container is None:
            raise task_lost("an export task wrote to a shared container, not in the account")
        container = self.container(task.container)
        try:
            return _parts(container, container.list())
        except TapError as error:
            if error.code is Code.CONTAINER_NOT_FOUND:
                what = f"the container {task.container} of an export task is gone"
                raise task_lost(what) from None
            raise

    def sample(self, _: DataType) -> tuple[Part, ...]:
        """Nothing: only a state knows which container holds what."""
        return ()


TaskStorage = SharedStorage | AccountStorage


def _named_after(task_ids: Iterable[str], blobs: Iterable[Blob]) -> list[Blob]:
    plain = [each for each in map(plain_id, task_ids) if len(each) >= _SHORTEST_ID]
    names = ((blob, plain_id(blob.name)) for blob in blobs)
    return [blob for blob, name in names if any(each in name for each in plain)]


def _parts(container: Container, blobs: Iterable[Blob]) -> tuple[Part, ...]:
    in_order = sorted(blobs, key=lambda blob: (blob.arrived, blob.name))
    return tuple(
        Part(blob.name, blob.size, partial(container.open, blob), blob.etag)
        for blob in in_order
    )
