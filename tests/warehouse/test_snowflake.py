"""target-snowflake on fakesnow: tables, types, names, upserts; not the staging itself.

What that proves: the target takes every message of every stream, and the DDL that it makes of
the schemas (names that are reserved words, date-times, objects, arrays, an added column) runs,
and holds the truth. What it does not: PUT, COPY and MERGE from a user stage, for which
``snowflake_on_fakesnow.py`` stands in, and anything that only Snowflake itself would refuse.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from scripts.demo.compare import compare
from tap_mobile_engagement.datatypes import DATA_TYPES
from tests.support.batches import batches_in
from tests.support.simulated import Command, catalog_of, settings_for

if TYPE_CHECKING:
    from pathlib import Path

    from tap_mobile_engagement.simulator import Simulator
    from tests.warehouse.targets import Snowflake

pytestmark = pytest.mark.snowflake

STREAMS = [data_type.name for data_type in DATA_TYPES]
SNAPSHOTS_THAT_SHRINK = {"tokens"}  # a device's token changes, and the old row stays


def assert_true(snowflake: Snowflake, simulator: Simulator) -> None:
    """Every stream's rows are what the simulator knows."""
    tables = snowflake.query(*(f"SELECT * FROM {stream}" for stream in STREAMS))  # noqa: S608
    for data_type, table in zip(DATA_TYPES, tables, strict=True):
        names = [field.name for field in data_type.fields]
        truth = [
            ("shop", *(record[name] for name in names))
            for record in simulator.truth("shop", data_type.name)
        ]
        rows = [("shop", *(row[name.upper()] for name in names)) for row in table]
        assert truth
        found = compare(data_type, truth, rows)
        assert not found.missing, found
        assert not found.unexpected or data_type.name in SNAPSHOTS_THAT_SHRINK, found


def test_all_streams_are_upserted_as_records_and_as_batches_with_a_field_added(
    simulator: Simulator, folder: Path, command: Command, snowflake: Snowflake
) -> None:
    # Given a run that did not select a field
    settings = settings_for(simulator, folder)
    narrow = catalog_of(settings, *STREAMS)
    (events,) = (each for each in narrow["streams"] if each["stream"] == "events")
    for entry in events["metadata"]:
        if tuple(entry["breadcrumb"])[1:] == ("extras",):
            entry["metadata"]["selected"] = False
    first = command.run(settings=settings, catalog=narrow)
    state = snowflake.target.load(first.stdout)
    ((row,),) = snowflake.query("SELECT * FROM EVENTS LIMIT 1")
    assert "EXTRAS" not in row

    # when a few days later it is selected, all days are exported again, now in BATCH files,
    simulator.clock.advance(days=3)
    settings = settings_for(
        simulator,
        folder,
        end_date="2016-05-18",
        lookback_days=14,
        batch_config=batches_in(folder.with_name("batches")),
    )
    second = command.run(settings=settings, state=state)
    assert second.messages.of_type("RECORD") == []
    snowflake.target.load(second.stdout)

    # then each record is one row, with all its fields.
    assert_true(snowflake, simulator)
