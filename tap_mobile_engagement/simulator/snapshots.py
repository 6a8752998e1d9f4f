"""What the service knows of an app's devices and campaigns at a given time."""

from __future__ import annotations

from datetime import date, timedelta
from threading import Lock
from typing import TYPE_CHECKING

from msgspec import Struct

from tap_mobile_engagement.simulator import vocabulary
from tap_mobile_engagement.simulator.chance import chance
from tap_mobile_engagement.simulator.clock import DAY, NANOSECONDS
from tap_mobile_engagement.simulator.data import Logs, day_of, midnight

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_mobile_engagement.simulator.devices import Device
    from tap_mobile_engagement.simulator.options import Options

_HOUR = 3600 * NANOSECONDS
_TARGETED = 0.7  # share of devices that a campaign is sent to
_OPEN = 0.2  # share of campaigns that are never finished


class Campaign(Struct, frozen=True, gc=False):
    """One push campaign; times are nanoseconds since 1970.

    Attributes:
        id: Number within its type.
        activated: When it becomes active.
        finished: When it ends; None if it never does.
        created: When it is first listed, as a draft.
    """

    type: str
    id: int
    name: str
    created: int
    activated: int
    finished: int | None

    def active_in(self, start: int, end: int) -> bool:
        """Whether it is active at some time from start to end, both included."""
        return self.activated <= end and (self.finished is None or self.finished >= start)

    def state_at(self, moment: int) -> str:
        """Its state then: draft, scheduled, in-progress or finished."""
        if moment < self.created + DAY:
            return "draft"
        if moment < self.activated:
            return "scheduled"
        return (
            "finished"
            if self.finished is not None and moment >= self.finished
            else "in-progress"
        )


class Feedback(Struct, gc=False):
    """What became of a campaign on one device so far, as flags."""

    device: Device
    campaign: Campaign
    status: list[str]

    @property
    def user_id(self) -> str | None:
        """The app's own name for the user; not every user signed in."""
        number = self.device.number
        return f"user-{number:06d}@example.com" if number % 3 else None


class Snapshots:
    """Devices and campaigns of one app, as they stand at a time that never goes back.

    Args:
        options: Seed, numbers and switches.
        app: App resource name.
        logs: What its devices logged; says when a device was last seen.
    """

    def __init__(self, options: Options, app: str, logs: Logs) -> None:
        self._options = options
        self._app = app
        self._logs = logs
        self._by_id = sorted(logs.devices, key=lambda device: device.id)
        self._settled: dict[int, int] = {}  # last seen, by device, before the day below
        self._settled_until = options.first_day
        self._lock = Lock()

    def devices(self, moment: int) -> list[Device]:
        """The devices that are known then, in the order of their ids."""
        return [device for device in self._by_id if device.known_at(moment)]

    def last_seen(self, moment: int) -> dict[int, int]:
        """When each device (by number) last began a session that arrived by then.

        Days of which everything arrived are counted once and kept as a sum, so that a page of
        the devices list costs a few days, not all.
        """
        final = day_of(moment - round(self._options.late_days * DAY)) - timedelta(days=1)
        with self._lock:
            while self._settled_until < final:
                self._settled = self._see(self._settled, self._settled_until, moment)
                self._settled_until += timedelta(days=1)
            seen, day = self._settled, self._settled_until
        while midnight(day) <= moment:
            seen = self._see(seen, day, moment)
            day += timedelta(days=1)
        return seen

    def _see(self, seen: dict[int, int], day: date, moment: int) -> dict[int, int]:
        seen = dict(seen)
        for session in self._logs.sessions(day):
            number = session.device.number
            if session.arrival <= moment and session.begun > seen.get(number, 0):
                seen[number] = session.begun
        return seen

    def campaigns(self, moment: int) -> Iterator[Campaign]:
        """All campaigns that were created by then: one or two of each type in every week."""
        week = self._options.first_day - timedelta(days=7)
        ids = dict.fromkeys(vocabulary.CAMPAIGNS, 0)
        while midnight(week) <= moment:
            rng = chance(self._options.seed, self._app, "campaigns", week)
            for type_, names in vocabulary.CAMPAIGNS.items():
                for _ in range(rng.randrange(1, 3)):
                    ids[type_] += 1
                    created = midnight(week) + rng.randrange(24) * _HOUR
                    activated = created + rng.randrange(2 * 24, 9 * 24) * _HOUR
                    life = rng.randrange(2, 12) * DAY
                    finished = None if rng.random() < _OPEN else activated + life
                    name = f"{rng.choice(names)} #{ids[type_]}"
                    campaign = Campaign(type_, ids[type_], name, created, activated, finished)
                    if created <= moment:
                        yield campaign
            week += timedelta(days=7)

    def feedback(self, campaign: Campaign, moment: int) -> Iterator[Feedback]:
        """What became of a campaign by then, device by device."""
        if campaign.activated > moment:
            return
        rng = chance(self._options.seed, self._app, "feedback", campaign.type, campaign.id)
        outcomes = vocabulary.FEEDBACK[campaign.type]
        weights = [share for share, _ in outcomes]
        for device in self._logs.devices:
            targeted = rng.random() < _TARGETED
            (_, flags), pause = rng.choices(outcomes, weights)[0], rng.randrange(1, 12) * _HOUR
            if targeted and device.known_at(campaign.activated):
                happened = 1 + (moment - campaign.activated) // pause
                yield Feedback(device, campaign, list(flags[:happened]))
