"""Which blobs of an archive a stream has finished, known by when they arrived. No I/O.

A bookmark alone can't say it: blobs are read by the time of their content, and may arrive in
another order, at once, during the listing, or by a move that keeps their times. So the state
has digests of the finished ones in a few periods of arrival, and names the later ones while
they are few. Where a digest does not fit, its blobs are read again: rather twice than never.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from hashlib import blake2b
from itertools import accumulate, islice
from operator import sub
from typing import TYPE_CHECKING, Annotated

import msgspec
from msgspec import Meta, Struct

from tap_mobile_engagement.sources.patterns import Rules  # noqa: TC001  (msgspec reads it)
from tap_mobile_engagement.state import instant

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_mobile_engagement.containers import Blob
    from tap_mobile_engagement.state import PartitionState

NEAR = timedelta(minutes=15)
"""How long before the newest blob one may have arrived that the listing missed.

A blob may appear on a page already read, and the clocks of the storage's servers differ.
"""

MAX_NAMES = 100  # blobs that a state names one by one; of more it holds a digest
PERIODS = 8  # of the arrivals before that
_DIGEST = 8  # bytes
_BEGINNING = datetime.min.replace(tzinfo=UTC)
_Time = Annotated[datetime, Meta(tz=True)]
_BEFORE_ALL, _BEHIND_ALL = (_BEGINNING, ""), (datetime.max.replace(tzinfo=UTC), "")


def arrival_text(arrived: datetime) -> str:
    """A time of arrival: RFC 3339 in UTC, with microseconds unless there are none."""
    return arrived.astimezone(UTC).isoformat().replace("+00:00", "Z")


def order(blob: Blob) -> tuple[datetime, str]:
    """The order in which blobs are read: by the time of their content, then by name."""
    return blob.written, blob.name


class _Notes(Struct, omit_defaults=True):
    """What a state holds about finished blobs.

    Attributes:
        periods: Where each period ends, and a digest of the finished blobs that arrived in it.
        until: The last of these blobs in the order of reading.
        files: Names and ETags of the finished blobs that arrived later.
        bookmark: The stream's bookmark then; if it differs now, the user changed it.
    """

    rules: Rules
    periods: list[tuple[_Time, str]]
    until: tuple[_Time, str] = _BEHIND_ALL
    files: dict[str, str] = {}
    bookmark: str | None = None


class Arrivals:
    """What of a listing is due for one stream, and what is finished.

    ``blobs`` are in the order of reading, listed at ``now``. With ``replacing`` rows, all from
    the oldest new one on are due, so that the newest row is the last. One that can't be read
    is always due. Raises DataError BAD_STATE for a bookmark that is not a date-time.

    Attributes:
        due: The blobs that are due, in order.
        is_rereading: Whether some of them were finished before. The state has to say so before
            the first is read: if the run died between, an older row would be the last.
    """

    def __init__(
        self,
        blobs: Sequence[Blob],
        *,
        rules: Rules,
        now: datetime,
        state: PartitionState,
        replacing: bool = False,
    ) -> None:
        self._rules = rules
        self._state = state
        sound = (blob for blob in blobs if blob.problem is None)
        self._blobs = sorted(sound, key=lambda blob: (blob.arrived, blob.name))
        self._times = [blob.arrived for blob in self._blobs]
        self._sums = [*accumulate(map(_number, self._blobs), initial=0)]
        self._finished = self._known()
        self.due = [blob for blob in blobs if blob not in self._finished]
        if replacing and self.due:
            oldest = order(self.due[0])
            self.due = [blob for blob in blobs if order(blob) >= oldest]
        self.is_rereading = not self._finished.isdisjoint(self.due)
        self._finished.difference_update(self.due)
        self._broken = {blob for blob in self.due if blob.problem is not None}
        self._files: Counter[Blob] = Counter()  # finished ones of each
        self._exported: set[Blob] = set()
        self._next = 0  # in order of arrival, the first blob that is not finished
        # A modification time in the future is no reason to overlook what arrives before it.
        past = self._times[: bisect_right(self._times, now)]
        self._near_since = (past[-1] if past else now) - NEAR
        self._reached: datetime | None = None
        self._total = sum(map(_number, self._finished))
        self._until = max(map(order, self._finished), default=_BEFORE_ALL)
        self._arrived = max((blob.arrived for blob in self._finished), default=_BEGINNING)

    def finish(self, blob: Blob, *, exported: bool = False, of: int = 1) -> None:
        """Note that one ``of`` the files of a blob is finished, and whether it had records."""
        self._files[blob] += 1
        if exported:
            self._exported.add(blob)
        if self._files[blob] < of:
            return
        if blob.problem is not None:
            self._broken.discard(blob)
        elif blob not in self._finished:
            self._finished.add(blob)
            self._total += _number(blob)
            self._until = max(self._until, order(blob))
            self._arrived = max(self._arrived, blob.arrived)
        if exported:
            self.note()

    def note(self) -> bool:
        """Bring the state up to date; tell whether that changed it."""
        since = self._since()
        if self._reached is not None:
            self._state.advance_to(arrival_text(self._reached))
        early = bisect_left(self._times, since)  # all of these are finished
        starts = {self._times[early * part // PERIODS] for part in range(1, PERIODS) if early}
        ends = [*sorted(starts), since]
        reached = [self._sums[bisect_left(self._times, end)] for end in ends]
        periods = [*zip(ends, map(_digest, map(sub, reached, [0, *reached])), strict=True)]
        notes = _Notes(self._rules, periods, bookmark=self._state.bookmark)
        count = len(self._finished) - early
        if count <= MAX_NAMES:
            later = islice(self._blobs, early, None)
            finished = islice((blob for blob in later if blob in self._finished), count)
            notes.files = {blob.name: blob.etag for blob in finished}
        else:
            notes.until = self._until
            end = self._arrived + timedelta.resolution
            periods.append((end, _digest(self._total - self._sums[early])))
        before = self._state.values.get("archive")
        self._state.values["archive"] = msgspec.to_builtins(notes)
        return bool(self._state.values["archive"] != before)

    def _since(self) -> datetime:
        """Up to which arrival all blobs are finished."""
        held = min((blob.arrived for blob in self._broken), default=None)
        while self._next < len(self._blobs):
            blob = self._blobs[self._next]
            if blob not in self._finished or (held is not None and blob.arrived > held):
                return min(self._near_since, blob.arrived, held or blob.arrived)
            if blob in self._exported:
                self._reached = blob.arrived
            self._next += 1
        return min(self._near_since, held or self._near_since)

    def _between(self, start: datetime, end: datetime) -> list[Blob]:
        """The blobs that arrived from start until before end."""
        return self._blobs[bisect_left(self._times, start) : bisect_left(self._times, end)]

    def _known(self) -> set[Blob]:
        """The blobs that are finished, as the state has it."""
        bookmark, notes = self._state.bookmark, None
        with suppress(msgspec.ValidationError):  # then no version of the tap wrote them
            notes = msgspec.convert(self._state.values.get("archive"), _Notes)
        if notes is None or notes.bookmark != bookmark:
            # The bookmark was put there by hand, or taken away: it alone counts.
            return {*self._between(_BEGINNING, instant(bookmark))} if bookmark else set()
        if notes.rules.encoding != self._rules.encoding:
            return set()
        finished = [blob for blob in self._blobs if notes.files.get(blob.name) == blob.etag]
        start = _BEGINNING
        for end, digest in notes.periods:
            blobs = [
                blob
                for blob in self._between(start, end)
                if order(blob) <= notes.until and notes.rules.looks_at(blob.name)
            ]
            if _digest(sum(map(_number, blobs))) == digest:
                finished += blobs
            start = end
        # The settings say of it what they said then: it was read in the same way.
        before, now = notes.rules.data_type, self._rules.data_type
        return {blob for blob in finished if before(blob.name) == now(blob.name)}


def _number(blob: Blob) -> int:
    hashed = blake2b(msgspec.json.encode((blob.name, blob.etag)), digest_size=_DIGEST)
    return int.from_bytes(hashed.digest())


def _digest(total: int) -> str:
    return f"{total % (1 << 8 * _DIGEST):0{2 * _DIGEST}x}"
