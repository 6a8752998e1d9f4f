"""docs/settings.md: the tap accepts each example, and settings come from where it says."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

from tests.docs.pages import blocks, commands_on
from tests.support.messages import Messages
from tests.support.packaging import run
from tests.support.settings import parse
from tests.support.simulated import COMMAND, settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.settings import Settings
    from tap_mobile_engagement.simulator import Simulator

PAGE = "docs/settings.md"
EXAMPLES: list[dict[str, Any]] = [json.loads(block.text) for block in blocks("json", page=PAGE)]
WHOLE = [example for example in EXAMPLES if "container_url" in example or len(example) > 5]
PARTS = [example for example in EXAMPLES if example not in WHOLE]


def accepted(config: dict[str, Any]) -> Settings:
    return parse(config, today=date(2016, 6, 1))


def test_each_case_needs_no_more_than_what_is_shown() -> None:
    archive, shared, account = (accepted(example) for example in WHOLE)

    assert (archive.source, archive.archive_pattern) == ("archive", "2017/**")
    assert shared.task_container_url != shared.container_url
    assert account.storage_connection_string
    assert shared.app_names == account.app_names == ("shop-android", "shop-ios")


def run_with(example: dict[str, Any], simulator: Simulator, folder: Path) -> Messages:
    return sync(settings_for(simulator, folder, **example)).checked()


def test_there_is_an_example_of_each_kind() -> None:
    assert [next(iter(example)) for example in PARTS] == [
        "bad_records",
        "stream_maps",
        "flattening_enabled",
    ]


def test_bad_data_may_be_skipped(simulator: Simulator, folder: Path) -> None:
    settings = accepted(settings_for(simulator, folder, **PARTS[0]))

    assert (settings.bad_records, settings.max_bad_records) == ("skip", 100)


def test_a_stream_map_does_what_the_page_says(simulator: Simulator, folder: Path) -> None:
    plain = simulator.truth("shop", "events")

    records = run_with(PARTS[1], simulator, folder).records("events")

    assert {record["name"] for record in records} == {"like", "search"}
    assert {record["name"] for record in plain} > {"like", "search"}
    assert not [record for record in records if "extras" in record]
    hashed = {record["device_id"] for record in records}
    assert all(len(each) == 32 for each in hashed)
    assert not hashed & {record["device_id"] for record in plain}


def test_flattening_writes_objects_as_text(simulator: Simulator, folder: Path) -> None:
    messages = run_with(PARTS[2], simulator, folder)

    for stream, field in (("events", "extras"), ("tags", "tags")):
        values = [record[field] for record in messages.records(stream) if record[field]]
        assert values
        assert all(isinstance(json.loads(value), dict) for value in values)


def test_a_later_file_and_the_environment_count_more(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "tags.csv").write_text("deviceId;tags\n4fd34e1c;{}\n")
    first = {"source": "archive", "container_url": tmp_path.as_uri(), "archive_pattern": "a/*"}
    (tmp_path / "first.json").write_text(json.dumps(first | {"app_names": ["first"]}))
    (tmp_path / "second.json").write_text(json.dumps({"app_names": ["second"]}))
    line = [
        str(COMMAND),
        "--config",
        "ENV",
        "--config",
        "first.json",
        "--config",
        "second.json",
    ]
    env = {"PATH": "/usr/bin:/bin", "TAP_MOBILE_ENGAGEMENT_ARCHIVE_PATTERN": "b/*"}

    messages = Messages.parse(run(*line, cwd=tmp_path, env=env).encode())

    (tags,) = messages.records("tags")
    assert (tags["app_name"], tags["blob_name"]) == ("second", "b/tags.csv")


def test_the_refusal_is_as_the_page_shows_it(tmp_path: Path) -> None:
    shown = commands_on(PAGE)
    script = "\n".join(command.text for command in shown)
    env = {"PATH": f"{COMMAND.parent}:/usr/bin:/bin", "LC_ALL": "C.UTF-8"}

    printed = run("bash", "-c", script, cwd=tmp_path, env=env)

    assert printed.strip() == shown[-1].output.strip()
