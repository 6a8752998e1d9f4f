"""docs/meltano.md, run as it stands: a job over two app collections, states, a full refresh."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from scripts.demo import warehouse
from tests.support.meltano import ROOT, TAP, MeltanoProject, settings
from tests.support.simulated import settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.postgres import Database
    from tests.support.simulated import StartSimulator

pytestmark = [pytest.mark.meltano, pytest.mark.postgres]

TARGET = "target-postgres"
MARK = "<!-- run by tests/warehouse/test_meltano.py -->\n```yaml\n"


def documented() -> dict[str, Any]:
    """The part of a meltano.yml that the page shows."""
    page = (ROOT / "docs" / "meltano.md").read_text(encoding="utf-8")
    shown: dict[str, Any] = yaml.safe_load(page.partition(MARK)[2].partition("```")[0])
    return shown


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
    add_to(meltano_project, documented(), config)
    env = (
        settings(TAP, **common)
        | settings(f"{TAP}--games", api_url=games.url, authority_url=games.url)
        | settings(TARGET, sqlalchemy_url=database.sqlalchemy_url)
        | {"MELTANO_STATE_BACKEND_URI": (tmp_path / "states").as_uri()}
    )

    # when the job runs in its environment,
    meltano_project.run("--environment", "prod", "run", "nightly", env=env).checked()

    # then both collections are there, each with a state of its own, outside of the project.
    assert counts(database) == truth(shop, games)
    states = meltano_project.run("--environment", "prod", "state", "list", env=env).checked()
    assert states.stdout.split() == [
        f"prod:{TAP}--games-to-{TARGET}",
        f"prod:{TAP}-to-{TARGET}",
    ]
    assert any((tmp_path / "states").rglob("state.json"))

    # A full refresh begins at the start date again, under a state of its own if asked to.
    tasks = len(shop.tasks)
    arguments = ("run", "--full-refresh", "--state-id-suffix=trial", TAP, TARGET)
    meltano_project.run("--environment", "prod", *arguments, env=env).checked()

    again = [task.request for task in shop.tasks[tasks:] if task.request.data_type == "events"]
    assert min(str(request.start) for request in again) == "2016-05-01"
    assert counts(database) == truth(shop, games)
    states = meltano_project.run("--environment", "prod", "state", "list", env=env).checked()
    assert f"prod:{TAP}-to-{TARGET}:trial" in states.stdout.split()
