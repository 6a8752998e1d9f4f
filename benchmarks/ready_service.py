"""A simulated service whose files are ready: nothing but the tap takes time."""

from __future__ import annotations

import json
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tap_mobile_engagement.simulator import Options, Simulator
from tap_mobile_engagement.simulator.delivery import Deliverer, Delivery
from tests.support.simulated import catalog_of, settings_for

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_mobile_engagement.simulator.apps import App
    from tap_mobile_engagement.simulator.exports import ExportRequest


@contextmanager
def ready_service(events: Path) -> Iterator[dict[str, Path]]:
    """Run the service, with an empty folder as its container.

    Args:
        events: What an export of events writes, whatever its range.

    Yields:
        The tap's configuration and its catalog, in which events alone are selected, by the
        names of the options that take them.
    """
    with tempfile.TemporaryDirectory(prefix="bench-", dir=events.parent.parent) as name:
        container = Path(name) / "container"
        container.mkdir()

        class Ready(Deliverer):
            """Puts the file into the container, which takes no time."""

            def deliver(
                self, app: App, request: ExportRequest, moment: int, task_id: str
            ) -> Delivery:
                """Link the file to where a task would have written it."""
                del app, request, moment
                blob = f"{task_id}{events.suffix}"
                os.link(events, container / blob)
                return Delivery([blob], [])

        options = Options(devices=1, frozen=True)
        with Simulator(options, deliverer=Ready) as simulator:
            settings = settings_for(simulator, container, window_days=10_000)
            files = {"config": settings, "catalog": catalog_of(settings, "events")}
            paths = {kind: Path(name) / f"{kind}.json" for kind in files}
            for kind, path in paths.items():
                path.write_text(json.dumps(files[kind]))
            yield paths
