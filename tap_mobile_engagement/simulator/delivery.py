"""How the blobs of an export get into their container: at once and whole, or with faults."""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import chain, islice
from typing import IO, TYPE_CHECKING

import msgspec

from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.simulator.chance import chance
from tap_mobile_engagement.simulator.containers import Target, target_for
from tap_mobile_engagement.simulator.data import day_of
from tap_mobile_engagement.simulator.exports import Content, ExportRequest, content_of
from tap_mobile_engagement.simulator.faults import (
    BadElement,
    BlobFault,
    BlobGrows,
    BlobLate,
    BlobReplaced,
    BlobTrailing,
    BlobTruncated,
    Faults,
)
from tap_mobile_engagement.simulator.files import extension, render

if TYPE_CHECKING:
    from tap_mobile_engagement.simulator.apps import App
    from tap_mobile_engagement.simulator.options import Options


@dataclass(frozen=True)
class LateWrite:
    """A blob to be written some time after its task succeeded.

    Attributes:
        seconds: How long after.
        target: The container.
        name: The blob.
        content: All of it.
    """

    seconds: float
    target: Target
    name: str
    content: bytes

    def write(self) -> None:
        """Write it.

        Raises:
            WriteError: If that is not possible.
        """
        self.target.write(self.name, io.BytesIO(self.content))


@dataclass(frozen=True)
class Delivery:
    """What became of an export.

    Attributes:
        blobs: Names of all its blobs, those that are yet to come included.
        late: What is yet to be written, the soonest first.
    """

    blobs: list[str]
    late: list[LateWrite]


class Deliverer:
    """Writes exports into containers.

    Args:
        options: The switches for files and blob names.
        faults: The plan of faults.
    """

    def __init__(self, options: Options, faults: Faults) -> None:
        self._options = options
        self._faults = faults

    def deliver(self, app: App, request: ExportRequest, moment: int, task_id: str) -> Delivery:
        """Write the files of an export that runs at ``moment`` (nanoseconds since 1970).

        Raises:
            WriteError: If a blob could not be written.
        """
        options = self._options
        target = target_for(request.container_url)
        content = self._with_bad_element(
            app, request, content_of(options, app, request, moment)
        )
        random = chance(options.seed, task_id)
        delivery = Delivery([], [])
        files = render(options, request.data_type, request.export_format, content)
        for number, file in enumerate(files):
            name = options.blob_pattern.format(
                app=app.name,
                type=BY_NAME[request.data_type].export_type or "Device",
                data_type=request.data_type,
                task_id=task_id,
                task_hex=task_id.replace("-", ""),
                n=number,
                start=request.start or "all",
                end=request.end or "all",
                date=day_of(moment),
                random=f"{random.getrandbits(64):016x}",
                ext=extension(options, request.export_format),
            )
            fault = self._faults.strike(
                BlobFault, app=app.name, data_type=request.data_type, blob=name
            )
            delivery.late.extend(_write(target, name, file.body, fault))
            delivery.blobs.append(name)
        delivery.late.sort(key=lambda write: write.seconds)
        return delivery

    def _with_bad_element(self, app: App, request: ExportRequest, content: Content) -> Content:
        fault = self._faults.strike(BadElement, app=app.name, data_type=request.data_type)
        if fault is None:
            return content
        bad = msgspec.Raw(fault.raw.encode())
        before = islice(content.elements, fault.at)
        return Content(content.columns, chain(before, [bad], content.elements))


def _write(
    target: Target, name: str, body: IO[bytes], fault: BlobFault | None
) -> list[LateWrite]:
    """Write a blob as the fault has it; what is left to be written later."""
    match fault:
        case BlobLate(seconds=seconds):
            return [LateWrite(seconds, target, name, body.read())]
        case BlobGrows(at=at, seconds=seconds):
            whole = body.read()
            target.write(name, io.BytesIO(whole[:at]))
            return [LateWrite(seconds, target, name, whole)]
        case BlobTruncated(at=at):
            target.write(name, io.BytesIO(body.read()[:at]))
        case BlobTrailing(text=text):
            target.write(name, io.BytesIO(body.read() + text.encode()))
        case BlobReplaced(seconds=seconds, text=text):
            first = body.read()
            target.write(name, io.BytesIO(first))
            again = first if text is None else text.encode()
            return [LateWrite(seconds, target, name, again)]
        case _:
            target.write(name, body)
    return []
