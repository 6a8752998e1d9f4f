"""docs/meltano.md, run as it stands: its YAML below the plugins, and its commands."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from scripts.demo import warehouse
from tap_mobile_engagement.datatypes import DATA_TYPES
from tests.docs.pages import ROOT, blocks, commands_on
from tests.support.meltano import TAP, MeltanoProject, settings
from tests.support.simulated import settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.postgres import Database
    from tests.support.simulated import StartSimulator

pytestmark = [pytest.mark.meltano, pytest.mark.postgres]

TARGET = "target-postgres"
PAGE = "docs/meltano.md"
HOSTED = "https://github.com/tap-mobile-engagement/tap-mobile-engagement/raw/main/"
SHOWN_BATCHES = "file:///data/batches"


def documented(*having: str) -> list[dict[str, Any]]:
    """The YAML on the page that holds one of the words, in order."""
    return [
        yaml.safe_load(block.text)
        for block in blocks("yaml", page=PAGE)
        if any(word in block.text for word in having)
    ]


def add_to(project: MeltanoProject, shown: dict[str, Any], config: dict[str, Any]) -> None:
    """Put it below the plugins of the project's meltano.yml, and configure the tap there."""
    path = project.folder / "meltano.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    (tap,) = content["plugins"]["extractors"]
    tap["config"] = config
    content["plugins"]["extractors"] += shown.pop("plugins")["extractors"]
    content["environments"] += shown.pop("environments")
    path.write_text(yaml.safe_dump(content | shown, sort_keys=False), encoding="utf-8")


def counts(database: Database) -> dict[str, int]:
    """How many events each app has in the warehouse."""
    sql = f"SELECT app_name, count(*) FROM {warehouse.SCHEMA}.events GROUP BY 1"  # noqa: S608
    return dict(database.query(sql))


def tables_of(database: Database) -> set[str]:
    tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = %s"
    return {name for (name,) in database.query(tables, warehouse.SCHEMA)}


def truth(*simulators: Simulator) -> dict[str, int]:
    return {
        app: len(simulator.truth(app, "events"))
        for simulator in simulators
        for app in simulator.options.apps
    }


def test_the_page_runs_as_it_stands(
    start_simulator: StartSimulator,
    folder: Path,
    database: Database,
    meltano_project: MeltanoProject,
    tmp_path: Path,
) -> None:
    # Given a project with the page's YAML below its plugins, and two app collections
    shop = start_simulator()
    games = start_simulator(apps=("chess",), app_collection="games", seed=6)
    common = settings_for(shop, folder)
    config = {name: common.pop(name) for name in ("app_collection", "app_names")}
    (shown,) = documented("schedules")
    add_to(meltano_project, shown, config)
    env = (
        settings(TAP, **common)
        | settings(f"{TAP}--games", api_url=games.url, authority_url=games.url)
        | settings(TARGET, sqlalchemy_url=database.sqlalchemy_url)
        | {"MELTANO_STATE_BACKEND_URI": (tmp_path / "states").as_uri()}
    )

    run = run_as_shown(meltano_project, env)

    # when the configuration is tested, and the job runs in its environment,
    next(run)
    assert simulator_tasks(shop, games) == 0
    next(run)

    # then both collections are there, each with a state of its own, outside of the project.
    assert counts(database) == truth(shop, games)
    next(run)
    assert any((tmp_path / "states").rglob("state.json"))
    next(run)

    # A full refresh begins at the start date again, whatever the state is.
    tasks = len(shop.tasks)
    next(run)

    again = [task.request for task in shop.tasks[tasks:] if task.request.data_type == "events"]
    assert min(str(request.start) for request in again) == "2016-05-01"
    assert counts(database) == truth(shop, games)

    # With a suffix a run has a state of its own.
    assert [*run] == []
    states = meltano_project.run("state", "list", env=env).checked().stdout.split()
    assert f"dev:{TAP}-to-{TARGET}:trial" in states


def test_the_tap_is_added_without_the_hub_and_with_two_streams_off(
    simulator: Simulator, folder: Path, database: Database, meltano_project: MeltanoProject
) -> None:
    # Given a project without the tap, and no way to Meltano's hub
    path = meltano_project.folder / "meltano.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    content["plugins"]["extractors"] = []
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    env = (
        settings(TAP, **settings_for(simulator, folder))
        | settings(TARGET, sqlalchemy_url=database.sqlalchemy_url)
        | {"MELTANO_HUB_API_ROOT": "http://127.0.0.1:9"}
    )
    (shown,) = (each.text for each in commands_on(PAGE) if each.text.startswith("meltano add"))
    before, marker, file = shown.partition(HOSTED)
    assert marker

    # when the page's command adds it from the file, and it runs (it is installed already),
    add = f"{before}{ROOT}/{file} --no-install"
    meltano_project.run(*shlex.split(add)[1:], env=env).checked()
    meltano_project.run("run", "--no-install", TAP, TARGET, env=env).checked()

    # then all streams are there but those that are off.
    assert tables_of(database) == {data_type.name for data_type in DATA_TYPES}
    assert counts(database) == truth(simulator)


def simulator_tasks(*simulators: Simulator) -> int:
    return sum(len(simulator.tasks) for simulator in simulators)


def run_as_shown(project: MeltanoProject, env: dict[str, str]) -> Iterator[None]:
    """Run the page's Meltano commands, one with each step; each must print what is shown."""
    shown = [
        each
        for each in commands_on(PAGE)
        if each.text.startswith("meltano ") and not each.text.startswith("meltano add")
    ]
    for number, command in enumerate(shown):
        done = project.run(*shlex.split(command.text)[1:], env=env).checked()
        if command.output:
            assert done.stdout.split() == command.output.split()
        if number < len(shown) - 1:
            yield


def test_snapshots_that_replace_each_other_and_batch_files(
    simulator: Simulator,
    folder: Path,
    database: Database,
    meltano_project: MeltanoProject,
    tmp_path: Path,
) -> None:
    # Given a project whose plugins get what the page shows of them,
    path = meltano_project.folder / "meltano.yml"
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    versions, batches = documented("emit_activate_version_messages", "batch_config")
    batches_root = batches["plugins"]["extractors"][0]["config"]["batch_config"]["storage"]
    assert batches_root["root"] == SHOWN_BATCHES
    batches_root["root"] = (tmp_path / "batches").as_uri()
    for shown in (versions, batches):
        for kind, plugins in shown["plugins"].items():
            for plugin in plugins:
                (own,) = (
                    each for each in content["plugins"][kind] if each["name"] == plugin["name"]
                )
                own.setdefault("config", {}).update(plugin["config"])
    path.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
    env = settings(TAP, **settings_for(simulator, folder)) | settings(
        TARGET, sqlalchemy_url=database.sqlalchemy_url
    )

    # when it runs,
    meltano_project.run("run", TAP, TARGET, env=env).checked()

    # then every stream is there, what is off at first is not, and files were written.
    assert tables_of(database) == {data_type.name for data_type in DATA_TYPES}
    assert counts(database) == truth(simulator)
    files = [file.name for file in (tmp_path / "batches").iterdir()]
    assert any("events" in name for name in files)
    assert not any("devices" in name for name in files)
    # Snapshots came as records, with the version that retires older rows.
    version = f"SELECT count(*) FROM {warehouse.SCHEMA}.devices WHERE _sdc_table_version > 0"  # noqa: S608
    assert database.query(version) == [(len(simulator.truth("shop", "devices")),)]
