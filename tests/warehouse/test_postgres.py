"""target-postgres: every stream, run after run, as RECORD messages and as BATCH files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scripts.demo import warehouse
from scripts.demo.compare import compare
from tap_mobile_engagement.datatypes import DATA_TYPES
from tests.support.batches import batches_in
from tests.support.messages import bookmark
from tests.support.simulated import Command, catalog_of, settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.support.postgres import Database
    from tests.support.simulated import StartSimulator
    from tests.warehouse.targets import Target

pytestmark = [pytest.mark.postgres, pytest.mark.targets]

STREAMS = [data_type.name for data_type in DATA_TYPES]
HISTORICAL = [data_type.name for data_type in DATA_TYPES if data_type.historical]


def assert_true(
    database: Database, simulator: Simulator, *, streams: list[str] | None = None
) -> None:
    """Every row of every stream is what the simulator knows, and no record has no row."""
    for data_type in DATA_TYPES:
        if data_type.name not in (streams or STREAMS):
            continue
        names = [field.name for field in data_type.fields]
        truth = [
            ("shop", *(record[name] for name in names))
            for record in simulator.truth("shop", data_type.name)
        ]
        assert truth
        found = compare(data_type, truth, warehouse.rows(database, data_type))
        assert found.is_equal, found


def device_ids(simulator: Simulator) -> set[str]:
    return {record["device_id"] for record in simulator.truth("shop", "devices")}


@pytest.mark.parametrize("as_batches", [False, True], ids=["records", "batches"])
def test_run_after_run_the_tables_hold_the_truth_of_their_time(
    start_simulator: StartSimulator,
    folder: Path,
    command: Command,
    target_postgres: Target,
    database: Database,
    *,
    as_batches: bool,
) -> None:
    # Given an app whose devices come and go
    simulator = start_simulator(vanishing=0.6, devices=20)
    changes: dict[str, Any] = {"emit_activate_version_messages": True}
    if as_batches:
        changes["batch_config"] = batches_in(folder.with_name("batches"))

    def run(end: str, state: dict[str, Any] | None) -> dict[str, Any]:
        settings = settings_for(simulator, folder, end_date=end, **changes)
        files = {} if state is None else {"state": state}
        tap = command.run(settings=settings, **files)
        assert tap.exit_code == 0, tap.stderr
        assert bool(tap.messages.of_type("BATCH", "events")) is as_batches
        return target_postgres.load(tap.stdout)

    # when it is synced, and again when nine days have gone by,
    state = run("2016-05-15", None)
    assert_true(database, simulator)
    devices = device_ids(simulator)
    simulator.clock.advance(days=9)
    state = run("2016-05-24", state)

    # then old rows are updated, new ones are there, and devices that vanished are gone.
    assert devices - device_ids(simulator), "no device vanished: that would prove nothing"
    assert_true(database, simulator)
    for stream in HISTORICAL:
        assert bookmark(state, stream) == "2016-05-24T00:00:00Z"

    # A third run changes nothing.
    assert run("2016-05-24", state) == state
    assert_true(database, simulator)


def test_without_versions_rows_of_vanished_devices_stay(
    start_simulator: StartSimulator,
    folder: Path,
    command: Command,
    target_postgres: Target,
    database: Database,
) -> None:
    simulator = start_simulator(vanishing=0.6, devices=20)
    catalog = catalog_of(settings_for(simulator, folder), "devices")
    before = device_ids(simulator)
    settings = settings_for(simulator, folder)
    target_postgres.load(command.run(settings=settings, catalog=catalog).stdout)

    simulator.clock.advance(days=9)
    target_postgres.load(command.run(settings=settings, catalog=catalog).stdout)

    rows = database.query(f"SELECT device_id FROM {warehouse.SCHEMA}.devices")  # noqa: S608
    assert before - device_ids(simulator)
    assert {device for (device,) in rows} == before | device_ids(simulator)


def test_rows_of_vanished_devices_are_marked_where_nothing_is_deleted(
    start_simulator: StartSimulator,
    folder: Path,
    command: Command,
    target_postgres: Target,
    database: Database,
) -> None:
    simulator = start_simulator(vanishing=0.6, devices=20)
    settings = settings_for(simulator, folder, emit_activate_version_messages=True)
    catalog = catalog_of(settings, "devices")
    before = device_ids(simulator)
    target_postgres.load(
        command.run(settings=settings, catalog=catalog).stdout, hard_delete=False
    )

    simulator.clock.advance(days=9)
    target_postgres.load(
        command.run(settings=settings, catalog=catalog).stdout, hard_delete=False
    )

    sql = f"SELECT device_id FROM {warehouse.SCHEMA}.devices WHERE _sdc_deleted_at IS NOT NULL"  # noqa: S608
    vanished = before - device_ids(simulator)
    assert vanished
    assert {device for (device,) in database.query(sql)} == vanished


def test_a_field_that_is_added_gets_a_column_with_values(
    simulator: Simulator,
    folder: Path,
    command: Command,
    target_postgres: Target,
    database: Database,
) -> None:
    # Given a run that did not select a field (as one of an older version, that had it not)
    settings = settings_for(simulator, folder, lookback_days=14)
    narrow = catalog_of(settings, "events", "devices")
    for stream in narrow["streams"]:
        for entry in stream["metadata"]:
            if tuple(entry["breadcrumb"])[1:] in {("extras",), ("locale",)}:
                entry["metadata"]["selected"] = False
    state = target_postgres.load(command.run(settings=settings, catalog=narrow).stdout)
    assert not columns(database) & {("events", "extras"), ("devices", "locale")}

    # when the field is selected, and its days are exported again,
    wide = catalog_of(settings, "events", "devices")
    run = command.run(settings=settings, catalog=wide, state=state)
    target_postgres.load(run.stdout)

    # then the rows that were there have it.
    assert columns(database) >= {("events", "extras"), ("devices", "locale")}
    assert_true(database, simulator, streams=["events", "devices"])


def columns(database: Database) -> set[tuple[str, str]]:
    sql = (
        "SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = %s"
    )
    return {(table, column) for table, column in database.query(sql, warehouse.SCHEMA)}


def test_what_the_service_lists_has_tables_where_it_is_selected(
    simulator: Simulator,
    folder: Path,
    command: Command,
    target_postgres: Target,
    database: Database,
) -> None:
    settings = settings_for(simulator, folder)
    catalog = catalog_of(settings, "push_feedback", "campaigns")
    target_postgres.load(command.run(settings=settings, catalog=catalog).stdout)
    catalog = catalog_of(settings, "export_tasks")
    target_postgres.load(command.run(settings=settings, catalog=catalog).stdout)

    sql = f"""
        SELECT count(*), count(campaigns.name) FROM {warehouse.SCHEMA}.push_feedback
        LEFT JOIN {warehouse.SCHEMA}.campaigns USING (app_name, campaign_type, campaign_id)
    """  # noqa: S608
    ((feedback, named),) = database.query(sql)
    assert feedback == named > 0
    sql = f"SELECT task_id, state FROM {warehouse.SCHEMA}.export_tasks"  # noqa: S608
    assert simulator.tasks
    assert {*database.query(sql)} == {(str(task.id), "Succeeded") for task in simulator.tasks}
