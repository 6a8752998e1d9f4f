"""What an extra brings works: BATCH files in Azure Blob Storage, and made-up values."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.azurite import Azurite
    from tests.support.simulated import Command

TOKENS = [{"deviceId": f"d{number}", "token": "t", "type": "gcm"} for number in range(3)]


@pytest.fixture
def settings(folder: Path) -> dict[str, Any]:
    """Settings for an archive of three tokens."""
    (folder / "tokens.json").write_text(json.dumps(TOKENS))
    return {"source": "archive", "container_url": folder.as_uri()}


def test_batch_files_go_to_azure(
    azurite: Azurite, command: Command, settings: dict[str, Any]
) -> None:
    name = azurite.new_container()
    storage = {
        "root": f"az://{name}/batches",
        "params": {"connection_string": azurite.connection_string},
    }

    run = command.run(settings=settings | {"batch_config": {"storage": storage}})

    assert run.exit_code == 0, run.stderr
    (batch,) = run.messages.of_type("BATCH")
    (url,) = batch["manifest"]
    container = azurite.client(name)
    (blob,) = container.list_blobs()
    assert url == f"az://{name}/{blob.name}"
    lines = gzip.decompress(container.download_blob(blob.name).readall()).splitlines()
    assert [json.loads(line)["device_id"] for line in lines] == ["d0", "d1", "d2"]


def test_a_stream_map_makes_up_values(command: Command, settings: dict[str, Any]) -> None:
    maps = {"tokens": {"token": "fake.uuid4()"}}
    changes = {"stream_maps": maps, "faker_config": {"seed": 1}}

    run = command.run(settings=settings | changes)

    assert run.exit_code == 0, run.stderr
    records = [message["record"] for message in run.messages.of_type("RECORD", "tokens")]
    assert len({record["token"] for record in records} - {"t"}) == len(TOKENS)
