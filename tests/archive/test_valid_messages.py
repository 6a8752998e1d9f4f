"""Every message is valid, whatever the form of a file: targets need not validate records."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from tap_mobile_engagement.datatypes import BY_NAME
from tests.archive.forms import FORMS
from tests.inputs.support import tap
from tests.reading.random_files import Maker
from tests.reading.test_random_files import read
from tests.support.conventions import check

if TYPE_CHECKING:
    from pathlib import Path

ElementsOf = Callable[[str], list[dict[str, Any]]]
RANDOM_FILES = 400


@pytest.mark.parametrize("form", FORMS)
def test_every_message_of_every_stream_in_every_form(
    tmp_path: Path, elements_of: ElementsOf, form: str
) -> None:
    # Given a file of each data type in that form
    folder = tmp_path / "exports"
    folder.mkdir()
    for name in BY_NAME:
        (folder / name).write_bytes(FORMS[form].write(name, elements_of(name)))
    settings = {
        "source": "archive",
        "container_url": folder.as_uri(),
        "archive_types": [
            {"pattern": name, "data_type": name} for name in ("events", "errors")
        ],
    }
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings))

    # when they are read
    outcome = tap("--config", str(config))

    # then each message has its form, and each record fits its schema, date-times included.
    assert outcome.exit_code == 0
    counts = check(outcome.messages)
    assert counts.keys() == BY_NAME.keys()
    assert all(counts.values())


def test_what_becomes_a_record_of_an_odd_file_is_valid() -> None:
    validators = {
        name: jsonschema.Draft7Validator(
            {**data_type.schema, "additionalProperties": False},
            format_checker=jsonschema.FormatChecker(),
        )
        for name, data_type in BY_NAME.items()
    }
    seen = Counter[str]()

    for seed in range(RANDOM_FILES):
        maker = Maker(seed)
        name = maker.data_type.name
        for record in read(maker.data_type, maker.content(), as_lines=True).records:
            validators[name].validate(record)
            seen[name] += 1

    assert seen.keys() == BY_NAME.keys()


def test_date_times_are_checked() -> None:
    assert "date-time" in jsonschema.FormatChecker.checkers
