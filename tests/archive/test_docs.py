"""The examples in docs/archive.md hold."""

from __future__ import annotations

import json
import os
import re
import shlex
import zipfile
from typing import TYPE_CHECKING

from click.testing import CliRunner

from tap_mobile_engagement.commands.inspect import main
from tests.archive.forms import gzipped
from tests.archive.support import settings_for
from tests.docs.pages import blocks, commands_on

if TYPE_CHECKING:
    from pathlib import Path

    from tests.support.simulated import StartSimulator

PAGE = "docs/archive.md"
SHOWN_FOLDER = "file:///data/mobile-engagement"
# The times of arrival, and a size that depends on who wrote the library that packs.
VARIES = re.compile(
    r"\b20[2-9]\d-\d\d-\d\d \d\d:\d\d\b|(?<=csv, gzip )\s+\d+ B|(?<=tags: 1 file, )\d+ B"
)


def test_the_settings_in_the_examples_are_right() -> None:
    examples = [json.loads(block.text) for block in blocks("json", page=PAGE)]
    checked = [
        settings_for(**{key: value for key, value in example.items() if key != "source"})
        for example in examples
    ]
    assert [settings.app_names for settings in checked] == [("shop",), ()]
    assert [rule.data_type for rule in checked[1].archive_types] == ["events", "errors"]


def test_an_inspection_prints_what_is_shown(
    start_simulator: StartSimulator, folder: Path
) -> None:
    # Given files as those that are shown
    simulator = start_simulator(sessions_per_device=1.0)

    def exported(data_type: str, form: str = "JsonBlob") -> bytes:
        (name,) = simulator.write_export("shop", data_type, folder.as_uri(), export_format=form)
        path = folder / name
        content = path.read_bytes()
        path.unlink()
        path.parent.rmdir()
        return content

    (folder / "2017").mkdir()
    (folder / "2017" / "events.json").write_bytes(exported("events"))
    (folder / "2017" / "tags.csv.gz").write_bytes(gzipped(exported("tags", "CsvBlob")))
    for number, name in enumerate(("events.json", "tags.csv.gz")):
        os.utime(folder / "2017" / name, (1_500_000_000 + number,) * 2)
    with zipfile.ZipFile(folder / "all.zip", "w") as packed:
        packed.writestr("jobs", exported("jobs"))
        packed.writestr("notes", "Some remarks\n")
    (shown,) = (each for each in commands_on(PAGE) if "--count" in each.text)

    # when they are inspected with the command that is shown,
    arguments = shlex.split(shown.text.replace(SHOWN_FOLDER, folder.as_uri()))[1:]
    result = CliRunner().invoke(main, arguments)

    # then it prints what is shown.
    def comparable(text: str) -> list[str]:
        return [VARIES.sub("…", line).rstrip() for line in text.rstrip().splitlines()]

    assert comparable(result.stdout) == comparable(shown.output)
