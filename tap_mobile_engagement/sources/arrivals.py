"""Which blobs of an archive a stream has finished, told by when they arrived. No I/O.

A bookmark alone can't say it: blobs may arrive at the same instant as the last one that was
finished, or while the container is being listed, and so be met for the first time behind it.
So the state also says which of the blobs that arrived *near* the last ones are finished: those
since fifteen minutes before the newest blob of the listing. Whatever arrived before that was
in the listing. When in doubt a blob is read twice, never not at all.
"""

from __future__ import annotations

import heapq
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from tap_mobile_engagement.sources.patterns import Rules  # noqa: TC001  (msgspec reads it)
from tap_mobile_engagement.windows import instant

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tap_mobile_engagement.containers import Blob
    from tap_mobile_engagement.windows import PartitionState

NEAR = timedelta(minutes=15)
"""How long before the newest blob a blob may have arrived that the listing left out.

It has to cover the time that a listing takes, for a blob may appear behind the page that is
being read; and that clocks of the storage's servers differ.
"""

MAX_NAMES = 100
"""Blobs that a state names one by one; of more it holds their number and a digest."""

BlobKey = tuple[str, str]
"""Name and ETag: the same name with another ETag is another content."""

_DIGEST = 16  # bytes


def arrival_text(blob: Blob) -> str:
    """When a blob arrived: RFC 3339 in UTC, with microseconds where there are any."""
    return blob.arrived.astimezone(UTC).isoformat().replace("+00:00", "Z")


def order(blob: Blob) -> tuple[datetime, str]:
    """The order in which blobs are read: arrival, then name."""
    return blob.arrived, blob.name


class _Notes(Struct, omit_defaults=True):
    """What a state holds about finished blobs.

    Attributes:
        since: Blobs that arrived before are finished, but those that the rules left out.
        rules: What the settings said then.
        bookmark: The stream's bookmark then; if it is another now, somebody changed it.
        files: The finished blobs that arrived later, name and ETag; None if they are many.
        until: Then: arrival and name of the last of them.
        count: Then: how many they are.
        digest: Then: a digest of all their names and ETags.
    """

    since: datetime
    rules: Rules
    bookmark: str | None = None
    files: dict[str, str] | None = None
    until: tuple[datetime, str] | None = None
    count: int = 0
    digest: str = ""


class Arrivals:
    """What of a listing is due for one stream, and what is finished.

    Args:
        blobs: All blobs that are looked at, by arrival and name.
        rules: What the settings say about them.
        now: When they were listed, aware.
        state: The stream's state.

    Attributes:
        due: The blobs that are not finished, in order.

    Raises:
        DataError: ``BAD_STATE`` if the bookmark in the state is not a date-time.
    """

    def __init__(
        self, blobs: Sequence[Blob], *, rules: Rules, now: datetime, state: PartitionState
    ) -> None:
        self._rules = rules
        self._state = state
        finished = _finished(blobs, rules, state)
        self.due = [blob for blob in blobs if _key(blob) not in finished]
        self._open = {_key(blob): blob.arrived for blob in self.due}
        # A modification time in the future is no reason to overlook what arrives before it.
        newest = min(now, blobs[-1].arrived) if blobs else now
        self._near_since = newest - NEAR
        first = self.due[0].arrived if self.due else newest
        since = min(self._near_since, first)
        self._near = _Near(
            blob for blob in blobs if blob.arrived >= since and _key(blob) in finished
        )

    def finish(self, blob: Blob) -> None:
        """Take note that a blob is finished: its records are out, or it has none."""
        del self._open[_key(blob)]
        self._near.add(blob)

    def note(self) -> bool:
        """Bring the state up to date; tell whether that changed it."""
        next_open = next(iter(self._open.values()), self._near_since)
        since = min(self._near_since, next_open)
        self._near.forget_before(since)
        notes = _Notes(since, self._rules, self._state.bookmark)
        if len(self._near) <= MAX_NAMES:
            notes.files = self._near.names()
        else:
            notes.until = self._near.last
            notes.count = len(self._near)
            notes.digest = self._near.digest
        before = self._state.archive
        self._state.note_archive(msgspec.to_builtins(notes))
        return bool(self._state.archive != before)


def _finished(blobs: Sequence[Blob], rules: Rules, state: PartitionState) -> set[BlobKey]:
    """The blobs that the state says are finished."""
    bookmark = state.bookmark
    notes = _read_notes(state.archive)
    if notes is None or notes.bookmark != bookmark:
        # The bookmark was put there by hand, or taken away: it alone counts.
        if bookmark is None:
            return set()
        reached = instant(bookmark)
        return {_key(blob) for blob in blobs if blob.arrived < reached}
    early = [blob for blob in blobs if blob.arrived < notes.since]
    late = [blob for blob in blobs if blob.arrived >= notes.since]
    return {
        _key(blob)
        for blob in (*early, *_known(late, notes))
        # The settings say of it what they said then: it was looked at, in the same way.
        if notes.rules.looks_at(blob.name)
        and notes.rules.data_type(blob.name) == rules.data_type(blob.name)
    }


def _known(late: Iterable[Blob], notes: _Notes) -> list[Blob]:
    """Of the blobs that arrived near the last ones, those that are finished."""
    if notes.files is not None:
        return [blob for blob in late if notes.files.get(blob.name) == blob.etag]
    until = notes.until
    found = [blob for blob in late if until is not None and order(blob) <= until]
    near = _Near(found)
    return found if (len(near), near.digest) == (notes.count, notes.digest) else []


def _read_notes(notes: Any) -> _Notes | None:
    """What a state holds; None if it is nothing that this version wrote."""
    try:
        return msgspec.convert(notes, _Notes)
    except msgspec.ValidationError:
        return None


class _Near:
    """Finished blobs that arrived near the last ones; any number, but each only once.

    The digest is a sum, so that blobs can come and go one by one in any order.
    """

    def __init__(self, blobs: Iterable[Blob]) -> None:
        self._blobs: list[tuple[datetime, str, str]] = []
        self._sum = 0
        self.last: tuple[datetime, str] | None = None
        for blob in blobs:
            self.add(blob)

    def __len__(self) -> int:
        return len(self._blobs)

    def add(self, blob: Blob) -> None:
        heapq.heappush(self._blobs, (*order(blob), blob.etag))
        self._sum += _number(blob.name, blob.etag)
        self.last = max(self.last or order(blob), order(blob))

    def forget_before(self, since: datetime) -> None:
        while self._blobs and self._blobs[0][0] < since:
            _, name, etag = heapq.heappop(self._blobs)
            self._sum -= _number(name, etag)

    def names(self) -> dict[str, str]:
        return {name: etag for _, name, etag in sorted(self._blobs)}

    @property
    def digest(self) -> str:
        return f"{self._sum % (1 << 8 * _DIGEST):0{2 * _DIGEST}x}"


def _key(blob: Blob) -> BlobKey:
    return blob.name, blob.etag


def _number(name: str, etag: str) -> int:
    hashed = blake2b(msgspec.json.encode((name, etag)), digest_size=_DIGEST)
    return int.from_bytes(hashed.digest())
