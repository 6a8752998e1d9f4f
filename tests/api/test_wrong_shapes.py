"""Answers and states of every wrong shape: an error with a code, and never a traceback.

python -m tests.api.test_wrong_shapes 500 10000     other seeds than the few here
"""

from __future__ import annotations

import sys
from contextlib import suppress
from copy import deepcopy
from datetime import UTC, datetime
from random import Random
from typing import Any

from tap_mobile_engagement.api.client import ServiceClient
from tap_mobile_engagement.api.destinations import AccountStorage
from tap_mobile_engagement.api.http import Transport
from tap_mobile_engagement.api.source import ApiSource
from tap_mobile_engagement.datatypes import DATA_TYPES, LISTED_TYPES
from tap_mobile_engagement.errors import TapError
from tap_mobile_engagement.inputs import checked_state
from tap_mobile_engagement.reading.batch import Origin
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.rejects import BadRecords
from tap_mobile_engagement.state import PartitionState
from tests.support.settings import parse
from tests.support.simulated import LeapingTime

from .fakes import FakeService, Reply, not_sent, session_with, task_json, token_reply
from .test_bookmarks import CONFIG, END_DAY

SEEDS = 500

BY_NAME = {data_type.name: data_type for data_type in (*DATA_TYPES, *LISTED_TYPES)}

ODD: list[Any] = [
    None, True, 0, -1, 7, 1e308, 10**400, "", " ", "text", "\ud83d", "\0", "../x", "9" * 400,
    "2016-05-01", "2016-05-01T00:00:00Z", "0001-01-01T00:00:00+14:00", [], {}, [[]], [None],
    {"": None}, [{"a": [1]}], "https://evil.example/x", "//[", "?$skip=1", "Succeeded",
]  # fmt: skip
RAW = [
    b"", b"\xff\xfe", b"[" * 3000, b'{"a":' * 3000, b"<html>", b"NaN", b'{"value": [NaN]}',
    b'{"value": [{"deviceId": "\\ud83d"}]}', b"\xef\xbb\xbf{}", b'{"a":1,' * 1000, b"1e999",
    b'{"expires_in":' + b"9" * 5000 + b"}", b"\0", b'"\xed\xa0\x80"',
]  # fmt: skip
HEADERS = {
    "Retry-After": ["0", "-1", "9" * 400, "soon", "Thu, 01 Jan 1970 00:00:00 GMT", ""],
    "Content-Type": ["", "text/html", "application/json; charset=x", "\x1b"],
    "Content-Encoding": ["gzip", "br", "gzip, gzip", "identity", ""],
    "Location": ["", "//", "https://evil.example/", "\x1b[2J"],
    "x-ms-request-id": ["a" * 5000, "\x07"],
    "Date": ["never", "Thu, 01 Jan 9999999999 00:00:00 GMT"],
}
SOUND: list[Any] = [
    {"value": [], "nextLink": None},
    {"value": [{"deviceId": "d1", "meta": {"firstSeen": 1}, "appInfo": {}}]},
    {"value": [{"id": 1, "state": "draft", "name": "n", "kind": "x"}]},
    {"value": [task_json("Started"), task_json("Failed")], "nextLink": "?$skip=2"},
    task_json("Queued"),
    task_json("Succeeded"),
    task_json("Failed", errorDetails="no"),
    {"error": {"code": "Bad", "message": "no"}},
    {"access_token": "the-token", "expires_in": "3599", "expires_on": "1767268800"},
]
STATE: dict[str, Any] = {
    "bookmarks": {
        "events": {
            "partitions": [
                {
                    "context": {"app_name": "shop"},
                    "replication_key": "exported_until",
                    "replication_key_value": "2016-05-08T00:00:00Z",
                    "date_range": {"start": "2016-05-01", "end": "2016-05-08"},
                    "empty_range": {"start": "2016-04-01", "end": "2016-04-08"},
                    "read_containers": [["mobile-engagement-0123456789abcdef", 1, 3]],
                    "tasks": [
                        {
                            "id": "0b1f4d1e-64c4-4a26-bbd7-000000000001",
                            "created": "2016-05-08T00:00:00Z",
                            "start": "2016-05-08",
                            "end": "2016-05-15",
                            "container": "c",
                            "empty": False,
                        }
                    ],
                }
            ]
        }
    }
}


def changed(value: Any, random: Random) -> Any:
    """A value with one part, at any depth, that is something else, missing, or there twice."""
    value = deepcopy(value)
    spots: list[tuple[Any, Any]] = []

    def walk(node: Any) -> None:
        keys = node if isinstance(node, dict) else range(len(node))
        for key in keys:
            spots.append((node, key))
            if isinstance(node[key], dict | list):
                walk(node[key])

    walk([value])
    for node, key in random.sample(spots, random.randint(1, min(2, len(spots)))):
        action = random.randrange(4)
        if action == 0 and isinstance(node, dict):
            node.pop(key, None)
        elif action == 1 and isinstance(node, dict):
            node[random.choice(["", "id", "value", "\ud83d", "tasks"])] = random.choice(ODD)
        elif isinstance(node, dict) or key < len(node):
            node[key] = random.choice(ODD)
    return spots[0][0][0] if isinstance(spots[0][0], list) else value


class OddService(FakeService):
    """A service each of whose answers is drawn from a seed."""

    def __init__(self, random: Random) -> None:
        super().__init__(tokens=iter(self._token, None))
        self._random = random
        self._sent = 0

    def _token(self) -> Reply | Exception:
        return self._reply() if self._random.random() < 0.3 else token_reply("the-token")

    def send(self, request: Any, **more: Any) -> Any:  # type: ignore[override]
        self._sent += 1
        # A list that never ends has an end here: the test of that is another one.
        self.script = [self._reply() if self._sent < 60 else Reply(404)]
        return super().send(request, **more)

    def _reply(self) -> Reply | Exception:
        random = self._random
        if random.random() < 0.05:
            return not_sent()
        content: Any = random.choice(SOUND)
        if random.random() < 0.6:
            content = changed(content, random)
        if random.random() < 0.2:
            content = random.choice(RAW)
        statuses = [200, 202, 204, 302, 400, 401, 403, 404, 409, 413, 429, 500, 503, 999, 100]
        status = 200 if random.random() < 0.6 else random.choice(statuses)
        headers = {
            name: random.choice(values)
            for name, values in HEADERS.items()
            if random.random() < 0.2
        }
        return Reply(status, content, headers)


class Nowhere(AccountStorage):
    """Storage in which no task finds anything."""

    def __init__(self) -> None:
        self.check: Any = None

    def choose(self, _: Any) -> None:
        """Anywhere."""

    def find(self, *_: Any) -> Any:
        return ()


def ask_for_everything(seed: int) -> None:
    """All that the tap asks a service for; errors of the tap are fine, others are not."""
    random = Random(seed)  # noqa: S311  (no cryptography)
    time = LeapingTime()
    transport = Transport(session=session_with(OddService(random)), timing=time.timing)
    settings = parse(
        CONFIG | {"api_url": "https://api.example", "authority_url": "https://login.example"},
        today=END_DAY,
    )
    client = ServiceClient(settings, transport)
    source = ApiSource(settings, client=client, storage=Nowhere(), clock=time.timing)
    with suppress(TapError):
        client.auth.token()
    for app in settings.app_names:
        with suppress(TapError):
            client.check_app(app)
    name = random.choice(["devices", "campaigns", "export_tasks"])
    with suppress(TapError):
        read(source, name, PartitionState({}))
    with suppress(TapError):
        read(source, random.choice(["events", "tags", "push_feedback"]), PartitionState({}))
    source.close()


def read(source: ApiSource, name: str, state: PartitionState) -> None:
    data_type = BY_NAME[name]
    reader = RecordReader(data_type, BadRecords(name, skip=True))
    for export in source.exports(data_type, "shop", state, lambda: None):
        origin = Origin(data_type, "shop", None, export.exported_until)
        for part in export.parts:
            assert part.elements is not None
            for batch in reader.batches_of_elements(origin, part.elements()):
                assert [*batch.dictionaries()]
        export.commit()


def take_a_state(seed: int) -> None:
    """A state that was changed, and a run that begins with it."""
    random = Random(seed)  # noqa: S311
    state: Any = STATE
    for _ in range(random.randint(1, 3)):
        state = changed(state, random)
    if not isinstance(state, dict):
        return
    with suppress(TapError):
        checked_state(state, "api")
        time = LeapingTime()
        settings = parse(CONFIG | {"delete_task_containers": True}, today=END_DAY)
        service: Any = None
        for stream in state.get("bookmarks", {}).values():
            for values in stream.get("partitions", []):
                source = ApiSource(
                    settings, client=service, storage=Nowhere(), clock=time.timing
                )
                partition = PartitionState(values)
                source.prepare(BY_NAME["events"], "shop", partition)
                partition.take_containers()
                partition.note_container("mobile-engagement-0123456789abcdef-4")


def test_answers_of_every_wrong_shape_are_errors_with_a_code() -> None:
    for seed in range(SEEDS // 2):
        ask_for_everything(seed)


def test_states_of_every_wrong_shape_are_errors_with_a_code() -> None:
    for seed in range(SEEDS // 2):
        take_a_state(seed)


if __name__ == "__main__":
    began = datetime.now(UTC)
    failures = 0
    for number in range(*map(int, sys.argv[1:])):
        try:
            ask_for_everything(number)
            take_a_state(number)
        except Exception as error:  # noqa: BLE001
            failures += 1
            print(f"seed {number}: {type(error).__name__}: {error}"[:300])  # noqa: T201
    print(f"{failures} failures, {datetime.now(UTC) - began}")  # noqa: T201
