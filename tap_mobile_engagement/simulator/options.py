# ruff: noqa: RUF009  (`_option` is `field` with words: it is meant for class bodies)
"""Every switch of the simulator: one frozen dataclass, its words, and its checks.

The command line and the table in ``docs/simulator.md`` are derived from it. The last group
holds one switch for each thing about the service that is unknown: a tap has to work whichever
way they are set.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from datetime import UTC, date, datetime, time, timedelta
from string import Formatter
from typing import Any, Literal, get_args, get_origin, get_type_hints

Seconds = float | tuple[float, float]
"""A duration in seconds, or the least and the largest of durations drawn from the seed."""

BLOB_NAMES = {
    "task_id": "{task_id}/{type}_{n}.{ext}",
    "task_hex": "{type}-{task_hex}-{n}.{ext}",
    "random": "{random}.{ext}",
    "date": "{app}/{data_type}/{start}_{end}_{n}.{ext}",
    "bare": "{random}",
}
"""Blob name patterns by name; any other value of ``blob_name`` is a pattern itself."""

_PLACES = frozenset(
    "app type data_type task_id task_hex n start end date random ext".split()  # noqa: SIM905
)
_DEFAULT_DAYS = 14  # how much data there is when the clock starts


def _option(default: Any, words: str) -> Any:
    """Declare one option: its default, and what the command line and the docs say of it."""
    return field(default=default, metadata={"help": words})


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the simulator simulates. All of it is deterministic from ``seed``.

    Raises:
        ValueError: If a value is out of range or not one of the choices; names the option.
    """

    # Whose data, and how much.
    seed: int = _option(1, "Seed of all data; the same seed and options give the same data.")
    apps: tuple[str, ...] = _option(("shop",), "App resource names.")
    devices: int = _option(50, "Devices per app; some of them are first seen on later days.")
    first_day: date = _option(date(2016, 5, 1), "First day with data, UTC.")
    sessions_per_device: float = _option(1.0, "Sessions per device and day, on average.")
    activities_per_session: float = _option(3.0, "Activities per session, on average.")
    events_per_session: float = _option(5.0, "Events per session, on average.")
    jobs_per_session: float = _option(0.5, "Jobs per session, on average.")
    errors_per_session: float = _option(0.1, "Errors per session, on average.")
    crashes_per_session: float = _option(0.03, "Crashes per session, on average.")
    late_days: float = _option(
        2.0, "Items arrive up to this many days after their timestamp (most within minutes)."
    )
    clock_error_days: float = _option(
        0.0, "A tenth of the devices have clocks wrong by up to this many days, both ways."
    )
    repeats: float = _option(0.0, "Share of items that are there twice, as after keep-alives.")
    vanishing: float = _option(
        0.0, "Share of devices that vanish from the snapshots after one to four weeks."
    )
    user_ids: bool = _option(False, "Push feedback names user ids.")
    extra_fields: bool = _option(False, "Elements carry fields that nobody documented.")

    # The clock.
    start: datetime | None = _option(
        None, f"Where the clock starts, UTC; {_DEFAULT_DAYS} days after the first day if unset."
    )
    frozen: bool = _option(
        False,
        "The calendar stands still until it is advanced (timers of tasks and tokens run on).",
    )

    # Who may ask, and for what.
    tenant_id: str = _option("contoso.example", "Tenant of the service principal.")
    client_id: str = _option("11111111-2222-3333-4444-555555555555", "Client id.")
    client_secret: str = _option("simulated-client-secret", "Client secret.")
    token_seconds: float = _option(3599.0, "Life of an access token, in seconds.")
    subscription_id: str = _option("99999999-8888-7777-6666-555555555555", "Subscription.")
    resource_group: str = _option("MobileEngagement", "Resource group.")
    app_collection: str = _option("contoso", "App collection.")

    # Export tasks.
    queue_seconds: Seconds = _option(0.0, "Seconds from Queued to Started: N or MIN,MAX.")
    run_seconds: Seconds = _option(0.0, "Seconds from Started to Succeeded: N or MIN,MAX.")

    # What is unknown about the service.
    blob_name: str = _option(
        "task_id",
        f"Blob names: {', '.join(BLOB_NAMES)}, or a pattern of {{app}} {{type}} {{data_type}} "
        "{task_id} {task_hex} {n} {start} {end} {date} {random} {ext}.",
    )
    blobs_per_task: int = _option(1, "Blobs that a task spreads its elements over.")
    compression: Literal["none", "gzip", "zip"] = _option("none", "Compression of blobs.")
    encoding: Literal["utf-8", "utf-8-sig", "utf-16"] = _option("utf-8", "Encoding of blobs.")
    json_layout: Literal["array", "lines", "concatenated", "wrapper"] = _option(
        "array", "JSON: one array (documented), or what left-over files might hold instead."
    )
    grouping: Literal["grouped", "flat"] = _option(
        "grouped", "JSON: items in their groups (documented), or one element per item."
    )
    csv_delimiter: Literal[",", ";", "tab"] = _option(",", "Delimiter of CSV.")
    empty: Literal["nothing", "array", "blob"] = _option(
        "array", "An export without data writes no blob, an empty array, or 0 bytes."
    )
    end_date: Literal["inclusive", "exclusive"] = _option(
        "inclusive", "Whether endDate is exported."
    )
    selection: Literal["timestamp", "arrival"] = _option(
        "timestamp", "Which time decides about the range: the device's, or that of arrival."
    )
    utc_offset_minutes: int = _option(0, "Time zone of the days in a range, minutes from UTC.")
    max_range_days: int = _option(0, "Longest range of a task; 0 for no limit.")
    time_format: Literal["z", "no_zone", "offset", "space", "epoch_ms"] = _option(
        "z",
        "Times in files: 2016-05-01T08:00:00.000Z, without zone, +02:00, with a space for T "
        "and no zone, or integer milliseconds since 1970.",
    )
    time_digits: int = _option(3, "Fraction digits of times, 0 to 9; also their precision.")
    id_format: Literal["dashed", "hex"] = _option("dashed", "GUIDs with dashes, or 32 digits.")
    no_id: Literal["zero", "missing", "null", "empty", "mixed"] = _option(
        "zero", "How an id that there is not (no session, no location) shows in a file."
    )
    tags_key: Literal["tags", "appInfo"] = _option("tags", "Key of the tags in a file.")
    links: Literal["absolute", "relative"] = _option("absolute", "Location and nextLink.")
    retry_after: Literal["none", "seconds", "date"] = _option(
        "none", "Retry-After with unfinished tasks, 409 and 429: absent, or its form."
    )
    retry_after_seconds: int = _option(2, "What Retry-After asks for.")
    listed_seconds: float = _option(
        0.0, "How long a finished task stays known; 0 for as long as the simulator runs."
    )
    max_tasks: int = _option(0, "Unfinished tasks allowed per app; 0 for no limit.")
    too_many_status: Literal[409, 429] = _option(429, "Answer to a task beyond that limit.")
    device_page: int = _option(100, "Largest page of the devices list (100 documented).")

    def __post_init__(self) -> None:
        for name, hint in get_type_hints(type(self)).items():
            _check_value(name, hint, getattr(self, name))
        for name, (least, largest) in _RANGES.items():
            if not least <= getattr(self, name) <= largest:
                raise ValueError(f"{name}: {getattr(self, name)} is not {least} to {largest}")
        if not self.apps or len(set(self.apps)) != len(self.apps):
            raise ValueError("apps: at least one name, and each once")
        unknown = {place for _, place, _, _ in Formatter().parse(self.blob_pattern) if place}
        if unknown - _PLACES:
            raise ValueError(f"blob_name: unknown {', '.join(sorted(unknown - _PLACES))}")

    @property
    def clock_start(self) -> datetime:
        """The instant at which the simulator's clock starts, in UTC."""
        if self.start is not None:
            return self.start.astimezone(UTC)
        midnight = datetime.combine(self.first_day, time(), tzinfo=UTC)
        return midnight + timedelta(days=_DEFAULT_DAYS)

    @property
    def blob_pattern(self) -> str:
        """The pattern of blob names, whether it was given by name or as it is."""
        return BLOB_NAMES.get(self.blob_name, self.blob_name)

    @property
    def precision(self) -> int:
        """The smallest step of a time in a file, in nanoseconds."""
        digits = self.time_digits
        if self.time_format == "epoch_ms":
            digits = min(digits, 3)
        step: int = 10 ** (9 - digits)
        return step


_MAY_BE_NEGATIVE = frozenset({"seed", "utc_offset_minutes"})
_RANGES = {
    "time_digits": (0, 9),
    "blobs_per_task": (1, 10_000),
    "device_page": (1, 100_000),
    "repeats": (0, 1),
    "vanishing": (0, 1),
    "utc_offset_minutes": (-14 * 60, 14 * 60),
}


def _check_value(name: str, hint: Any, value: Any) -> None:
    """Check one option against its type."""
    if get_origin(hint) is Literal and value not in get_args(hint):
        choices = ", ".join(map(str, get_args(hint)))
        raise ValueError(f"{name}: {value!r} is none of {choices}")
    if hint in (int, float) and name not in _MAY_BE_NEGATIVE and value < 0:
        raise ValueError(f"{name}: {value} is negative")
    if hint == Seconds and not 0 <= bounds(value)[0] <= bounds(value)[1]:
        raise ValueError(f"{name}: {value} is no range of seconds")
    if isinstance(value, datetime) and value.tzinfo is None:
        raise ValueError(f"{name}: needs a time zone")


def bounds(seconds: Seconds) -> tuple[float, float]:
    """The least and the largest value of a duration, in seconds."""
    return seconds if isinstance(seconds, tuple) else (seconds, seconds)


def described() -> list[tuple[str, Any, Any, str]]:
    """Every option as ``(name, type, default, words)``, in the order of the dataclass."""
    hints = get_type_hints(Options)
    return [(f.name, hints[f.name], f.default, f.metadata["help"]) for f in fields(Options)]
