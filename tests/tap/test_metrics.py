"""The SDK's metrics of a run: how long it waited for export tasks, and how long it read."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from singer_sdk.metrics import METRICS_LOGGER_NAME, Point

from tests.support.simulated import LeapingTime, catalog_of, settings_for, sync

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from tests.support.simulated import StartSimulator


class Points(logging.Handler):
    """Keeps what is logged as a metric."""

    def __init__(self) -> None:
        super().__init__()
        self.points: list[Point[Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        assert isinstance(record.args, tuple)
        assert isinstance(record.args[0], Point)
        self.points.append(record.args[0])

    def timers(self, job_type: str, stream: str) -> list[float]:
        """Seconds of one job type of a stream of the app "shop"."""
        wanted = {"job_type": job_type, "stream": stream, "context": {"app_name": "shop"}}
        return [
            point.value
            for point in self.points
            if point.metric_type == "timer"
            and wanted.items() <= point.to_dict()["tags"].items()
        ]


def test_waiting_and_reading_are_timed_for_each_export(
    start_simulator: StartSimulator, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given metrics that somebody collects
    points = Points()
    logger = logging.getLogger(METRICS_LOGGER_NAME)
    monkeypatch.setattr(logger, "handlers", [points])
    simulator = start_simulator()
    settings = settings_for(simulator, folder, window_days=7)

    # when two weeks of events are exported, and the devices are listed
    catalog = catalog_of(settings, "events", "devices")
    sync(settings, catalog=catalog, timing=LeapingTime().timing).checked()

    # then each export has its times; nothing has waited where there is no task.
    assert len(points.timers("export_wait", "events")) == 2
    assert len(points.timers("export_read", "events")) == 2
    assert points.timers("export_wait", "devices") == []
    assert len(points.timers("export_read", "devices")) == 1
    assert all(point.value >= 0 for point in points.points)
    line = next(str(point) for point in points.points if "export_wait" in str(point))
    assert line.startswith('{"type":"timer","metric":"job_duration","value":')
    assert '"job_type":"export_wait","status":"succeeded"' in line
