"""Export files into a real PostgreSQL, with no API at all.

The simulator writes export files of all ten data types into a folder, in several forms, mixed
with files that are none. ``meltano run tap-mobile-engagement target-postgres`` reads them; then
newer files are copied there with their modification times of years ago, and it runs again.
After each run the warehouse is compared with the simulator's truth. The exit code is 1 if they
differ.
"""

from __future__ import annotations

import argparse
import gzip
import os
import sys
import zipfile
from datetime import UTC, date, datetime, timedelta
from datetime import time as time_of_day
from typing import TYPE_CHECKING

from scripts.demo import report
from scripts.demo.__main__ import Progress
from scripts.demo.pipeline import Pipeline, started
from tap_mobile_engagement.datatypes import DATA_TYPES
from tap_mobile_engagement.simulator import Options

if TYPE_CHECKING:
    from pathlib import Path

    from scripts.demo.compare import Row
    from tap_mobile_engagement.datatypes import DataType
    from tap_mobile_engagement.simulator import Simulator
    from tests.support.meltano import MeltanoProject
    from tests.support.postgres import Database

_FIRST_DAY = date(2016, 5, 1)
_DAYS = 14
_MORE_DAYS = 4
_OVERLAP = timedelta(days=3)
# When the files were written, as copies that keep their times say.
_WRITTEN = datetime(2017, 3, 31, tzinfo=UTC)
_WRITTEN_LATER = datetime(2018, 3, 31, tzinfo=UTC)

_NO_EXPORTS = {
    "readme.txt": b"These files were exported by Azure Mobile Engagement.\n",
    "$logs/2016.log": b"1.0;2016-05-01T00:00:00Z;PutBlob;Success\n",
    "thumbnails/icon.png": b"\x89PNG\r\n\x1a\n" + bytes(64),
    "settings.json": b'{"container": "exports", "retention": 90}',
    "empty.json": b"[]",
}


class ArchivePipeline(Pipeline):
    """A folder of export files, and a PostgreSQL that gets what they hold."""

    def __init__(
        self, simulator: Simulator, database: Database, project: MeltanoProject, container: Path
    ) -> None:
        super().__init__(simulator, database, project, container)
        self._snapshots: dict[str, dict[tuple[object, ...], Row]] = {}

    def write_files(self, start: date, end: date, written: datetime) -> None:
        """Let the simulator write a file of each data type, each in a form of its own."""
        times = (written.timestamp(), written.timestamp())
        forms = (_as_it_is, _gzipped, _zipped)
        for number, kind in enumerate(DATA_TYPES):
            for app in self._simulator.options.apps:
                names = self._simulator.write_export(
                    app, kind.name, self._container.as_uri(), start, end
                )
                for name in names:
                    os.utime(self._container / name, times)
                    path = forms[number % len(forms)](self._container / name)
                    os.utime(path, times)

    def write_no_exports(self) -> None:
        """Put files among them that are no exports."""
        for name, content in _NO_EXPORTS.items():
            path = self._container / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(content)

    def _tap_settings(self, end: date) -> dict[str, object]:
        del end  # an archive is read whole
        apps = self._simulator.options.apps
        return {
            "source": "archive",
            "container_url": self._container.as_uri(),
            "app_names": apps,
        }

    def _truth(self, data_type: DataType, end: date | None = None) -> list[Row]:
        """What all files hold together: an older snapshot may have keys that a newer lacks."""
        rows = super()._truth(data_type, end)
        if data_type.historical:
            return rows
        names = ["app_name", *(field.name for field in data_type.fields)]
        places = [names.index(key) for key in data_type.keys]
        known = self._snapshots.setdefault(data_type.name, {})
        known.update({tuple(row[place] for place in places): row for row in rows})
        return [*known.values()]


def _as_it_is(path: Path) -> Path:
    return path


def _gzipped(path: Path) -> Path:
    packed = path.with_name(path.name + ".gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    path.unlink()
    return packed


def _zipped(path: Path) -> Path:
    packed = path.with_suffix(".zip")
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, path.name)
    path.unlink()
    return packed


def show(devices: int, *, keep: bool) -> bool:
    """Run the whole demo and print what came of it.

    Args:
        devices: Number of devices.
        keep: Whether the database runs on.

    Returns:
        Whether the warehouse holds what the simulator's truth says.

    Raises:
        RuntimeError: If a part does not start, or a pipeline fails.
    """
    end = _FIRST_DAY + timedelta(days=_DAYS)
    midnight = datetime.combine(end, time_of_day(), tzinfo=UTC)
    options = Options(devices=devices, first_day=_FIRST_DAY, start=midnight, frozen=True)
    progress = Progress()
    with started(ArchivePipeline, options, keep=keep) as (simulator, pipeline):
        pipeline.write_files(_FIRST_DAY, end, _WRITTEN)
        pipeline.write_no_exports()
        progress(f"{len(DATA_TYPES)} export files and {len(_NO_EXPORTS)} others are written")
        pipeline.run(end)
        progress("run 1")
        first = pipeline.stage("run 1")
        simulator.clock.advance(days=_MORE_DAYS)
        later = end + timedelta(days=_MORE_DAYS)
        pipeline.write_files(end - _OVERLAP, later, _WRITTEN_LATER)
        progress(f"{len(DATA_TYPES)} more files are added, with modification times of 2018")
        pipeline.run(later)
        progress("run 2")
        second = pipeline.stage("run 2", late=pipeline.late(first, end))
        return report.show([first, second])


def main() -> int:
    """Read the command line; the exit code is 1 if warehouse and truth differ."""
    parser = argparse.ArgumentParser(prog="demo", description=__doc__)
    parser.add_argument("--devices", type=int, default=300, help="devices of the app")
    parser.add_argument("--keep", action="store_true", help="leave the database running")
    arguments = parser.parse_args()
    try:
        return 0 if show(arguments.devices, keep=arguments.keep) else 1
    except RuntimeError as error:
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
