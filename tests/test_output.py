"""Messages on standard output: whole, in order, in large writes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from decimal import Decimal
from types import SimpleNamespace
from typing import Any

import pytest
from singer_sdk.singerlib import RecordMessage, SchemaMessage, StateMessage

from tap_mobile_engagement.output.lines import WRITE_SIZE, MessageWriter


class Output:
    """A file that keeps each write, and may take only some bytes of it, as a raw pipe may.

    Args:
        most: Bytes that one write takes at most; None for all.
    """

    def __init__(self, most: int | None = None) -> None:
        self._most = most
        self.writes: list[bytes] = []
        self.flushes = 0

    def write(self, data: memoryview) -> int:
        taken = bytes(data[: self._most])
        self.writes.append(taken)
        return len(taken)

    def flush(self) -> None:
        self.flushes += 1

    @property
    def messages(self) -> list[dict[str, Any]]:
        content = b"".join(self.writes)
        assert content.endswith(b"\n") or not content
        return [json.loads(line) for line in content.splitlines()]


def redirect(patch: pytest.MonkeyPatch, most: int | None = None) -> Output:
    """Take standard output over, for the rest of the test."""
    output = Output(most)
    patch.setattr(sys, "stdout", SimpleNamespace(buffer=output))
    return output


def record(number: int, text: str = "") -> RecordMessage:
    return RecordMessage("events", {"number": number, "text": text})


def shapes(messages: list[dict[str, Any]]) -> list[Any]:
    """What came out: the number of a record, the value of a state, otherwise the type."""
    return [
        message["record"]["number"]
        if message["type"] == "RECORD"
        else message.get("value", message["type"])
        for message in messages
    ]


def test_records_wait_and_state_follows_them_in_one_write(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    output = redirect(monkeypatch)
    writer = MessageWriter()

    writer.write_message(record(1))
    writer.write_message(record(2))
    assert output.writes == []

    writer.write_message(StateMessage({"bookmarks": {}}))
    assert shapes(output.messages) == [1, 2, {"bookmarks": {}}]
    assert len(output.writes) == 1
    assert output.flushes == 1


def test_whole_lines_keep_their_place_among_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    output = redirect(monkeypatch)
    writer = MessageWriter()
    schema = SchemaMessage("events", {"properties": {}}, key_properties=[])

    writer.write_message(schema)
    writer.write_message(record(1))
    writer.write_lines(
        writer.serialize_message(record(2)) + writer.serialize_message(record(3)), 2
    )
    writer.write_message(record(4))
    writer.write_message(StateMessage({"n": 4}))
    writer.write_lines(writer.serialize_message(record(5)), 1)
    writer.flush()

    assert shapes(output.messages) == ["SCHEMA", 1, 2, 3, 4, {"n": 4}, 5]


def test_records_are_written_when_there_are_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    output = redirect(monkeypatch)
    writer = MessageWriter()

    for number in range(1_000):
        writer.write_message(record(number, "x" * 500))

    waiting = 1_000 - len(output.messages)
    assert [len(write) >= WRITE_SIZE for write in output.writes] == [True] * len(output.writes)
    assert all(len(write) < WRITE_SIZE + 1_000 for write in output.writes)
    assert 0 < waiting < WRITE_SIZE / 500
    writer.flush()
    assert shapes(output.messages) == [*range(1_000)]


@pytest.mark.parametrize("most", [1, 7, 1_000])
def test_short_writes_lose_and_repeat_nothing(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    output = redirect(monkeypatch, most)
    writer = MessageWriter()

    for number in range(50):
        writer.write_message(record(number, "é😀"))
        writer.write_message(StateMessage({"n": number}))

    assert shapes(output.messages) == [part for n in range(50) for part in (n, {"n": n})]


def test_nothing_to_write_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    output = redirect(monkeypatch)
    writer = MessageWriter()
    writer.write_message(record(1))
    writer.flush()

    writer.flush()

    assert len(output.writes) == 1


def test_a_message_is_one_line_whatever_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    output = redirect(monkeypatch)
    writer = MessageWriter()
    text = 'a\nb\r\n\u2028"\\\0é😀'

    writer.write_message(record(1, text))
    writer.write_message(StateMessage({"price": Decimal("1.50"), "text": text}))

    first, second = output.messages
    assert first["record"]["text"] == text
    assert second["value"] == {"price": 1.5, "text": text}


# A real pipe, unbuffered, and signals while it is full: its writes come back short.

RECORDS = 10_000
PER_STATE = 2_000  # records between two states: one write of a megabyte
CHILD = f"""
import signal, sys
from types import SimpleNamespace
from singer_sdk.singerlib import RecordMessage, StateMessage
from tap_mobile_engagement.output.lines import MessageWriter

class Counting:
    short = 0
    def write(self, data):
        written = raw.write(data)
        Counting.short += written < len(data)
        return written
    def flush(self):
        raw.flush()

signal.signal(signal.SIGUSR1, lambda *_: None)
stdout, raw = sys.stdout, sys.stdout.buffer
sys.stdout = SimpleNamespace(buffer=Counting())
writer = MessageWriter()
text = "x" * 500
for start in range(0, {RECORDS}, {PER_STATE}):
    writer.write_lines(
        b"".join(
            writer.serialize_message(RecordMessage("events", {{"number": n, "text": text}}))
            for n in range(start, start + {PER_STATE})
        ),
        {PER_STATE},
    )
    writer.write_message(StateMessage({{"n": start}}))
sys.stdout = stdout
print(type(raw).__name__, Counting.short, file=sys.stderr)
"""


def test_a_raw_pipe_with_signals_gets_every_message_whole_and_in_order() -> None:
    command = [sys.executable, "-u", "-c", CHILD]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as child:
        assert child.stdout
        assert child.stderr
        content = bytearray()
        while piece := os.read(child.stdout.fileno(), 10_000):
            content += piece
            # Far from its end, the child waits in a write that has begun.
            if len(content) < RECORDS * 300:
                child.send_signal(signal.SIGUSR1)
        kind, short = child.stderr.read().split()

    assert child.returncode == 0
    assert kind == b"FileIO"
    assert int(short) > 0  # or else nothing was tried
    expected: list[Any] = []
    for start in range(0, RECORDS, PER_STATE):
        expected += [*range(start, start + PER_STATE), {"n": start}]
    assert shapes([json.loads(line) for line in bytes(content).splitlines()]) == expected
