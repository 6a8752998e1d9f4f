"""Values of the export API: what is asked for, what is answered, what a state remembers."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import Any

import msgspec
from msgspec import Struct

from tap_mobile_engagement.datatypes import BY_NAME, CAMPAIGN_TYPES, EXPORT_FORMATS, DataType
from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.state import Window, midnight

PUSH_FEEDBACK = "push_feedback"

# Ids are GUIDs as documented; anything that can't change the meaning of a URL is accepted.
_TASK_ID = re.compile(r"[0-9A-Za-z][0-9A-Za-z._~-]{0,127}")


class TaskRequest(Struct, frozen=True, kw_only=True):
    """An order for one export task, rendered as the service's REST description demands.

    Attributes:
        data_type: Name of a data type that has export tasks.
        container_url: Where the service is to write; holds a SAS, so it is a secret.
        export_format: ``JsonBlob`` or ``CsvBlob``.
        window: The days to export; for push feedback, those in which a campaign was active.
            None for the other snapshots.
        campaign_type: Only for push feedback, and required there.
        description: Text that the service keeps with the task; public, so without secrets.

    Raises:
        ValueError: If the parts don't fit the data type.
    """

    data_type: str
    container_url: str
    export_format: str = EXPORT_FORMATS[0]
    window: Window | None = None
    campaign_type: str | None = None
    description: str | None = None

    def __post_init__(self) -> None:
        kind = BY_NAME.get(self.data_type)
        if kind is None or kind.task_path is None:
            raise ValueError(f"there is no export task for {self.data_type!r}")
        if self.export_format not in EXPORT_FORMATS:
            raise ValueError(f"unknown export format {self.export_format!r}")
        by_campaign = self.data_type == PUSH_FEEDBACK
        if by_campaign != (self.campaign_type in CAMPAIGN_TYPES):
            raise ValueError(f"campaign type {self.campaign_type!r} for {self.data_type}")
        if (kind.historical or by_campaign) != (self.window is not None):
            raise ValueError(f"date window {self.window} for {self.data_type}")

    def __repr__(self) -> str:
        """Without the container URL, whose signature must not reach a log."""
        parts = (self.data_type, self.campaign_type, self.window)
        return f"<TaskRequest {' '.join(str(part) for part in parts if part)}>"

    @property
    def kind(self) -> DataType:
        """The data type's entry in the table."""
        return BY_NAME[self.data_type]

    @property
    def path(self) -> str:
        """Path of the POST, below the app's URL."""
        return f"devices/exportTasks/{self.kind.task_path}"

    def body(self) -> dict[str, str]:
        """The JSON body of the POST.

        ``endDate`` is the end of the half-open window. Whether the service counts that day in
        is unknown; so no day is lost, and at worst one is exported twice.
        """
        body = {"containerUrl": self.container_url, "exportFormat": self.export_format}
        if self.description is not None:
            body["description"] = self.description
        if self.window is None:
            return body
        if self.campaign_type is None:
            body["startDate"] = self.window.start.isoformat()
            body["endDate"] = self.window.end.isoformat()
        else:
            body["campaignType"] = self.campaign_type
            body["campaignWindowStart"] = _rfc3339(midnight(self.window.start))
            body["campaignWindowEnd"] = _rfc3339(midnight(self.window.end))
        return body


class ExportTask(Struct, frozen=True, kw_only=True):
    """An export task as the service tells of it, at one moment.

    Attributes:
        id: Its id, a GUID as documented.
        state: Its state as it came; :func:`.policy.known_state` reads it.
        export_type: ``exportType``; None where the answer left it out.
        created: When the *service* says that it was created, UTC; None where unreadable.
            The service's clock need not agree with ours: never compare the two.
        completed: When it ended, likewise.
        description: The text that its creator gave it.
        error_details: Why it failed.
        location: URL of the task, where the answer to its creation named one.
        retry_after: Seconds to wait before asking again, where the answer said so.
    """

    id: str
    state: str
    export_type: str | None = None
    created: datetime | None = None
    completed: datetime | None = None
    description: str | None = None
    error_details: str | None = None
    location: str | None = None
    retry_after: float | None = None

    @classmethod
    def from_answer(
        cls, answer: Any, *, location: str | None = None, retry_after: float | None = None
    ) -> ExportTask:
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
            completed=read_time(answer.get("dateCompleted")),
            description=_text(answer.get("description")),
            error_details=_text(answer.get("errorDetails")),
            location=location,
            retry_after=retry_after,
        )


class TaskRef(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a Singer state remembers of an export task, enough to take it up again.

    It carries the range that it was created for, so that it can't be resumed under another.

    Attributes:
        id: The task.
        created: When the tap asked for it, by the *tap's* clock, UTC. Deadlines count from
            there, in whichever run.
        start: First day of its window; None for a snapshot without dates.
        end: First day after its window, likewise.
        campaign_type: For push feedback.
        container: Name of the task's own container; None where tasks share one.
    """

    id: str
    created: datetime
    start: date | None = None
    end: date | None = None
    campaign_type: str | None = None
    container: str | None = None

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
    def of(
        cls,
        task: ExportTask,
        request: TaskRequest,
        *,
        asked_at: datetime,
        container: str | None,
    ) -> TaskRef:
        """Remember a task that was created for that request at that time (tap's clock)."""
        window = request.window
        return cls(
            id=task.id,
            created=asked_at.astimezone(UTC).replace(microsecond=0),
            start=window.start if window else None,
            end=window.end if window else None,
            campaign_type=request.campaign_type,
            container=container,
        )

    @classmethod
    def from_state(cls, entry: Any) -> TaskRef:
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
        """Render it for a state: plain JSON values, absent ones left out."""
        entry: dict[str, Any] = msgspec.to_builtins(self)
        return entry

    @property
    def window(self) -> Window | None:
        """The window that it was created for."""
        if self.start is None or self.end is None:
            return None
        return Window(self.start, self.end)


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


def _rfc3339(time: datetime) -> str:
    return time.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _no_task(reason: str, **where: object) -> DataError:
    return DataError(
        Code.BAD_ANSWER,
        f"the service's answer is not an export task: {reason}",
        next_step="Check that api_url points to a Mobile Engagement service",
        **where,
    )
