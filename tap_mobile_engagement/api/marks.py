"""How the tap tells its own export tasks from all others. No I/O, no clock."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from tap_mobile_engagement.api.tasks import ExportTask, TaskRequest
    from tap_mobile_engagement.state import Window

CLOCK_SLACK = timedelta(minutes=15)
"""How much a service's creation times may be out of order among themselves (an assumption)."""


@dataclass(frozen=True, slots=True)
class RunMark:
    """The description of a task, which tells it from every other: run, number and range.

    When the answer to a creation is lost, the task is found by it. So each request has a mark
    of its own, and it holds no secret, for the service shows it to all who may list tasks.

    Attributes:
        run_id: Names this run of the tap; no other run has the same.
        number: Numbers the run's requests.
        data_type: What is exported.
        window: The range; None for a snapshot without dates.
        campaign_type: For push feedback.
    """

    run_id: str
    number: int
    data_type: str
    window: Window | None = None
    campaign_type: str | None = None

    @classmethod
    def of(cls, request: TaskRequest, *, run_id: str, number: int) -> RunMark:
        """The mark for a request."""
        return cls(run_id, number, request.data_type, request.window, request.campaign_type)

    def __str__(self) -> str:
        """For example ``tap-mobile-engagement 5f2a9c81/7 events 2016-05-01/2016-05-08``."""
        what = (self.data_type, self.campaign_type, self.window)
        named = " ".join(str(part) for part in what if part is not None)
        # The words that follow keep "…/1" from being found in the mark of request 12.
        return f"tap-mobile-engagement {self.run_id}/{self.number} {named}"


def find_orphan(
    tasks: Iterable[ExportTask], mark: RunMark, export_type: str | None, *, age: timedelta
) -> ExportTask | None:
    """Find the task that a request with a lost answer created.

    The mark decides, and nothing else could: a task without it may be anybody's, and write to
    another container. Creation times only tell when to stop looking, and are compared among
    themselves, for the service's clock may be far from ours.

    Args:
        tasks: The service's tasks, newest first; read no further than needed.
        mark: The request's mark.
        export_type: ``exportType`` of its data type.
        age: How long ago the request was sent.
    """
    newest: datetime | None = None
    for task in tasks:
        if str(mark) in (task.description or "") and task.export_type in (export_type, None):
            return task
        if task.created is None:
            continue
        newest = max(newest or task.created, task.created)
        if newest - task.created > age + CLOCK_SLACK:
            return None
    return None
