"""An invented service and its storage: what becomes of a task is drawn from a seed.

The draw depends on what is exported and on how often that was tried, and on nothing else. So
runs with different limits meet the same failures, however differently they go about it.
"""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from random import Random
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tap_mobile_engagement.api.client import TaskRefusedError
from tap_mobile_engagement.api.tasks import ExportTask
from tap_mobile_engagement.errors import Code, RetryLaterError
from tap_mobile_engagement.sources.base import Part

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tap_mobile_engagement.api.tasks import PendingExport
    from tap_mobile_engagement.state import TaskEntry

_LONGEST = 60.0  # seconds that a task takes
_LATEST = 30.0  # seconds that its blob may come after it has succeeded


@dataclass(frozen=True)
class Odds:
    """How likely it is that something goes wrong, from 0 to 1.

    Attributes:
        fails: A task ends as Failed.
        hangs: A task never ends.
        vanishes: A task is forgotten.
        answer_lost: A task is created, but nobody is told.
        refused: A task is refused though there is room for it.
        blob_late: A blob comes some time after its task has succeeded.
    """

    fails: float = 0.0
    hangs: float = 0.0
    vanishes: float = 0.0
    answer_lost: float = 0.0
    refused: float = 0.0
    blob_late: float = 0.0


@dataclass
class Task:
    """A task, and what is going to become of it."""

    id: str
    description: str | None
    what: str
    end: datetime
    state: str
    blob_from: datetime


@dataclass
class Service:
    """The client of an invented service, and where its tasks write.

    Attributes:
        seed: Decides over all that is left to chance.
        now: The clock.
        odds: How likely what is.
        room: How many unfinished tasks it allows.
        may_mix: Data types whose tasks could be mixed up.
        tasks: All that were ever created.
    """

    seed: int
    now: Callable[[], datetime]
    odds: Odds = Odds()
    room: int = 1_000
    may_mix: frozenset[str] = frozenset()
    tasks: dict[str, Task] = field(default_factory=dict)
    one_app: bool = False
    read_first: frozenset[str] = frozenset()
    _tries: Counter[str] = field(default_factory=Counter)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self._moods = Random(self.seed)  # noqa: S311  (no cryptography)

    # What the runner asks of it.

    def create_task(self, export: PendingExport, body: dict[str, str]) -> ExportTask:
        now = self.now()
        unfinished = sum(task.end > now for task in self.tasks.values())
        if unfinished >= self.room or self._moods.random() < self.odds.refused:
            raise TaskRefusedError("busy")
        what = f"{export.key.data_type} {export.key.app} {export.window}"
        self._tries[what] += 1
        draw = Random(f"{self.seed} {what} {self._tries[what]}")  # noqa: S311
        end = now + timedelta(seconds=draw.uniform(0, _LONGEST))
        state = "Succeeded"
        if draw.random() < self.odds.fails:
            state = "Failed"
        if draw.random() < self.odds.hangs:
            state = "Started"
        if draw.random() < self.odds.vanishes:
            state = ""
        late = draw.uniform(0, _LATEST) if draw.random() < self.odds.blob_late else 0.0
        task = Task(
            id=str(UUID(int=(1 << 100) + len(self.tasks))),
            description=body["description"],
            what=what,
            end=end,
            state=state,
            blob_from=end + timedelta(seconds=late),
        )
        self.tasks[task.id] = task
        if draw.random() < self.odds.answer_lost:
            raise RetryLaterError(Code.TASK_CREATION_UNCERTAIN, "no answer")
        return self._told(task)

    def get_task(self, _app: str, task_id: str) -> ExportTask | None:
        task = self.tasks[task_id]
        return self._told(task) if task.state else None

    def list_tasks(self, _app: str) -> Iterator[dict[str, Any]]:
        return (
            {"id": task.id, "state": self._told(task).state, "description": task.description}
            for task in reversed([*self.tasks.values()])
        )

    def _told(self, task: Task) -> ExportTask:
        state = task.state if self.now() >= task.end else "Started"
        return ExportTask(id=task.id, state=state or "Queued", description=task.description)

    # What the source asks of its storage.

    def check(self) -> None:
        """It is there."""

    @property
    def one_at_a_time(self) -> frozenset[str]:
        return self.may_mix

    def choose(self, export: PendingExport) -> None:
        export.container_url = "https://storage.example/container?sig=c2ln"

    def find(self, export: PendingExport) -> tuple[Part, ...]:
        assert export.task is not None
        known = self.tasks[export.task.id]
        assert known.state == "Succeeded"
        assert known.end <= self.now(), "blobs are looked for before their task has ended"
        if self.now() < known.blob_from:
            return ()

        @contextmanager
        def opened() -> Iterator[Iterator[bytes]]:
            yield iter([known.what.encode()])

        return (Part(export.task.id, len(known.what), opened),)

    def find_again(self, _task: TaskEntry, parts: Sequence[Part]) -> tuple[Part, ...]:
        return tuple(parts)

    def sample(self, *_: Any) -> tuple[Part, ...]:
        return ()
