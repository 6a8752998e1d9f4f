"""What became of an export: the line that reconciles its counts, and its times as metrics."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from singer_sdk import metrics

if TYPE_CHECKING:
    import logging

    from tap_mobile_engagement.sources.base import Export


@dataclass(slots=True)
class Tally:
    """Counts of one export: bytes as stored, records, elements with replaced characters."""

    size: int = 0
    records: int = 0
    repaired: int = 0
    began: float = field(default_factory=time.monotonic)


def report(export: Export, tally: Tally, *, bad: int, logger: logging.Logger) -> None:
    """Log an export whose records are all out, and how long it took, in two timers.

    ``export_wait`` is for its task, ``export_read`` from the first byte to the last record.
    """
    seconds = time.monotonic() - tally.began
    logger.info(
        "Read an export: app=%s range=%s task=%s blobs=%d bytes=%d records=%d bad=%d "
        "repaired=%d waited=%.1fs read=%.1fs",
        export.app_name or "-",
        export.window or "-",
        export.task_id or "-",
        len(export.parts),
        tally.size,
        tally.records,
        bad,
        tally.repaired,
        export.waited,
        seconds,
    )
    if export.task_id is not None:
        _log_timer(export, "export_wait", export.waited)
    _log_timer(export, "export_read", seconds)


def _log_timer(export: Export, job_type: str, seconds: float) -> None:
    """Log a timer as the SDK would, which can only time what runs inside of it."""
    tags: dict[str, Any] = {
        metrics.Tag.STREAM: export.data_type.name,
        metrics.Tag.JOB_TYPE: job_type,
        metrics.Tag.STATUS: metrics.Status.SUCCEEDED,
        metrics.Tag.PID: os.getpid(),
    }
    if export.app_name:
        tags[metrics.Tag.CONTEXT] = {"app_name": export.app_name}
    point = metrics.Point("timer", metrics.Metric.JOB_DURATION, seconds, tags)
    metrics.log(metrics.get_metrics_logger(), point)
