"""Peak memory and time of files and answers that are made to exhaust the tap.

    python -m benchmarks.bombs [KIND ...]

Each kind is recognised and read in a process of its own, as the tap reads an archive, with bad
records skipped. The rule: under 100 MB for any file whose elements are below 1 MB, and at most
ten times the largest element beyond; a code where a limit is met. Answers come from a server of
its own on 127.0.0.1, in the same process.
"""

from __future__ import annotations

import argparse
import io
import json
import socket
import struct
import subprocess
import sys
import time
import zipfile
import zlib
from contextlib import suppress
from itertools import chain, repeat
from resource import RUSAGE_SELF, getrusage
from threading import Thread
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.clock import Retry
from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import DataError, TapError
from tap_mobile_engagement.reading.batch import Origin
from tap_mobile_engagement.reading.content import contents
from tap_mobile_engagement.reading.recognise import recognise
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.rejects import BadRecords

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_MB = 1 << 20
_GROUP = b'{"deviceId":"d","events":[%b]}'
_ITEM = b'{"name":"a","timestamp":"2016-05-01T00:00:00Z","extras":{"a":[%b]}}'
_SMALL = b'{"name":"a","timestamp":"2016-05-01"}'
_CSV = b"deviceId,timestamp,crashId,stackTrace\n"


def main() -> None:
    """Read each kind in a process of its own; print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("kinds", nargs="*", metavar="KIND", default=[*BOMBS, *ANSWERS])
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        (kind,) = options.kinds
        print(json.dumps(_read(kind) if kind in BOMBS else _ask(kind)))
        return
    print("| attack | outcome | peak | seconds of CPU |")
    print("| --- | --- | --- | --- |")
    for kind in options.kinds:
        command = [sys.executable, "-m", "benchmarks.bombs", "--here", kind]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
        found = json.loads(done.stdout)
        print("| {kind} | {outcome} | {peak} MB | {cpu:.1f} |".format(kind=kind, **found))
        sys.stdout.flush()


def _read(kind: str) -> dict[str, Any]:
    """What comes of a file, the peak of memory in MB, and seconds of CPU."""
    stream, make = BOMBS[kind]
    data_type = BY_NAME[stream]
    bad_records = BadRecords(stream, skip=True, most=sys.maxsize)
    reader = RecordReader(data_type, bad_records)
    origin = Origin(data_type, "shop", "file", "2016-05-08T00:00:00Z")
    records = 0
    code = ""
    begin = time.process_time()
    try:
        next((recognise(content) for content in contents(make())), None)
        for batch in reader.batches(origin, make()):
            records += batch.count
    except DataError as error:
        code = f", `{error.code}`"
    return _measured(f"{records:,} records, {bad_records.count:,} bad{code}", begin)


def _measured(outcome: str, begin: float) -> dict[str, Any]:
    peak = getrusage(RUSAGE_SELF).ru_maxrss // 1024
    return {"outcome": outcome, "peak": peak, "cpu": time.process_time() - begin}


def _ask(kind: str) -> dict[str, Any]:
    """What comes of an answer of the service, or of the storage where it is a listing."""
    # (imported here, because what they take would count for the files, too)
    from tap_mobile_engagement.api.http import Transport  # noqa: PLC0415
    from tap_mobile_engagement.containers.azure import AzureContainer  # noqa: PLC0415

    head, pieces, pause = ANSWERS[kind]
    body = [*pieces()] if pause == 0 else pieces()
    server = socket.create_server(("127.0.0.1", 0))
    Thread(target=_serve, args=(server, head, body, pause), daemon=True).start()
    url = f"http://127.0.0.1:{server.getsockname()[1]}/account/container"
    begin = time.process_time()
    try:
        if kind.startswith("listing"):
            container = AzureContainer.from_url(f"{url}?sv=1&sr=c&sp=rl&se=2999-01-01&sig=x")
            container.check()
        once = Transport(retry=Retry(tries=1), longest=2 if pause else 60)
        answer = once.send("GET", url)
        outcome = f"HTTP {answer.status}, {len(answer.extract())} characters are shown"
        if answer.ok:
            answer.json()
    except TapError as error:
        outcome = f"`{error.code}`"
    return _measured(outcome, begin)


def _serve(server: socket.socket, head: bytes, pieces: Iterable[bytes], pause: float) -> None:
    while True:
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.recv(1 << 16)
            connection.sendall(b"HTTP/1.1 %b\r\nConnection: close\r\n\r\n" % head)
            for piece in pieces:
                connection.sendall(piece)
                time.sleep(pause)


def _repeated(
    part: bytes, count: int, before: bytes = b"", after: bytes = b""
) -> Iterator[bytes]:
    """A part many times over, in pieces of some 64 KiB."""
    each = max(1, (1 << 16) // len(part))
    yield before
    for _ in range(count // each):
        yield part * each
    yield part * (count % each) + after


def _array(element: bytes, count: int) -> Iterator[bytes]:
    return _repeated(element + b",", count - 1, b"[", element + b"]")


def _gzipped(chunks: Iterable[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, wbits=31)
    yield from filter(None, map(packer.compress, chunks))
    yield packer.flush()


def _members() -> Iterator[bytes]:
    """A gzip member for each of many bytes."""
    for chunk in _array(_GROUP % b"", 10_000):
        for at in range(0, len(chunk), 8):
            yield b"".join(_gzipped([chunk[at : at + 8]]))


def _zipped(method: int, groups: int) -> list[bytes]:
    """A zip file of one member with some empty groups, of 30 bytes each."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as packed, packed.open("a.json", "w") as member:
        for chunk in _array(_GROUP % b"", groups):
            member.write(chunk)
    return [file.getvalue()]


def _many_members() -> Iterator[bytes]:
    """A zip file of half a million members that are all the same bytes."""
    local = b"PK\x03\x04" + struct.pack("<HHHHHIIIHH", 20, 0, 0, 0, 33, 0, 0, 0, 1, 0) + b"a"
    entry = struct.pack("<HHHHHHIIIHHHHHII", 20, 20, 0, 0, 0, 33, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
    entry = b"PK\x01\x02" + entry + b"a"
    yield local
    yield from _repeated(entry, 500_000)
    yield b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, 0xFFFF, 0xFFFF, 500_000 * 47, 31, 0)


def _crashes() -> Iterator[bytes]:
    for number in range(60_000):
        trace = b"at com.contoso.Main(%d)" % number * 900
        yield b'{"deviceId":"d","timestamp":"2016-05-01","stackTrace":"%b"}\n' % trace


def _names() -> Iterator[bytes]:
    for number in range(300_000):
        yield b'{"name":"a","timestamp":"2016-05-01","%030d":1}\n' % number


def _rows() -> Iterator[bytes]:
    yield _CSV
    for _ in range(70):
        yield from _repeated(b"x", 4 * _MB, b"d,2016-05-01,c,", b"\n")


Bomb = tuple[str, "Callable[[], Iterable[bytes]]"]
BOMBS: dict[str, Bomb] = {
    "gzip that unpacks to 200 MB": (
        "events", lambda: _gzipped(_array(_GROUP % b"", 7_000_000))),
    "gzip of 37,500 members": ("events", _members),
    "zip that unpacks to 90 MB": ("events", lambda: _zipped(zipfile.ZIP_DEFLATED, 3_000_000)),
    "zip in bzip2": ("events", lambda: _zipped(zipfile.ZIP_BZIP2, 10_000)),
    "zip in LZMA": ("events", lambda: _zipped(zipfile.ZIP_LZMA, 10_000)),
    "zip of 500,000 members": ("events", _many_members),
    "array of 500,000 `{}`": ("events", lambda: _array(b"{}", 500_000)),
    "items of 0.9 MB of `{}`": (
        "events", lambda: _array(_ITEM % (b"{}," * 300_000 + b"1"), 20)),
    "item of 120 MB of `{}`": ("events", lambda: _repeated(
        b"{},", 40 * _MB, b'[{"name":"a","timestamp":"2016-05-01","extras":{"a":[', b"1]}}]")),
    "item of a text of 60 MB": ("events", lambda: _repeated(
        b"x", 60 * _MB, b'[{"timestamp":"2016-05-01","name":"', b'"}]')),
    "item of a text of 100 MB": ("events", lambda: _repeated(
        b"x", 100 * _MB, b'[{"timestamp":"2016-05-01","name":"', b'"}]')),
    "group of 100 MB": ("events", lambda: _repeated(
        _ITEM % b"1" + b",", 1_400_000, b'[{"deviceId":"d","events":[', _ITEM % b"2" + b"]}]")),
    "2,000 items of a group with a key of 400 kB": ("events", lambda: _array(
        b'{"deviceId":"%b","events":[%b]}' % (b"d" * 400_000, b",".join([_SMALL] * 2_000)), 3)),
    "element without an end": (
        "events", lambda: _repeated(b"x", 300 * _MB, b'[{"name":"')),
    "item of 10 million levels": (
        "events", lambda: _repeated(b'{"a":', 10_000_000, b"[", b"]")),
    "300,000 lines of a lone brace": ("events", lambda: _repeated(b"{\n", 300_000)),
    "300,000 lines with an open quote": (
        "events", lambda: _repeated(b'{"name":"a\n', 300_000)),
    "300,000 names of fields": ("events", _names),
    "60,000 flat crashes of 20 kB": ("crashes", _crashes),
    "CSV of 70 rows of 4 MB": ("crashes", _rows),
    "CSV with an open quote": ("crashes", lambda: _repeated(
        b"d,2016-05-01,c,x\n", 1_000_000, _CSV + b'd,2016-05-01,c,"x\n')),
    "CSV row without an end": (
        "crashes", lambda: _repeated(b"x", 100 * _MB, _CSV + b'd,2016-05-01,c,"')),
}  # fmt: skip

_GZIP = b"200 OK\r\nContent-Encoding: gzip"
_HTML = b"502 Bad Gateway\r\nContent-Type: text/html"
_XML = b'<?xml version="1.0"?><EnumerationResults><Blobs>'
Answer = tuple[bytes, "Callable[[], Iterable[bytes]]", float]
ANSWERS: dict[str, Answer] = {
    "answer of 1 GB": (b"200 OK", lambda: repeat(b" " * _MB, 1024), 0),
    "answer that unpacks to 1 GB": (_GZIP, lambda: _gzipped(repeat(b" " * _MB, 1024)), 0),
    "answer of 1 MB of `{}`": (
        b"200 OK", lambda: _repeated(b"{},", _MB // 3, b'{"value":['), 0),
    "answer of a byte each half second": (b"200 OK", lambda: repeat(b" "), 0.5),
    "error of 1 GB": (b"404 Not Found", lambda: repeat(b"word " * _MB, 200), 0),
    "error of 400,000 `<`": (_HTML, lambda: [b"<" * 400_000], 0),
    "listing of 1 GB": (b"200 OK", lambda: chain([_XML], repeat(b" " * _MB, 1024)), 0),
}  # fmt: skip


if __name__ == "__main__":
    main()
