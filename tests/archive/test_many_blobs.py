"""A container of many small blobs: how often it is asked for anything.

1,000 blobs by default, ARCHIVE_BLOBS=10000 for the full size; ``pytest -rP`` shows the times.
"""

from __future__ import annotations

import logging
import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from tap_mobile_engagement.containers import FolderContainer, open_container
from tap_mobile_engagement.datatypes import BY_NAME
from tests.archive.forms import array
from tests.archive.support import CountingContainer, Run

if TYPE_CHECKING:
    from pathlib import Path

    from tests.archive.test_forms import ElementsOf
    from tests.support.azurite import Azurite

BLOBS = int(os.environ.get("ARCHIVE_BLOBS", "1000"))
_PAGE = 5000  # blobs in a page of a listing


def files_of(elements_of: ElementsOf) -> dict[str, bytes]:
    """Small files of all types in turn, by name."""
    small = {name: array(elements_of(name)[:2]) for name in BY_NAME}
    types = [*BY_NAME]
    return {f"{n % 100:02}/file-{n:05}": small[types[n % len(types)]] for n in range(BLOBS)}


def test_in_a_folder_each_is_opened_once(tmp_path: Path, elements_of: ElementsOf) -> None:
    # Given a folder of small files
    for name, data in files_of(elements_of).items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(data)
    counting = CountingContainer(FolderContainer(tmp_path))
    state: dict[str, dict[str, Any]] = {}
    # When all streams read it
    started = time.monotonic()
    run = Run(counting, state)
    read = {name: len(run.read(name)) for name in BY_NAME}
    print(f"{BLOBS} files: {time.monotonic() - started:.1f} s")  # noqa: T201  (see above)
    # Then it was listed once, and each file opened once
    assert sum(read.values()) == BLOBS
    assert (counting.listings, len(counting.opened)) == (1, BLOBS)
    # And a second run opens those of the snapshots alone
    historical = [name for name, known in BY_NAME.items() if known.historical]
    second = Run(counting, state)
    assert [second.read(name) for name in historical] == [[]] * len(historical)
    assert len(counting.opened) == BLOBS


@pytest.mark.azurite
def test_in_azure_each_takes_one_request(
    azurite: Azurite,
    elements_of: ElementsOf,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # Given a container of small blobs, and a SAS that allows to read and list
    name = azurite.new_container()
    client = azurite.client(name)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda item: client.upload_blob(*item), files_of(elements_of).items()))
    caplog.set_level(logging.DEBUG, "urllib3.connectionpool")
    # When all streams read it
    times = [time.monotonic()]
    run = Run(open_container(azurite.sas_url(name, "rl")), {}, workers=8)
    read = {}
    for data_type in BY_NAME:
        read[data_type] = len(run.read(data_type))
        times.append(time.monotonic())
    first, whole = times[1] - times[0], times[-1] - times[0]
    print(f"{BLOBS} blobs: {first:.1f} s for the first stream, {whole:.1f} s for all")  # noqa: T201  (see above)
    # Then that took the pages of one listing and one request per blob
    requests = [r.getMessage() for r in caplog.records if '"GET /' in r.getMessage()]
    assert sum(read.values()) == BLOBS
    assert len(requests) == BLOBS + -(-BLOBS // _PAGE)
