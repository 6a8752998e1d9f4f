"""The faults of docs/failures.md: what each one is, in the simulator's words."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

STREAMS = {"historical": "events", "snapshot": "tokens", "devices": "devices"}
"""One stream of each kind, as the table calls the kinds."""

_CREATION = {"method": "POST", "path": "*/exportTasks/{stream}"}
_LOOK = {"method": "GET", "path": "*/exportTasks/*"}
_DEVICES = {"method": "GET", "path": "*/apps/shop/devices"}
_DETAILS = {"method": "GET", "path": "*/apps/shop/devices/*-*"}
_TOKEN = {"method": "POST", "path": "*/oauth2/token"}

_FOR_EVER = {"times": 0}


@dataclass(frozen=True)
class Plan:
    """One fault.

    Attributes:
        faults: Plan of faults for streams with export tasks; ``{stream}`` is the data type.
        devices: Plan of faults for the devices stream.
        options: Options of the simulator.
        settings: Settings of the tap.
        leaps: Whether the tap's clock leaps over pauses; then hours go by in no time, but
            nothing that takes time at the service has a chance to end.
        lacks_details: Whether a device comes without details, for there are none any more.
    """

    faults: tuple[dict[str, Any], ...] = ()
    devices: tuple[dict[str, Any], ...] = ()
    options: dict[str, Any] = field(default_factory=dict)
    settings: dict[str, Any] = field(default_factory=dict)
    leaps: bool = False
    lacks_details: bool = False

    def faults_for(self, stream: str) -> list[dict[str, Any]]:
        """The plan of faults for a stream."""
        if stream == "devices":
            return [*self.devices]
        return [
            {
                name: value.replace("{stream}", stream) if isinstance(value, str) else value
                for name, value in fault.items()
            }
            for fault in self.faults
        ]


def _answer(status: int, **more: Any) -> Plan:
    """An error that is answered to a creation, or to a request for devices."""
    fault = {"fault": "error_answer", "status": status, **more}
    return Plan(({**fault, **_CREATION},), ({**fault, **_DEVICES},), leaps=True)


def _look(**fault: Any) -> Plan:
    """A fault of a request that only reads: for a task, or for devices."""
    return Plan(({**fault, **_LOOK},), ({**fault, **_DEVICES},), leaps=True)


def _task(**fault: Any) -> Plan:
    return Plan(({"data_type": "{stream}", **fault},))


# Little is tried before a stream gives up: two days, and a minute per task.
_SHORT = {"task_timeout_minutes": 1, "start_date": "2016-05-13"}


PLANS: dict[str, Plan] = {
    # Requests that create a task.
    "the answer to a creation is lost": Plan(({"fault": "lost_answer", **_CREATION},)),
    "the answer to a creation is cut": Plan(({"fault": "cut_answer", "at": 9, **_CREATION},)),
    "a gateway gives up on a creation": Plan(
        ({"fault": "error_answer", "status": 504, "body": "html", "carried_out": True}
         | _CREATION,)
    ),
    "a creation never gets through": Plan(
        ({"fault": "error_answer", "status": 503, **_CREATION, **_FOR_EVER},), leaps=True
    ),
    "409 to a creation": Plan(
        ({"fault": "error_answer", "status": 409, "times": 2, **_CREATION},), leaps=True
    ),
    "429 to every creation": Plan(
        ({"fault": "error_answer", "status": 429, **_CREATION, **_FOR_EVER},), leaps=True
    ),
    "413 to a creation": Plan(({"fault": "error_answer", "status": 413, **_CREATION},)),
    "400 to a creation": Plan(({"fault": "error_answer", "status": 400, **_CREATION},)),
    "403 to a request": _answer(403, **_FOR_EVER),
    "404 for the app": _answer(404, **_FOR_EVER),
    "429 with Retry-After in seconds": _answer(429, retry_after=2, times=2),
    "429 with Retry-After as a date": _answer(429, retry_after=2, as_date=True, times=2),
    # Requests that only read.
    "a burst of 500, 502, 503, 504": Plan(
        tuple(
            {"fault": "error_answer", "status": status, "nth": nth, "body": "text", **_LOOK}
            for nth, status in enumerate((500, 502, 503, 504), 1)
        ),
        tuple(
            {"fault": "error_answer", "status": status, "nth": nth, "body": "text", **_DEVICES}
            for nth, status in enumerate((500, 502, 503, 504), 1)
        ),
        leaps=True,
    ),
    "503 for ever": _look(fault="error_answer", status=503, **_FOR_EVER),
    "an answer is cut": _look(fault="cut_answer", at=7),
    "a connection is refused": _look(fault="refused"),
    "an HTML page for an answer": _look(
        fault="other_body", body="<html>Welcome</html>", **_FOR_EVER
    ),
    "a device vanishes meanwhile": Plan(
        devices=({"fault": "error_answer", "status": 404, **_DETAILS},), lacks_details=True
    ),
    "the access token is refused": Plan(
        ({"fault": "error_answer", "status": 401, **_LOOK},),
        ({"fault": "error_answer", "status": 401, **_DEVICES},),
    ),
    # Tasks.
    "a task is not visible at first": _task(fault="task_hidden", seconds=0.3),
    "a task fails": _task(fault="task_fails"),
    "every task fails": Plan(
        ({"fault": "task_fails", "data_type": "{stream}", **_FOR_EVER},), settings=_SHORT
    ),
    "a task hangs for a while": _task(fault="task_hangs", seconds=0.3),
    "every task hangs": Plan(
        ({"fault": "task_hangs", "data_type": "{stream}", **_FOR_EVER},),
        settings=_SHORT,
        leaps=True,
    ),
    "an unknown state for a while": _task(fault="task_unknown_state", seconds=0.3),
    "an unknown state for ever": Plan(
        ({"fault": "task_unknown_state", "data_type": "{stream}", **_FOR_EVER},),
        settings=_SHORT,
        leaps=True,
    ),
    "a task vanishes": Plan(
        ({"fault": "task_vanishes", "data_type": "{stream}"},), settings=_SHORT, leaps=True
    ),
    "every task vanishes": Plan(
        ({"fault": "task_vanishes", "data_type": "{stream}", **_FOR_EVER},),
        settings=_SHORT,
        leaps=True,
    ),
    # Blobs.
    "a blob comes late": _task(fault="blob_late", seconds=0.5),
    "one of several blobs comes late": Plan(
        ({"fault": "blob_late", "data_type": "{stream}", "seconds": 0.5, "times": 3},),
        options={"blobs_per_task": 3},
    ),
    "a blob is written again": _task(fault="blob_replaced", seconds=0.0),
    "a blob ends too early": _task(fault="blob_truncated", at=-20),
    "a compressed blob ends too early": Plan(
        ({"fault": "blob_truncated", "data_type": "{stream}", "at": -20},),
        options={"compression": "gzip"},
    ),
    "garbage behind the end": _task(fault="blob_trailing"),
    "something else than an export": _task(fault="blob_replaced", seconds=0.0, text="hello"),
    "a bad record": _task(fault="bad_element", raw='{"deviceId": [1]}'),
    "a bad record, with bad_records: skip": Plan(
        ({"fault": "bad_element", "data_type": "{stream}", "raw": '{"deviceId": [1]}'},),
        settings={"bad_records": "skip"},
    ),
    "more bad records than allowed": Plan(
        ({"fault": "bad_element", "data_type": "{stream}", "raw": '{"deviceId": [1]}'},),
        settings={"bad_records": "skip", "max_bad_records": 0},
    ),
}  # fmt: skip
