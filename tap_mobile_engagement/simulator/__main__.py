"""The command ``mobile-engagement-simulator``: a simulator that runs until interrupted."""

from __future__ import annotations

import json
import logging
import signal
import threading
from datetime import UTC, date, datetime
from typing import IO, Any, Literal, get_args, get_origin

import click

from tap_mobile_engagement.simulator.options import Options, Seconds, described
from tap_mobile_engagement.simulator.server import Simulator


class _SecondsType(click.ParamType[Seconds]):
    """A number of seconds, or the least and the largest with a comma between."""

    name = "SECONDS"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> Seconds:
        if isinstance(value, (float, tuple)):
            return value
        try:
            numbers = [float(part) for part in value.split(",")]
            low, high = numbers if len(numbers) > 1 else numbers * 2
        except ValueError:
            self.fail(f"{value!r} is neither a number nor two with a comma between", param, ctx)
        return low if low == high else (low, high)


class _MomentType(click.ParamType[datetime]):
    """A date or a date-time; without a zone it is UTC."""

    name = "DATE-TIME"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> datetime:
        if isinstance(value, datetime):
            return value
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no ISO 8601 date-time", param, ctx)
        return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


class _DayType(click.ParamType[date]):
    """A full date."""

    name = "DATE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> date:
        if isinstance(value, date):
            return value
        try:
            return date.fromisoformat(value)
        except ValueError:
            self.fail(f"{value!r} is no date of the form 2016-05-01", param, ctx)


def _click_option(name: str, hint: Any, default: Any, words: str) -> click.Option:
    """One command line option, derived from a field of :class:`Options`."""
    flag = "--" + name.replace("_", "-")
    if hint is bool:
        return click.Option([f"{flag}/--no-{flag[2:]}"], default=default, help=words)
    if get_origin(hint) is Literal:
        choice = click.Choice(get_args(hint))
        return click.Option([flag], type=choice, default=default, show_default=True, help=words)
    if get_origin(hint) is tuple:
        return click.Option(
            [name, flag[:-1]], multiple=True, default=default, show_default=True,
            help=f"{words} Repeatable.",
        )  # fmt: skip
    kinds: dict[Any, Any] = {
        Seconds: _SecondsType(),
        date: _DayType(),
        datetime | None: _MomentType(),
    }
    kind = kinds.get(hint, hint)
    return click.Option([flag], type=kind, default=default, show_default=True, help=words)


def _run(
    host: str, port: int, *, verbose: bool, faults: IO[str] | None, **options: Any
) -> None:
    """Run a simulator until it gets SIGINT or SIGTERM."""
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, format="%(message)s")
    # The storage library logs every request at INFO, with its URL.
    logging.getLogger("azure").setLevel(logging.WARNING)
    try:
        plan = [] if faults is None else json.load(faults)
        simulator = Simulator(Options(**options), host=host, port=port, faults=plan)
    except (TypeError, ValueError) as error:  # of the options, of JSON, of the plan
        raise click.UsageError(str(error)) from error
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with simulator:
        click.echo(f"Mobile Engagement simulator at {simulator.url}")
        stop.wait()


main = click.Command(
    "mobile-engagement-simulator",
    callback=_run,
    help="A local Mobile Engagement with synthetic data, to develop and test against.",
    params=[
        click.Option(
            ["--host"], default="127.0.0.1", show_default=True, help="Where to listen."
        ),
        click.Option(
            ["--port"], type=int, default=8377, show_default=True, help="Port; 0: any."
        ),
        click.Option(["--verbose"], is_flag=True, help="Log every request."),
        click.Option(
            ["--faults"], type=click.File(encoding="utf-8"), help="A plan of faults, JSON."
        ),
        *(_click_option(*option) for option in described()),
    ],
    context_settings={"max_content_width": 100},
)


if __name__ == "__main__":
    main()
