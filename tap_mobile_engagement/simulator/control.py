"""The simulator's own endpoints, below ``/_simulator``: clock, truth, tasks, exports, faults.

They are no part of the service. Tests that run in another process, or in another language,
steer and ask the simulator through them.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec
from flask import Blueprint, Response, jsonify, request

from tap_mobile_engagement.datatypes import BY_NAME, EXPORT_FORMATS
from tap_mobile_engagement.simulator.containers import WriteError, check_container_url
from tap_mobile_engagement.simulator.faulty_requests import OWN_PATHS
from tap_mobile_engagement.simulator.tasks import rfc3339

if TYPE_CHECKING:
    from tap_mobile_engagement.simulator.server import Simulator


def make_control(simulator: Simulator) -> Blueprint:
    """Build the endpoints that steer a simulator."""
    views = _Control(simulator)
    control = Blueprint("control", __name__, url_prefix=OWN_PATHS)
    control.get("/clock")(views.clock)
    control.post("/clock")(views.advance)
    control.get("/truth/<app>/<data_type>")(views.truth)
    control.get("/options")(views.options)
    control.get("/tasks")(views.tasks)
    control.post("/exports")(views.export)
    control.get("/faults")(views.faults)
    control.post("/faults")(views.plan_faults)
    control.delete("/faults")(views.clear_faults)
    return control


class _Control:
    """The views."""

    def __init__(self, simulator: Simulator) -> None:
        self._simulator = simulator

    def clock(self) -> Response:
        return jsonify(now=rfc3339(self._simulator.clock.now()))

    def advance(self) -> tuple[Response, int]:
        body = request.get_json()
        steps = {"advance_days": "days", "advance_seconds": "seconds"}
        if not isinstance(body, dict) or not body.keys() <= steps.keys():
            return _refused(f"the body may hold {', '.join(steps)}")
        try:
            now = self._simulator.clock.advance(**{steps[name]: body[name] for name in body})
        except (TypeError, ValueError, OverflowError) as error:
            return _refused(str(error))
        return jsonify(now=rfc3339(now)), 200

    def truth(self, app: str, data_type: str) -> tuple[Response, int]:
        if not self._knows(app, data_type):
            return _refused(f"no app {app}, or no data type {data_type}", 404)
        try:
            start, end = (_day(request.args.get(name)) for name in ("start", "end"))
        except ValueError as error:
            return _refused(str(error))
        records = self._simulator.truth(app, data_type, start, end)
        if request.args.get("counts") == "true":
            return jsonify(count=len(records)), 200
        return Response(msgspec.json.encode(records), mimetype="application/json"), 200

    def options(self) -> Response:
        options = self._simulator.options
        shown: dict[str, Any] = asdict(options)
        shown["first_day"] = options.first_day.isoformat()
        shown["start"] = rfc3339(options.clock_start)
        return jsonify(shown)

    def tasks(self) -> Response:
        timer = self._simulator.clock.elapsed()
        return jsonify(
            [
                {"app": task.app, **task.answer(timer), "blobs": task.blobs}
                for task in self._simulator.tasks
            ]
        )

    def export(self) -> tuple[Response, int]:
        body = request.get_json()
        try:
            app, data_type, url = body["app"], body["data_type"], body["container_url"]
            if not self._knows(app, data_type):
                return _refused(f"no app {app}, or no data type {data_type}", 404)
            check_container_url(url)
            export_format = body.get("export_format", "JsonBlob")
            if export_format not in EXPORT_FORMATS:
                return _refused(f"export_format is none of {', '.join(EXPORT_FORMATS)}")
            names = self._simulator.write_export(
                app,
                data_type,
                url,
                _day(body.get("start")),
                _day(body.get("end")),
                export_format=export_format,
            )
        except (KeyError, TypeError, ValueError, WriteError) as error:
            return _refused(f"{type(error).__name__}: {error}")
        return jsonify(blobs=names), 200

    def faults(self) -> Response:
        return jsonify(self._simulator.faults.report())

    def plan_faults(self) -> tuple[Response, int]:
        try:
            self._simulator.faults.plan(request.get_json())
        except (TypeError, msgspec.ValidationError) as error:
            return _refused(str(error))
        return self.faults(), 200

    def clear_faults(self) -> Response:
        self._simulator.faults.clear()
        return self.faults()

    def _knows(self, app: str, data_type: str) -> bool:
        return app in self._simulator.options.apps and data_type in BY_NAME


def _refused(message: str, status: int = 400) -> tuple[Response, int]:
    return jsonify(error=message), status


def _day(text: str | None) -> date | None:
    return None if text is None else date.fromisoformat(text)
