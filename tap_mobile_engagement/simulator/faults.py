"""Faults to inject, by a plan that is data: a list of JSON objects.

Each object names its ``fault`` and what it strikes. It strikes from the ``nth`` match on,
``times`` in a row (0 for ever)::

    [
        {"fault": "lost_answer", "method": "POST", "path": "*/exportTasks/events"},
        {"fault": "error_answer", "status": 503, "body": "html", "nth": 3, "times": 2},
        {"fault": "task_fails", "data_type": "jobs", "error_details": "out of quota"},
        {"fault": "blob_truncated", "data_type": "events", "at": 1000}
    ]

The Structs below are the format: an unknown fault or field is refused. Faults strike requests
to the service, export tasks, blobs while they are written, or (through
:class:`~tap_mobile_engagement.simulator.proxy.BlobProxy`) requests to Blob Storage.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from threading import Lock
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import msgspec
from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Sequence


class Fault(Struct, frozen=True, kw_only=True, tag_field="fault", forbid_unknown_fields=True):
    """What all faults have in common.

    Attributes:
        nth: The first match that it strikes, from 1.
        times: How many matches in a row it strikes; 0 for all that follow.
    """

    nth: int = 1
    times: int = 1


class RequestFault(Fault, frozen=True, kw_only=True):
    """Strikes a request to the service (token endpoint included).

    Attributes:
        method: HTTP method; a pattern, as in shells.
        path: Path of the URL, without query; likewise.
    """

    method: str = "*"
    path: str = "*"


class LostAnswer(RequestFault, frozen=True, kw_only=True, tag="lost_answer"):
    """The request is carried out, then the connection is closed without an answer."""


class Refused(RequestFault, frozen=True, kw_only=True, tag="refused"):
    """The connection is closed before anything is carried out."""


class CutAnswer(RequestFault, frozen=True, kw_only=True, tag="cut_answer"):
    """The connection is closed after ``at`` bytes of the answer's body."""

    at: int = 0


class SlowAnswer(RequestFault, frozen=True, kw_only=True, tag="slow_answer"):
    """The answer comes after ``seconds`` of real time."""

    seconds: float


class ErrorAnswer(RequestFault, frozen=True, kw_only=True, tag="error_answer"):
    """An error is answered.

    Attributes:
        status: HTTP status.
        body: Its form: the API's JSON, plain text, a gateway's HTML page, or none.
        code: ``error.code`` of the JSON form.
        message: Text in every form.
        retry_after: Seconds for ``Retry-After``; absent if None.
        as_date: Whether to write them as a date.
        carried_out: Whether the request is carried out all the same, as behind a gateway that
            lost its patience.
    """

    status: int
    body: Literal["json", "text", "html", "empty"] = "json"
    code: str = "Injected"
    message: str = "an injected fault"
    retry_after: int | None = None
    as_date: bool = False
    carried_out: bool = False


class OtherBody(RequestFault, frozen=True, kw_only=True, tag="other_body"):
    """The right status, but another content type, and another body unless that is None."""

    content_type: str = "text/html; charset=utf-8"
    body: str | None = None


class ExportFault(Fault, frozen=True, kw_only=True):
    """Strikes something of an export.

    Attributes:
        app: App resource name; a pattern, as in shells.
        data_type: Name of the data type, as in ``datatypes``; likewise.
    """

    app: str = "*"
    data_type: str = "*"


class TaskFault(ExportFault, frozen=True, kw_only=True):
    """Strikes an export task when it is created."""


class TaskFails(TaskFault, frozen=True, kw_only=True, tag="task_fails"):
    """The task fails when it is due, after it wrote its blobs or before."""

    error_details: str = "The export failed (injected)."
    after_writing: bool = False


class TaskHangs(TaskFault, frozen=True, kw_only=True, tag="task_hangs"):
    """The task stays in a state for ``seconds`` more; 0 for ever."""

    state: Literal["Queued", "Started"] = "Started"
    seconds: float = 0


class TaskUnknownState(TaskFault, frozen=True, kw_only=True, tag="task_unknown_state"):
    """The task reports an undocumented state for ``seconds`` from its creation; 0 for ever."""

    state: str = "Suspended"
    seconds: float = 0


class TaskVanishes(TaskFault, frozen=True, kw_only=True, tag="task_vanishes"):
    """The task is unknown (404, not listed) from ``seconds`` after its creation on."""

    seconds: float = 0


class TaskHidden(TaskFault, frozen=True, kw_only=True, tag="task_hidden"):
    """The task is unknown (404, not listed) until ``seconds`` after its creation."""

    seconds: float


class BlobFault(ExportFault, frozen=True, kw_only=True):
    """Strikes a blob when it is written; of a task's blobs each counts as a match.

    Attributes:
        blob: Name of the blob; a pattern, as in shells.
    """

    blob: str = "*"


class BlobLate(BlobFault, frozen=True, kw_only=True, tag="blob_late"):
    """The blob appears ``seconds`` after the task succeeded."""

    seconds: float


class BlobGrows(BlobFault, frozen=True, kw_only=True, tag="blob_grows"):
    """The blob appears in part, and ``seconds`` after the task succeeded as a whole."""

    at: int
    seconds: float


class BlobTruncated(BlobFault, frozen=True, kw_only=True, tag="blob_truncated"):
    """The blob ends after ``at`` bytes; negative: counted from its end."""

    at: int


class BlobTrailing(BlobFault, frozen=True, kw_only=True, tag="blob_trailing"):
    """The blob has garbage behind its end."""

    text: str = "garbage"


class BlobReplaced(BlobFault, frozen=True, kw_only=True, tag="blob_replaced"):
    """The blob is written again ``seconds`` after the task succeeded.

    Attributes:
        text: Its new content; None for the same bytes, which have another ETag all the same.
    """

    seconds: float
    text: str | None = None


class BadElement(ExportFault, frozen=True, kw_only=True, tag="bad_element"):
    """One more element in an export's file; the export counts as the match.

    Attributes:
        raw: Its text, as it is to stand in the file; need not be JSON.
        at: Number of the element that it stands before, from 0.
    """

    raw: str
    at: int = 0


class StorageFault(Fault, frozen=True, kw_only=True):
    """Strikes a request to Blob Storage that goes through a ``BlobProxy``.

    Attributes:
        operation: ``read`` a blob or a part of one, ``list`` a container, ``write``, or ``*``.
        blob: Name of the blob, or of the container for ``list``; a pattern, as in shells.
    """

    operation: Literal["read", "list", "write", "*"] = "read"
    blob: str = "*"


class StorageCut(StorageFault, frozen=True, kw_only=True, tag="storage_cut"):
    """The connection is closed after ``at`` bytes of the answer's body."""

    at: int = 0


class StorageError(StorageFault, frozen=True, kw_only=True, tag="storage_error"):
    """An error is answered, in the form of Blob Storage."""

    status: int
    code: str = "Injected"


class StorageSlow(StorageFault, frozen=True, kw_only=True, tag="storage_slow"):
    """The answer comes after ``seconds`` of real time."""

    seconds: float


AnyFault = (
    LostAnswer | Refused | CutAnswer | SlowAnswer | ErrorAnswer | OtherBody
    | TaskFails | TaskHangs | TaskUnknownState | TaskVanishes | TaskHidden
    | BlobLate | BlobGrows | BlobTruncated | BlobTrailing | BlobReplaced | BadElement
    | StorageCut | StorageError | StorageSlow
)  # fmt: skip

_F = TypeVar("_F", bound=Fault)


@dataclass
class _Planned:
    """A fault with its count of matches."""

    fault: Fault
    matches: int = 0
    strikes: int = 0

    def count(self) -> bool:
        """Count a match; whether it is one that the fault is to strike."""
        self.matches += 1
        past = self.matches - self.fault.nth
        return past >= 0 and (self.fault.times == 0 or past < self.fault.times)


class Faults:
    """A plan of faults, and how far it has come. Safe to use from many threads.

    Args:
        plan: Faults as JSON objects, see above.
    """

    def __init__(self, plan: Sequence[Any] = ()) -> None:
        self._planned: list[_Planned] = []
        self._lock = Lock()
        self.plan(plan)

    def plan(self, plan: Sequence[Any]) -> None:
        """Add faults to the plan.

        Raises:
            msgspec.ValidationError: If one is not of the format; nothing is added then.
        """
        faults = msgspec.convert(list(plan), list[AnyFault])
        with self._lock:
            self._planned += [_Planned(fault) for fault in faults]

    def clear(self) -> None:
        """Drop the whole plan."""
        with self._lock:
            self._planned.clear()

    def report(self) -> list[dict[str, Any]]:
        """Every fault of the plan with its ``matches`` and ``strikes`` so far."""
        with self._lock:
            return [
                {
                    **msgspec.to_builtins(planned.fault),
                    "matches": planned.matches,
                    "strikes": planned.strikes,
                }
                for planned in self._planned
            ]

    def strike(self, kind: type[_F], **subject: str) -> _F | None:
        """Count a match of all faults of a kind that fit, and tell which one strikes.

        Of several that are to strike, the first of the plan does.

        Args:
            kind: A class of faults; its subclasses count.
            subject: What is struck, by the names of the fault's patterns. Names that a fault
                does not have are not asked.
        """
        struck = None
        with self._lock:
            for planned in self._planned:
                fault = planned.fault
                if not isinstance(fault, kind) or not _fits(fault, subject):
                    continue
                if planned.count() and struck is None:
                    planned.strikes += 1
                    struck = fault
        return struck


def _fits(fault: Fault, subject: dict[str, str]) -> bool:
    return all(fnmatchcase(value, getattr(fault, name, "*")) for name, value in subject.items())
