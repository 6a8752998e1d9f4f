"""Devices of an app: who they are, and what the service knows of them at a given time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from tap_mobile_engagement.simulator import vocabulary
from tap_mobile_engagement.simulator.chance import chance
from tap_mobile_engagement.simulator.clock import DAY, NANOSECONDS

if TYPE_CHECKING:
    from random import Random

    from tap_mobile_engagement.simulator.options import Options
    from tap_mobile_engagement.simulator.vocabulary import Phone, Place

_UPDATE_EVERY = 10 * DAY  # how often a device gets the next version of the app
_NEVER = 1 << 62
_NEWCOMERS = 0.4  # share of devices that are first seen after the first day
_NEWCOMERS_WITHIN = 60  # days
_WRONG_CLOCKS = 0.1  # share of devices, where the option allows any
_LOCATED = 0.8  # share of devices that report their location
_LIVES = (7, 29)  # days from the first use of a device that vanishes


class Device(Struct, frozen=True, gc=False):
    """One device with one installation of the app; times are nanoseconds since 1970.

    Attributes:
        id: 32 hex digits.
        number: Its place in the list of devices.
        seed: Source of what is drawn for this device later.
        carrier: Name of the carrier; None on a tablet without one.
        located: Whether it reports its location.
        network: Network type and sub-type.
        first_seen: When it first used the app.
        gone: When it vanishes from the snapshots; far in the future if it does not.
        clock_error: What its clock shows beyond the true time.
    """

    id: str
    number: int
    seed: int
    phone: Phone
    place: Place
    carrier: str | None
    located: bool
    network: tuple[str, str | None]
    first_seen: int
    gone: int
    clock_error: int

    def known_at(self, moment: int) -> bool:
        """Whether the snapshots hold it."""
        return self.first_seen <= moment < self.gone

    def update(self, moment: int) -> int:
        """How many updates of the app it had; each comes with new technical data."""
        return max(0, moment - self.first_seen) // _UPDATE_EVERY

    def info_time(self, moment: int) -> int:
        """When the technical data arrived that is current then."""
        return self.first_seen + self.update(moment) * _UPDATE_EVERY

    def info_id(self, moment: int) -> str:
        """Id of the technical data that is current then, 32 hex digits."""
        return f"{self.seed:016x}{self.update(moment):016x}"

    @property
    def location_id(self) -> str | None:
        """Id of its location, 32 hex digits; None where it reports none."""
        return f"{self.seed ^ 0x5A5A_5A5A:016x}{0x10CA:016x}" if self.located else None

    def version(self, moment: int) -> tuple[int, str]:
        """Code and name of the app version that it runs then."""
        versions = vocabulary.APP_VERSIONS
        return versions[min(self.seed % 2 + self.update(moment), len(versions) - 1)]

    def tokens(self, moment: int) -> list[tuple[str, str]]:
        """Its native push tokens as ``(token, push service)``: none, one or two.

        There are two while one replaces the other, which takes a week of every eight.
        """
        if self.seed % 10 == 0:
            return []
        week = max(0, moment - self.first_seen) // (7 * DAY)
        generations = [week // 8, week // 8 + 1] if week % 8 == self.seed % 8 else [week // 8]
        return [
            (
                f"{self.phone.push.upper()}:{self.seed:016x}-{generation}_{'aZ9' * 12}",
                self.phone.push,
            )
            for generation in generations
        ]

    def tags(self, moment: int) -> dict[str, str] | None:
        """Its tags (app info), whose values are strings; None where it has none."""
        weeks = max(0, moment - self.first_seen) // (7 * DAY)
        level = {"level": ("bronze", "silver", "gold", "plátino")[min(weeks, 3)]}
        city = {"ville préférée": self.place.locality}
        free = {'note "free"': vocabulary.AWKWARD[self.seed % len(vocabulary.AWKWARD)]}
        kinds = (None, level, level | city, level | {"newsletter": "true"}, level | city | free)
        return kinds[self.seed % len(kinds)]


def make_devices(options: Options, app: str, first_moment: int) -> tuple[Device, ...]:
    """Make all devices of an app, whenever they are first seen.

    Args:
        options: Seed and numbers.
        app: App resource name.
        first_moment: Midnight of the first day, nanoseconds since 1970.
    """
    rng = chance(options.seed, app, "devices")
    return tuple(
        _make_device(rng, options, number, first_moment) for number in range(options.devices)
    )


def _make_device(rng: Random, options: Options, number: int, first_moment: int) -> Device:
    phone, place = rng.choice(vocabulary.PHONES), rng.choice(vocabulary.PLACES)
    day = rng.randrange(1, _NEWCOMERS_WITHIN) if rng.random() < _NEWCOMERS else 0
    first_seen = first_moment + day * DAY + rng.randrange(3_600_000) * (NANOSECONDS // 1000)
    wrong_clock = rng.random() < _WRONG_CLOCKS
    error = rng.uniform(-1, 1) * options.clock_error_days if wrong_clock else 0.0
    vanishes = rng.random() < options.vanishing
    life = rng.randrange(*_LIVES)
    return Device(
        id=f"{rng.getrandbits(128):032x}",
        number=number,
        seed=rng.getrandbits(62),
        phone=phone,
        place=place,
        carrier=None if "iPad" in phone.model else rng.choice(place.carriers),
        located=rng.random() < _LOCATED,
        network=rng.choice(vocabulary.NETWORKS),
        first_seen=first_seen,
        gone=first_seen + life * DAY if vanishes else _NEVER,
        clock_error=round(error * 86_400_000) * (NANOSECONDS // 1000),
    )
