"""One export and its task: what is wanted, how far it is, what an answer means. No I/O."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, timedelta
from enum import Enum, StrEnum
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import msgspec
from msgspec import Meta, Struct

from tap_mobile_engagement.errors import Code, DataError, RetryLaterError
from tap_mobile_engagement.state import TASK_ID, TaskEntry, bookmark_at

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

    from tap_mobile_engagement.errors import TapError
    from tap_mobile_engagement.sources.base import Part
    from tap_mobile_engagement.state import Window

VISIBLE_WITHIN = timedelta(minutes=2)  # from its creation, a task may be unknown (assumed)
MISSES_UNTIL_LOST = 3  # 404 answers in a row, of a task that should be visible
REFUSAL_LIMIT = timedelta(hours=1)  # that a service may refuse tasks though none of ours runs
_AGAIN = "Run again: its range is then exported by another task"


class Key(NamedTuple):
    """One data type of one app: its exports are read in order."""

    data_type: str
    app: str


class Phase(Enum):
    """How far an export has come; it also says what the runner does next for it."""

    DUE = "no task yet"
    CREATING = "its task is being asked for"
    RUNNING = "its task is polled"
    WRITTEN = "its task has succeeded, its blobs are looked for"
    READY = "its blobs are known"
    FAILED = "failed"


# The service works on the task, or has just finished it.
AT_WORK = frozenset({Phase.CREATING, Phase.RUNNING, Phase.WRITTEN})


class TaskState(StrEnum):
    """The documented states of an export task (``exportState`` of the REST description)."""

    QUEUED = "Queued"
    STARTED = "Started"
    SUCCEEDED = "Succeeded"
    FAILED = "Failed"


def known_state(text: str) -> TaskState | None:
    """Read a state as the service wrote it, whatever its case; None where it is unknown."""
    with suppress(ValueError):
        return TaskState(text.strip().capitalize())
    return None


def plain_id(task_id: str) -> str:
    """The id of a task as it is compared: without dashes, whatever its case."""
    return task_id.replace("-", "").casefold()


class ExportTask(Struct, frozen=True, kw_only=True, rename="camel"):
    """An export task as the service describes it."""

    id: Annotated[str, Meta(pattern=rf"^{TASK_ID}\Z")]
    state: Annotated[str, Meta(pattern=r"\S")]
    export_type: str | None = None
    description: str | None = None
    error_details: str | None = None
    retry_after: float | None = None

    @classmethod
    def from_answer(cls, answer: Any, *, retry_after: float | None = None) -> ExportTask:
        """Read a task out of decoded JSON; BAD_ANSWER without a usable id and a state."""
        found = answer if isinstance(answer, dict) else {}
        values = {name: found.get(name) for name in cls.__struct_encode_fields__}
        texts = {name: value for name, value in values.items() if isinstance(value, str)}
        try:
            return msgspec.convert(texts | {"retryAfter": retry_after}, cls)
        except (msgspec.ValidationError, UnicodeEncodeError):
            what = (
                "the service's answer is not an export task: it has no usable id, or no state"
            )
            step = "Check that api_url points to a Mobile Engagement service"
            raise DataError(Code.BAD_ANSWER, what, next_step=step) from None


@dataclass(eq=False, slots=True)
class PendingExport:
    """One export that is due, and its task."""

    key: Key
    window: Window | None = None
    campaign_type: str | None = None
    task: TaskEntry | None = None
    phase: Phase = Phase.DUE
    container_url: str = field(default="", repr=False)
    container: str | None = None  # its task's own
    asked_at: datetime | None = None  # (None for a task of an earlier run)
    due_at: datetime | None = None
    polls: int = 0
    misses: int = 0  # 404 answers in a row
    state: str = ""
    failures: int = 0
    written_at: datetime | None = None
    parts: Sequence[Part] = ()
    past_ids: list[str] = field(default_factory=list)  # of tasks before this one
    error: TapError | None = None

    def __str__(self) -> str:
        """What is exported: ``push_feedback Poll 2016-05-01/2016-05-08``."""
        what = (self.key.data_type, self.campaign_type, self.window)
        return " ".join(str(part) for part in what if part is not None)

    @property
    def is_second_look(self) -> bool:
        """Whether it is one that came out empty in an earlier run."""
        return self.task is not None and self.task.empty

    @property
    def task_ids(self) -> list[str]:
        """The ids of all tasks that it has had; the latest one is the last."""
        return [*self.past_ids, *([self.task.id] if self.task else [])]

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
        """The JSON body of the POST; ``endDate`` is a day that the service may leave out."""
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
        if self.task is not None:
            self.past_ids.append(self.task.id)
        self.task = self.asked_at = self.written_at = self.container = None
        self.container_url = self.state = ""
        self.polls = self.misses = 0
        self.parts = ()


class Note(NamedTuple):
    """What the state has to be told: a task to remember, or one to forget."""

    key: Key
    task: TaskEntry
    is_over: bool


def has_succeeded(
    export: PendingExport, answer: ExportTask | None, now: datetime, timeout: timedelta
) -> bool:
    """Decide what an answer about an export's task means (None: a 404), however late it is."""
    assert export.task is not None  # noqa: S101  (it was asked about)
    created = export.task.created
    if answer is None:
        if export.misses >= MISSES_UNTIL_LOST and now >= created + VISIBLE_WITHIN:
            raise task_lost("the service does not know the export task any more")
        return False
    state = known_state(answer.state)
    if state is TaskState.SUCCEEDED:
        return True
    if state is TaskState.FAILED:
        what = f"the export task failed: {answer.error_details or 'it does not say why'}"
        raise RetryLaterError(Code.TASK_FAILED, what, next_step=_AGAIN)
    if now < created + timeout:
        return False
    code, step = (
        Code.TASK_TIMEOUT,
        "Run again with fewer window_days or more task_timeout_minutes",
    )
    if state is None:
        code, step = Code.UNKNOWN_TASK_STATE, "Look up what the state means, then run again"
    minutes = timeout / timedelta(minutes=1)
    what = f"the export task is in state {answer.state!r} after {minutes:.0f} minutes"
    raise RetryLaterError(code, what, next_step=step)


def task_lost(what: str) -> RetryLaterError:
    """The error for a task that is gone, or whose blobs are: its range is exported again."""
    return RetryLaterError(Code.TASK_LOST, what, next_step=_AGAIN)


def find_orphan(
    listed: Iterable[Any], description: str, export_type: str | None
) -> ExportTask | None:
    """Find the task that a request with a lost answer created, by its description alone."""
    for answer in listed:
        with suppress(DataError):  # a malformed task of a stranger
            task = ExportTask.from_answer(answer)
            is_type = task.export_type in (export_type, None)
            if is_type and description in (task.description or ""):
                return task
    return None
