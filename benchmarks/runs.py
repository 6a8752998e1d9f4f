"""Runs of commands, measured from outside: seconds, CPU, memory, and what came out.

A run's output is read through a pipe by this process, so it may need the second core. It is
counted, not kept. The command is started by a small process of its own (this file as a script):
the peak memory that the system tells of a command begins with that of whoever started it.
"""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

_READ_SIZE = 1024 * 1024  # bytes
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024  # bytes; getrusage(2)


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a command.

    Attributes:
        seconds: From its start to its end, on the clock.
        cpu: Seconds of CPU time, user and system, with its children.
        peak: The most memory that it held, in bytes.
        lines: Lines that it wrote to standard output.
        size: Bytes that it wrote there.
        last: The last line, for what says at its end what it did.
    """

    seconds: float
    cpu: float
    peak: int
    lines: int
    size: int
    last: bytes


def run(command: Sequence[str | Path]) -> Run:
    """Run a command to its end.

    Raises:
        RuntimeError: If it failed, with the end of its standard error.
    """
    with tempfile.TemporaryFile() as errors, tempfile.TemporaryFile() as figures:
        starter = [sys.executable, "-I", "-S", __file__, str(figures.fileno())]
        process = subprocess.Popen(
            [*starter, *command],
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=[figures.fileno()],
        )
        assert process.stdout is not None  # noqa: S101  (it was asked for)
        with process.stdout as out:
            lines, size, last = _count(out)
        if process.wait():
            errors.seek(0)
            said = errors.read()[-2000:].decode(errors="replace")
            raise RuntimeError(f"{command[0]} ended with {process.returncode}: {said}")
        figures.seek(0)
        seconds, cpu, peak = map(float, figures.read().split())
    return Run(seconds, cpu, int(peak), lines, size, last)


def _start(figures: int, command: Sequence[str]) -> int:
    """Run a command, write its figures to a file descriptor, and return its exit code."""
    began = time.perf_counter()
    process = subprocess.Popen(command)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - began
    cpu = usage.ru_utime + usage.ru_stime
    os.write(figures, f"{seconds} {cpu} {usage.ru_maxrss * _RSS_UNIT}".encode())
    return os.waitstatus_to_exitcode(status)


def interleaved(
    contenders: Mapping[str, Callable[[], Run]], rounds: int
) -> dict[str, list[Run]]:
    """Run all contenders in turn, round after round: what slows one slows its neighbours."""
    runs: dict[str, list[Run]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name, contender in contenders.items():
            runs[name].append(contender())
            done = runs[name][-1]
            print(f"round {number + 1}: {name}: {done.seconds:.2f} s", file=sys.stderr)
    return runs


def median(runs: Sequence[Run]) -> Run:
    """The run of median duration."""
    return sorted(runs, key=lambda each: each.seconds)[len(runs) // 2]


def median_ratio(runs: Sequence[float], others: Sequence[float]) -> float:
    """The median over the rounds of how many times the others took."""
    return statistics.median(b / a for a, b in zip(runs, others, strict=True))


def machine() -> str:
    """The machine in a few words, for the text beside a table."""
    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [x for x in info.read_text().splitlines() if x.startswith("model name")]
        model = names[0].partition(":")[2].strip() if names else model
    return f"{model}, {os.cpu_count()} cores; Python {platform.python_version()}"


def _count(out: IO[bytes]) -> tuple[int, int, bytes]:
    lines = size = 0
    end = b""
    while chunk := out.read(_READ_SIZE):
        lines += chunk.count(b"\n")
        size += len(chunk)
        end = (end + chunk)[-4096:]
    return lines, size, end.rstrip(b"\n").rpartition(b"\n")[2]


if __name__ == "__main__":
    sys.exit(_start(int(sys.argv[1]), sys.argv[2:]))
