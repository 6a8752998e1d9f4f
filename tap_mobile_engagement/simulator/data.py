"""What the devices of one app logged: sessions, activities, events, jobs, errors, crashes.

Everything is made day by day, when it is asked for, as a pure function of seed, app and day;
nothing is kept but a few days of sessions. *Day* is the day in UTC on which a session truly
starts: what happens in it may fall on the next day, and a wrong device clock may put it days
away. :meth:`Logs.days_for` knows how far.
"""

from __future__ import annotations

from collections import OrderedDict
from datetime import UTC, date, datetime, time, timedelta
from threading import Lock
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct

from tap_mobile_engagement.simulator import vocabulary
from tap_mobile_engagement.simulator.chance import chance
from tap_mobile_engagement.simulator.clock import DAY, NANOSECONDS, nanoseconds
from tap_mobile_engagement.simulator.devices import Device, make_devices

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from random import Random

    from tap_mobile_engagement.simulator.options import Options

_T = TypeVar("_T")

_MILLISECOND = NANOSECONDS // 1000
_LONGEST_SESSION = 2400  # seconds
_LONGEST_JOB = 5400  # seconds
_LONGEST = _LONGEST_SESSION + _LONGEST_JOB  # from a session's start to anything of it
_PROMPT = 90  # seconds within which most items arrive
_KEPT_DAYS = 8  # of sessions, shared by the data types that happen in them
_EXTRAS = 512  # different extras per app

# Shares.
_OFFLINE = 0.12  # of sessions whose logs wait on the device
_ENDLESS = 0.06  # of sessions and jobs that never get an end
_END_LATER = 0.06  # of sessions and jobs whose end arrives apart from their start
_OUTSIDE = 0.04  # of events, added to those within sessions
_BARE = 0.45  # of items without extras
_NESTED = 0.3  # of activities with extras: a tree instead of scalars
_EXPLAINED = 0.9  # of crashes that come with type and stack trace


class Span(Struct, gc=False):
    """A session, or a job: something with a start, and mostly with an end.

    Times are nanoseconds since 1970: ``begun`` is the truth, ``start`` and ``end`` are what the
    device's clock said, ``arrival`` and ``end_arrival`` when the service had them. ``lasts`` is
    the true length, ``delay`` how late its logs arrive, in nanoseconds.
    """

    id: str
    device: Device
    begun: int
    lasts: int
    delay: int
    start: int
    arrival: int
    end: int | None
    end_arrival: int
    info_id: str
    location_id: str | None
    name: str = ""
    extras: dict[str, Any] | None = None

    def end_known_at(self, moment: int) -> int | None:
        """Its end, if the service has it by then."""
        return self.end if self.end_arrival <= moment else None


class Log(Struct, gc=False):
    """An activity, an event, an error or a crash: something at one instant.

    Times are nanoseconds since 1970: ``timestamp`` by the device's clock, ``arrival`` when the
    service had it.
    """

    device: Device
    session_id: str | None
    name: str
    timestamp: int
    arrival: int
    info_id: str
    location_id: str | None
    extras: dict[str, Any] | None
    crash_id: str = ""
    crash_type: str | None = None
    stack_trace: str | None = None


class Logs:
    """All that the devices of one app ever log.

    Args:
        options: Seed, numbers and switches.
        app: App resource name.
    """

    def __init__(self, options: Options, app: str) -> None:
        self._options = options
        self._app = app
        self._first_moment = midnight(options.first_day)
        self.devices = make_devices(options, app, self._first_moment)
        self._precision = options.precision
        self._late = round(options.late_days * DAY)
        self._extras = _extras_pool(self._random("extras"))
        self._kept: OrderedDict[date, list[Span]] = OrderedDict()
        self._lock = Lock()  # exports run in threads of their own
        self._makers: dict[str, Callable[[date], Iterator[Log] | Iterator[Span]]] = {
            "sessions": lambda day: iter(self.sessions(day)),
            "jobs": self._jobs,
            "activities": self._activities,
            "events": self._events,
            "errors": self._errors,
            "crashes": self._crashes,
        }

    def days_for(self, start: int, end: int, moment: int) -> Iterator[date]:
        """The days whose items may carry a timestamp in ``[start, end)`` and be there by then.

        They reach beyond the range by the longest session or job and by the clocks' errors.

        Args:
            start: First nanosecond since 1970.
            end: First nanosecond beyond.
            moment: The present, which nothing is ahead of.
        """
        reach = round(self._options.clock_error_days * DAY) + _LONGEST * NANOSECONDS
        return self._days(start - reach, min(end + reach, moment + 1))

    def days_arriving(self, start: int, end: int, moment: int) -> Iterator[date]:
        """The days whose items may arrive in ``[start, end)`` and be there by then."""
        return self._days(start - self._late - _LONGEST * NANOSECONDS, min(end, moment + 1))

    def _days(self, start: int, end: int) -> Iterator[date]:
        # Not by `max` of two days: dates end where ranges may still go on.
        early = start <= self._first_moment
        day = self._options.first_day if early else day_of(start)
        while midnight(day) < end:
            yield day
            day += timedelta(days=1)

    def made_on(self, data_type: str, day: date) -> Iterator[Log] | Iterator[Span]:
        """All items of a day, whenever they arrive; those of a group one after another.

        Args:
            data_type: Name of a historical data type, as in ``datatypes``.
            day: The day on which their session starts.
        """
        items = self._makers[data_type](day)
        return self._with_repeats(data_type, day, items) if self._options.repeats else items

    def sessions(self, day: date) -> list[Span]:
        """The sessions that start on a day; all other items belong to one of them."""
        with self._lock:
            if day not in self._kept:
                self._kept[day] = list(self._make_sessions(day))
                if len(self._kept) > _KEPT_DAYS:
                    self._kept.popitem(last=False)
            self._kept.move_to_end(day)
            return self._kept[day]

    def _random(self, *what: object) -> Random:
        return chance(self._options.seed, self._app, *what)

    def _exact(self, moment: int, rng: Random) -> int:
        """A time at the precision that files have, with digits down to it."""
        step = self._precision
        if step < _MILLISECOND:
            moment += rng.randrange(_MILLISECOND)
        return moment // step * step

    def _delay(self, rng: Random) -> int:
        if rng.random() < _OFFLINE:
            return round(rng.random() * self._late)
        return min(rng.randrange(_PROMPT * 1000) * _MILLISECOND, self._late)

    def _make_sessions(self, day: date) -> Iterator[Span]:
        rng, dawn = self._random("sessions", day), midnight(day)
        whole, part = divmod(self._options.sessions_per_device, 1)
        for device in self.devices:
            for _ in range(int(whole) + (rng.random() < part)):
                # People sleep: few sessions before six by the device's own day.
                second = (
                    int(86_400 * (rng.random() ** 0.7)) - device.place.utc_offset_minutes * 60
                )
                begun = (
                    dawn + (second % 86_400) * NANOSECONDS + rng.randrange(1000) * _MILLISECOND
                )
                lasts = rng.randrange(15, _LONGEST_SESSION) * NANOSECONDS
                id_, delay = f"{rng.getrandbits(128):032x}", self._delay(rng)
                if begun >= device.first_seen:
                    yield self._span(rng, device, begun, id_=id_, lasts=lasts, delay=delay)

    def _span(
        self, rng: Random, device: Device, begun: int, *, id_: str, lasts: int, delay: int
    ) -> Span:
        """Make a session or a job that truly begins and lasts as given (nanoseconds)."""
        fate = rng.random()
        if _ENDLESS <= fate < _ENDLESS + _END_LATER:
            end_delay = max(delay, round(rng.random() * self._late))
        else:
            end_delay = delay
        end = begun + lasts + device.clock_error
        return Span(
            id=id_,
            device=device,
            begun=begun,
            lasts=lasts,
            delay=delay,
            start=self._exact(begun + device.clock_error, rng),
            arrival=begun + delay,
            end=None if fate < _ENDLESS else self._exact(end, rng),
            end_arrival=begun + lasts + end_delay,
            info_id=device.info_id(begun),
            location_id=device.location_id,
        )

    def _moments(self, rng: Random, session: Span, mean: float) -> list[int]:
        """True times of a number of things in a session, in order; ``mean`` on average."""
        whole, part = divmod(mean * 2 * rng.random(), 1)
        count = int(whole) + (rng.random() < part)
        return sorted(
            session.begun + int(rng.random() * session.lasts) // _MILLISECOND * _MILLISECOND
            for _ in range(count)
        )

    def _log(self, rng: Random, session: Span, moment: int, name: str) -> Log:
        device = session.device
        return Log(
            device=device,
            session_id=session.id,
            name=name,
            timestamp=self._exact(moment + device.clock_error, rng),
            arrival=moment + session.delay,
            info_id=session.info_id,
            location_id=session.location_id,
            extras=None if rng.random() < _BARE else _pick(rng, self._extras),
        )

    def _activities(self, day: date) -> Iterator[Log]:
        rng = self._random("activities", day)
        for session in self.sessions(day):
            for moment in self._moments(rng, session, self._options.activities_per_session):
                log = self._log(rng, session, moment, _pick(rng, vocabulary.ACTIVITIES))
                if log.extras is not None and rng.random() < _NESTED:
                    # Extras of activities may be nested, those of all others are flat.
                    log.extras = {"screen": log.extras, "path": ["home", log.name, None]}
                yield log

    def _events(self, day: date) -> Iterator[Log]:
        rng, mean = self._random("events", day), self._options.events_per_session
        for session in self.sessions(day):
            for moment in self._moments(rng, session, mean):
                yield self._log(rng, session, moment, _pick(rng, vocabulary.EVENTS))
            if rng.random() < _OUTSIDE * mean:
                moment = session.begun + session.lasts + rng.randrange(60_000) * _MILLISECOND
                outside = self._log(rng, session, moment, "push_received")
                outside.session_id = None
                yield outside

    def _errors(self, day: date) -> Iterator[Log]:
        rng, mean = self._random("errors", day), self._options.errors_per_session
        for session in self.sessions(day):
            for moment in self._moments(rng, session, mean):
                yield self._log(rng, session, moment, _pick(rng, vocabulary.ERRORS))

    def _crashes(self, day: date) -> Iterator[Log]:
        rng, mean = self._random("crashes", day), self._options.crashes_per_session
        for session in self.sessions(day):
            for moment in self._moments(rng, session, mean):
                number = rng.randrange(len(vocabulary.CRASHES))
                kind, message = vocabulary.CRASHES[number]
                frames = (
                    rng.choice(vocabulary.FRAMES).format(line=rng.randrange(900))
                    for _ in range(4)
                )
                log = self._log(rng, session, moment, "")
                log.crash_id = f"{number:02x}" * 16 if number else "c0" * 16
                if rng.random() < _EXPLAINED:
                    log.crash_type = kind
                    log.stack_trace = "\n".join((f"{kind}: {message}", *frames))
                yield log

    def _jobs(self, day: date) -> Iterator[Span]:
        rng, mean = self._random("jobs", day), self._options.jobs_per_session
        for session in self.sessions(day):
            for moment in self._moments(rng, session, mean):
                id_ = f"{rng.getrandbits(128):032x}"
                lasts = rng.randrange(1, _LONGEST_JOB) * NANOSECONDS
                job = self._span(
                    rng, session.device, moment, id_=id_, lasts=lasts, delay=session.delay
                )
                job.name = rng.choice(vocabulary.JOBS)
                job.extras = None if rng.random() < _BARE else _pick(rng, self._extras)
                yield job

    def _with_repeats(self, data_type: str, day: date, items: Iterator[Any]) -> Iterator[Any]:
        rng = self._random("repeats", data_type, day)
        for item in items:
            yield item
            if rng.random() < self._options.repeats:
                yield item


def midnight(day: date) -> int:
    """The beginning of a day in UTC, in nanoseconds since 1970."""
    return nanoseconds(datetime.combine(day, time(), tzinfo=UTC))


def day_of(moment: int) -> date:
    """The day in UTC of a time in nanoseconds since 1970."""
    return date(1970, 1, 1) + timedelta(days=moment // DAY)


def _pick(rng: Random, choices: Sequence[_T]) -> _T:
    """As ``rng.choice``, in a fraction of its time."""
    return choices[int(rng.random() * len(choices))]


def _extras_pool(rng: Random) -> list[dict[str, Any]]:
    """Flat extras of many shapes; shared by items, so no item may change them."""
    shapes: tuple[Callable[[], dict[str, Any]], ...] = (
        dict,
        lambda: {"sku": f"SKU-{rng.randrange(10_000):05d}"},
        lambda: {
            "price": round(rng.uniform(1, 500), 2),
            "currency": rng.choice(("EUR", "JPY")),
        },
        lambda: {"query": rng.choice(vocabulary.SEARCHES), "results": rng.randrange(400)},
        lambda: {"text": rng.choice(vocabulary.AWKWARD), "position": rng.randrange(-5, 99)},
        lambda: {"first": rng.choice((True, False)), "referrer": None, "ratio": rng.random()},
        lambda: {'key "quoted"': rng.choice(vocabulary.AWKWARD), "größe": rng.randrange(60)},
    )
    return [shapes[number % len(shapes)]() for number in range(_EXTRAS)]
