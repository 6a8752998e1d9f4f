"""One export and its task: what is wanted, what was asked for, how far it is."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
from msgspec import Struct

from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.state import Window, bookmark_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_mobile_engagement.errors import TapError

# Ids are GUIDs as documented; anything that can't change the meaning of a URL is accepted.
_TASK_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~-]{0,127}")


class Key(NamedTuple):
    """One data type of one app: its exports are read in order."""

    data_type: str
    app: str


class Phase(StrEnum):
    """How far an export has come."""

    DUE = "due"  # no task yet
    CREATING = "creating"  # its task is being asked for at this moment
    RUNNING = "running"  # its task is polled
    WRITTEN = "written"  # its task has succeeded, its blobs are looked for
    READY = "ready"  # its blobs are known
    FAILED = "failed"


AT_WORK = frozenset({Phase.CREATING, Phase.RUNNING, Phase.WRITTEN})
"""The service works on the task, or has just finished it."""

TO_BE_DONE = AT_WORK | {Phase.DUE}
"""The task has not ended, or has not been created yet."""


class TaskEntry(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a state remembers of an export task, enough to take it up again.

    It carries the range that it was created for, so that it can't be resumed under another.

    Attributes:
        created: When the tap asked for it, by the *tap's* clock, UTC. Deadlines count from
            there, in whichever run.
        start: First day of its window; None for a snapshot without dates.
        end: First day after its window, likewise.
        container: Name of the task's own container; None where tasks share one.
        empty: Whether it came out empty: its blobs are looked for once more.
    """

    id: str
    created: datetime
    start: date | None = None
    end: date | None = None
    campaign_type: str | None = None
    container: str | None = None
    empty: bool = False

    def __post_init__(self) -> None:
        if not _TASK_ID.fullmatch(self.id):
            raise ValueError("an unusable task id")
        if self.created.tzinfo is None:
            raise ValueError("a creation time without a zone")
        if (self.start is None) != (self.end is None):
            raise ValueError("half a date window")
        if self.start is not None and self.end is not None:
            Window(self.start, self.end)  # refuses an empty one

    @classmethod
    def from_state(cls, entry: Any) -> TaskEntry:
        """Read an entry of a state's ``tasks``; fields that it doesn't know are ignored.

        Raises:
            DataError: ``BAD_STATE`` where the entry can't be used.
        """
        try:
            return msgspec.convert(entry, cls)
        except msgspec.ValidationError as error:
            raise DataError(
                Code.BAD_STATE,
                f"the state remembers an export task in a form that can't be read: {error}",
                next_step="Remove the entry from tasks in the state; its range is then"
                " exported again",
            ) from error

    def to_state(self) -> dict[str, Any]:
        """Render it for a state: plain JSON values, absent ones omitted."""
        entry: dict[str, Any] = msgspec.to_builtins(self)
        return entry

    @property
    def window(self) -> Window | None:
        """The window that it was created for."""
        if self.start is None or self.end is None:
            return None
        return Window(self.start, self.end)


class ExportTask(Struct, frozen=True, kw_only=True):
    """An export task as the service describes it, at one moment.

    Attributes:
        id: Its id, a GUID as documented.
        state: Its state as it came; :func:`.policy.known_state` reads it.
        export_type: ``exportType``; None where the answer omits it.
        created: When the *service* says that it was created, UTC; None where unreadable.
            The service's clock need not agree with ours: never compare the two.
        description: The text that its creator gave it.
        error_details: Why it failed.
        retry_after: Seconds to wait before asking again, where the answer said so.
    """

    id: str
    state: str
    export_type: str | None = None
    created: datetime | None = None
    description: str | None = None
    error_details: str | None = None
    retry_after: float | None = None

    @classmethod
    def from_answer(cls, answer: Any, *, retry_after: float | None = None) -> ExportTask:
        """Read a task out of decoded JSON: strict on id and state, lenient on the rest.

        Raises:
            DataError: ``BAD_ANSWER`` where it isn't an object with a usable id and a state.
        """
        if not isinstance(answer, dict):
            raise _no_task("it is not a JSON object")
        task_id, state = answer.get("id"), answer.get("state")
        if not isinstance(task_id, str) or not _TASK_ID.fullmatch(task_id):
            raise _no_task("it has no usable id")
        if not isinstance(state, str) or not state.strip():
            raise _no_task("it has no state", task=task_id)
        return cls(
            id=task_id,
            state=state,
            export_type=_text(answer.get("exportType")),
            created=read_time(answer.get("dateCreated")),
            description=_text(answer.get("description")),
            error_details=_text(answer.get("errorDetails")),
            retry_after=retry_after,
        )


@dataclass(eq=False, slots=True)
class PendingExport:
    """One export that is due, and its task.

    Attributes:
        window: The days; for push feedback, those in which a campaign was active. None for
            the other snapshots.
        campaign_type: Only for push feedback, and required there.
        container_url: Where its task writes, once that is chosen; a secret.
        container: Name of the container that its task has for itself; None if tasks share one.
        asked_at: When its task was asked for in this run; None for one of an earlier run.
        due_at: When the next action for it is due; None for at once.
        polls: How often the service was asked about its task.
        misses: How many 404 answers came in a row.
        state: The state of its task as it was last seen.
        failures: How many of its tasks failed.
        written_at: When its task was seen to have succeeded.
        searches: How often its blobs were looked for.
        parts: The files that its task wrote, once they are known; none if it wrote nothing.
    """

    key: Key
    window: Window | None = None
    campaign_type: str | None = None
    task: TaskEntry | None = None
    phase: Phase = Phase.DUE
    container_url: str = field(default="", repr=False)
    container: str | None = None
    asked_at: datetime | None = None
    due_at: datetime | None = None
    polls: int = 0
    misses: int = 0
    state: str = ""
    failures: int = 0
    written_at: datetime | None = None
    searches: int = 0
    parts: Sequence[Any] = ()
    error: TapError | None = None

    def __str__(self) -> str:
        """What is exported: ``push_feedback Poll 2016-05-01/2016-05-08``."""
        what = (self.key.data_type, self.campaign_type, self.window)
        return " ".join(str(part) for part in what if part is not None)

    @property
    def path(self) -> str:
        """Path of the POST, below the app's URL."""
        return f"devices/exportTasks/{BY_NAME[self.key.data_type].task_path}"

    @property
    def where(self) -> dict[str, object]:
        """The places to name in an error about it."""
        return {
            "app": self.key.app,
            "stream": self.key.data_type,
            "range": self.window,
            "campaign_type": self.campaign_type,
            "task": self.task.id if self.task else None,
        }

    def body(self, export_format: str, description: str) -> dict[str, str]:
        """The JSON body of the POST.

        ``endDate`` is the end of the half-open window. Whether the service counts that day in
        is unknown; so no day is lost, and at worst one is exported twice. The description is
        public.
        """
        body = {
            "containerUrl": self.container_url,
            "exportFormat": export_format,
            "description": description,
        }
        if self.window is None:
            return body
        start, end = self.window.start, self.window.end
        if self.campaign_type is None:
            return body | {"startDate": start.isoformat(), "endDate": end.isoformat()}
        return body | {
            "campaignType": self.campaign_type,
            "campaignWindowStart": bookmark_at(start),
            "campaignWindowEnd": bookmark_at(end),
        }

    def entry(self, task: ExportTask, asked_at: datetime) -> TaskEntry:
        """What the state remembers of a task that was created for it at that time."""
        return TaskEntry(
            id=task.id,
            created=asked_at.astimezone(UTC).replace(microsecond=0),
            start=self.window.start if self.window else None,
            end=self.window.end if self.window else None,
            campaign_type=self.campaign_type,
            container=self.container,
        )

    def drop_task(self) -> None:
        """Forget its task and where that wrote: another one is to be made."""
        self.task = self.asked_at = self.written_at = self.container = None
        self.container_url = self.state = ""
        self.polls = self.misses = self.searches = 0
        self.parts = ()


class Create(NamedTuple):
    """Ask for a task; then report ``created``, ``refused`` or ``failed``."""

    export: PendingExport


class Poll(NamedTuple):
    """Ask about a task; then report ``polled`` or ``failed``."""

    export: PendingExport


class FindBlobs(NamedTuple):
    """Look for the blobs of a task; then report ``searched`` or ``failed``."""

    export: PendingExport


class Wait(NamedTuple):
    """Nothing to do before that time; before something is reported, if it is None."""

    until: datetime | None


class Note(NamedTuple):
    """What the state has to be told: a task to remember, or one to forget."""

    key: Key
    task: TaskEntry
    is_over: bool


def read_time(value: Any) -> datetime | None:
    """Read a time of the service, leniently: RFC 3339, no zone meaning UTC.

    Returns:
        The time in UTC, or None where it can't be read.
    """
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value.strip())
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _no_task(reason: str, **where: object) -> DataError:
    return DataError(
        Code.BAD_ANSWER,
        f"the service's answer is not an export task: {reason}",
        next_step="Check that api_url points to a Mobile Engagement service",
        **where,
    )
