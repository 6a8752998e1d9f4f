"""docs/sql.md: every query, in PostgreSQL and in DuckDB, held against the simulator's truth."""

from __future__ import annotations

import json
import re
import subprocess
from collections import Counter, defaultdict
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from itertools import groupby, pairwise
from statistics import mean, quantiles
from typing import TYPE_CHECKING, Any

import psycopg
import pytest

from scripts.demo import warehouse
from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.simulator import Options, Simulator
from tests.docs.pages import ROOT
from tests.support.packaging import run
from tests.support.simulated import COMMAND
from tests.support.tools import installed

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tests.support.postgres import Database, Postgres

    World = tuple["Truth", dict[str, list["Rows"]], Database]

pytestmark = [pytest.mark.postgres, pytest.mark.targets]

PAGE = (ROOT / "docs" / "sql.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^## (.+)\n", re.MULTILINE)
QUERY = re.compile(r"^```sql\n(.*?)^```\n(?:\n((?:\|[^\n]*\n)+))?", re.MULTILINE | re.DOTALL)
ENGINES = ("PostgreSQL", "DuckDB")
OPTIONS = Options(
    devices=40, sessions_per_device=0.6, start=datetime(2016, 5, 29, tzinfo=UTC), frozen=True
)
Rows = list[list[str]]
Answer = Sequence[Sequence[Any]]
Truth = dict[str, list[dict[str, Any]]]


def queries(engine: str) -> Iterator[tuple[str, str, str]]:
    """The heading, the text and the table of each query for an engine, in the page's order."""
    _, *parts = SECTION.split(PAGE)
    for heading, text in zip(parts[::2], parts[1::2], strict=True):
        for query, table in QUERY.findall(text):
            if query.startswith(f"-- {engine}") or not query.startswith("-- "):
                yield heading, query, table


def shown(table: str) -> Rows:
    """The rows of a table in Markdown."""
    _, _, *lines = table.splitlines()
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def texts(rows: Iterable[Sequence[Any]]) -> Rows:
    return [["" if value is None else str(value) for value in row] for row in rows]


def truth_of(simulator: Simulator) -> Truth:
    """What the simulator knows of each stream; times as date-times without a zone."""

    def timed(record: dict[str, Any]) -> dict[str, Any]:
        times = {
            name: datetime.fromisoformat(record[name]).replace(tzinfo=None)
            for name in ("timestamp", "started_at", "ended_at")
            if record.get(name)
        }
        return record | times

    return {
        data_type.name: [timed(record) for record in simulator.truth("shop", data_type.name)]
        for data_type in DATA_TYPES
    }


@pytest.fixture(scope="module")
def world(postgres: Postgres, tmp_path_factory: pytest.TempPathFactory) -> World:
    """The truth, what each engine answers to its queries, and the PostgreSQL."""
    folder = tmp_path_factory.mktemp("sql")
    exports = folder / "exports"
    exports.mkdir()
    with Simulator(OPTIONS) as simulator:
        for data_type in DATA_TYPES * 2:  # each item is exported twice
            simulator.write_export("shop", data_type.name, exports.as_uri())
        truth = truth_of(simulator)
    # Into Parquet files and DuckDB,
    to_parquet = COMMAND.with_name("tap-mobile-engagement-to-parquet")
    run(to_parquet, exports, folder / "parquet", "--app-name", "shop")
    done = subprocess.run(
        [installed("library/bin/python"), ROOT / "tests" / "warehouse" / "duckdb_queries.py"],
        input=json.dumps([query for _, query, _ in queries("DuckDB")]),
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
    )
    assert done.returncode == 0, done.stderr
    # and into PostgreSQL.
    database = postgres.new_database()
    tap = {"source": "archive", "container_url": str(exports), "app_names": ["shop"]}
    target = {
        "sqlalchemy_url": database.sqlalchemy_url,
        "default_target_schema": warehouse.SCHEMA,
        "use_copy": True,
        "validate_records": False,
    }
    (folder / "tap.json").write_text(json.dumps(tap))
    (folder / "target.json").write_text(json.dumps(target))
    loader = installed("meltano-plugins/loaders/target-postgres/venv/bin/target-postgres")
    line = f"{COMMAND} --config tap.json | {loader} --config target.json"
    run("bash", "-o", "pipefail", "-c", line, cwd=folder)
    with psycopg.connect(database.url, autocommit=True) as connection:
        answered = []
        for _, query, _ in queries("PostgreSQL"):
            cursor = connection.execute(query.encode())
            answered.append(texts(cursor.fetchall() if cursor.description else []))
    duckdb = [texts(rows) for rows in json.loads(done.stdout)]
    return truth, {"PostgreSQL": answered, "DuckDB": duckdb}, database


# The truth of each question, in the words of Python.


def week(moment: datetime) -> date:
    return moment.date() - timedelta(days=moment.weekday())


def tenths(value: float | Decimal) -> Decimal:
    exact = Decimal(f"{value:.15g}")  # what a database makes of a binary float
    return exact.quantize(Decimal("0.1"), ROUND_HALF_UP)


def most(rows: Iterable[Sequence[Any]], column: int, count: int = 5) -> Answer:
    """The first rows by a column, the greatest first, then by the others; null comes last."""

    def order(row: Sequence[Any]) -> tuple[Any, ...]:
        others = [(value is None, value) for value in row]
        return (-row[column], others)

    return sorted(rows, key=order)[:count]


def weeks_of_devices(truth: Truth) -> dict[str, set[date]]:
    found: dict[str, set[date]] = defaultdict(set)
    for session in truth["sessions"]:
        found[session["device_id"]].add(week(session["started_at"]))
    return found


def daily_users(truth: Truth) -> Answer:
    days = defaultdict(list)
    for session in truth["sessions"]:
        days[session["started_at"].date()].append(session["device_id"])
    return [(day, len({*days[day]}), len(days[day])) for day in sorted(days)][:5]


def new_and_returning(truth: Truth) -> Answer:
    weeks = weeks_of_devices(truth)
    new = Counter(min(each) for each in weeks.values())
    return [
        (each, new[each], sum(each in own for own in weeks.values()) - new[each])
        for each in sorted({*new}.union(*weeks.values()))
    ]


def length_of_a_session(truth: Truth) -> Answer:
    found = []
    for each, group in groupby(
        sorted(truth["sessions"], key=lambda session: session["started_at"]),
        key=lambda session: week(session["started_at"]),
    ):
        sessions = [*group]
        ended = [session for session in sessions if session["ended_at"]]
        minutes = [(s["ended_at"] - s["started_at"]) / timedelta(minutes=1) for s in ended]
        tens = quantiles(minutes, n=10, method="inclusive")
        row = (each, len(ended), len(sessions) - len(ended), tenths(tens[4]), tenths(tens[8]))
        found.append(row)
    return found


def funnel(truth: Truth) -> Answer:
    reached = {session["session_id"]: datetime.min for session in truth["sessions"]}  # noqa: DTZ901
    counts = [len(reached)]
    for name in ("search", "add_to_basket", "share"):
        times = defaultdict(list)
        for event in truth["events"]:
            if event["name"] == name:
                times[event["session_id"]].append(event["timestamp"])
        reached = {
            session: min(later)
            for session, before in reached.items()
            if (later := [time for time in times[session] if time > before])
        }
        counts.append(len(reached))
    return [counts]


def retention(truth: Truth) -> Answer:
    cohorts = defaultdict(list)
    for weeks in weeks_of_devices(truth).values():
        cohorts[min(weeks)].append(weeks)
    return [
        (first, *(sum(first + timedelta(weeks=n) in own for own in devices) for n in range(4)))
        for first, devices in sorted(cohorts.items())
    ]


def crashes_by_version(truth: Truth) -> Answer:
    sessions = Counter(session["device_id"] for session in truth["sessions"])
    crashes = Counter(crash["device_id"] for crash in truth["crashes"])
    versions = defaultdict(list)
    for device in truth["devices"]:
        if sessions[device["device_id"]]:
            versions[device["application_version_name"]].append(device["device_id"])
    found = []
    for version, devices in sorted(versions.items()):
        used = sum(sessions[device] for device in devices)
        crashed = sum(crashes[device] for device in devices)
        share = tenths(Decimal(100 * crashed) / used)
        found.append((version, len(devices), used, crashed, share))
    return found


def what_crashes_most(truth: Truth) -> Answer:
    kinds = defaultdict(list)
    for crash in truth["crashes"]:
        kinds[crash["type"]].append(crash)
    rows = []
    for kind, crashes in kinds.items():
        days = [crash["timestamp"].date() for crash in crashes]
        devices = {crash["device_id"] for crash in crashes}
        rows.append((kind, len(crashes), len(devices), min(days), max(days)))
    return most(rows, 1)


def campaign_results(truth: Truth) -> Answer:
    flags = ("Queued", "Dropped", "ContentDisplayed", "ContentActioned")
    campaigns: dict[tuple[str, int], Counter[str]] = defaultdict(Counter)
    for feedback in truth["push_feedback"]:
        campaigns[feedback["campaign_type"], feedback["campaign_id"]].update(feedback["status"])
    rows = [(*key, *(found[flag] for flag in flags)) for key, found in campaigns.items()]
    return most(rows, 5)


def extras_as_columns(truth: Truth) -> Answer:
    prices = defaultdict(list)
    currencies = defaultdict(set)
    for event in truth["events"]:
        extras = event["extras"] or {}
        if extras.get("price") is not None:
            prices[event["name"]].append(Decimal(str(extras["price"])))
            currencies[event["name"]].add(extras["currency"])
    cent = Decimal("0.01")
    rows = [
        (name, len(each), *(edge(each).quantize(cent) for edge in (min, max)))
        for name, each in prices.items()
    ]
    return most([(*row, min(currencies[row[0]])) for row in rows], 1)


def keys_of_extras(truth: Truth) -> Answer:
    keys = Counter(key for event in truth["events"] for key in event["extras"] or ())
    return most(keys.items(), 1)


def screens(truth: Truth) -> Answer:
    device_of = {session["session_id"]: session["device_id"] for session in truth["sessions"]}
    visits = defaultdict(list)
    for activity in truth["activities"]:
        if activity["session_id"] in device_of:
            visits[activity["name"]].append(device_of[activity["session_id"]])
    return most([(name, len(each), len({*each})) for name, each in visits.items()], 1)


def from_screen_to_screen(truth: Truth) -> Answer:
    paths = defaultdict(list)
    for activity in sorted(truth["activities"], key=lambda each: each["timestamp"]):
        paths[activity["session_id"]].append(activity["name"])
    steps = Counter(step for path in paths.values() for step in pairwise(path))
    return most([(*step, count) for step, count in steps.items()], 2)


def use_by_tag(truth: Truth) -> Answer:
    levels = {each["device_id"]: each["tags"].get("level", "none") for each in truth["tags"]}
    devices = defaultdict(list)
    for session in truth["sessions"]:
        device = session["device_id"]
        devices[levels.get(device, "none")].append(device)
    return [
        (level, len({*each}), tenths(Decimal(len(each)) / len({*each})))
        for level, each in sorted(devices.items())
    ]


def how_long_jobs_take(truth: Truth) -> Answer:
    jobs = defaultdict(list)
    for job in truth["jobs"]:
        jobs[job["name"]].append(job)
    rows = []
    for name, each in sorted(jobs.items()):
        ended = [job for job in each if job["ended_at"]]
        seconds = mean((job["ended_at"] - job["started_at"]).total_seconds() for job in ended)
        rows.append((name, len(ended), len(each) - len(ended), tenths(seconds)))
    return rows


def reachable_devices(truth: Truth) -> Answer:
    with_token = {token["device_id"] for token in truth["tokens"]}
    countries = defaultdict(list)
    for device in truth["devices"]:
        reachable = device["device_id"] in with_token and device["native_push_enabled"]
        countries[device["country_code"]].append(bool(reachable))
    return most([(name, len(each), sum(each)) for name, each in countries.items()], 1)


QUESTIONS = (
    daily_users,
    new_and_returning,
    length_of_a_session,
    funnel,
    retention,
    crashes_by_version,
    what_crashes_most,
    campaign_results,
    extras_as_columns,
    keys_of_extras,
    screens,
    from_screen_to_screen,
    use_by_tag,
    how_long_jobs_take,
    reachable_devices,
)


@pytest.mark.parametrize("engine", ENGINES)
def test_every_answer_is_the_truth(world: World, engine: str) -> None:
    truth, answered, _ = world

    setup, *answers = answered[engine]
    found = dict(zip((each.__name__ for each in QUESTIONS), answers, strict=True))
    assert setup == []
    assert found == {each.__name__: texts(each(truth)) for each in QUESTIONS}
    assert all(answers)


@pytest.mark.parametrize("engine", ENGINES)
def test_the_page_shows_what_the_engines_answer(world: World, engine: str) -> None:
    _, answered, _ = world

    for (heading, _, table), rows in zip(queries(engine), answered[engine], strict=True):
        if table:
            assert shown(table) == rows, heading


def test_the_traps_are_as_the_page_says(world: World) -> None:
    truth, _, database = world

    def count(table: str, condition: str) -> int:
        sql = f"SELECT count(*) FROM {warehouse.SCHEMA}.{table} WHERE {condition}"  # noqa: S608
        ((found,),) = database.query(sql)
        return int(found)

    without_extras = sum(event["extras"] is None for event in truth["events"])
    assert without_extras > 0
    assert count("events", "extras IS NULL") == 0
    assert count("events", "NULLIF(extras, 'null') IS NULL") == without_extras
    assert count("sessions", "ended_at IS NULL") > 0
    columns = database.query(
        "SELECT table_name, column_name, data_type FROM information_schema.columns "
        "WHERE table_schema = %s",
        warehouse.SCHEMA,
    )
    assert ("events", "timestamp", "timestamp without time zone") in columns
    assert not [
        name for table, name, _ in columns if (table, name) == ("activities", "device_id")
    ]
