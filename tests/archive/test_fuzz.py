"""Mutated files: they end in records or in a clear error, never in less without a word.

Seeded; 1,000 files by default, FUZZ_FILES=10000 for the full run.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from typing import Any, NamedTuple

import pytest

from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.rejects import BadRecords
from tests.archive.forms import FORMS
from tests.support.records import origin, recognise_all

ElementsOf = Callable[[str], list[dict[str, Any]]]

FILES = int(os.environ.get("FUZZ_FILES", "1000"))
BATCHES = 10
ELEMENTS = 12  # per file, at most

CODES = {Code.BLOB_TRUNCATED, Code.BLOB_CORRUPT, Code.BLOB_UNRECOGNISED}
# These end where a row or an object ends: cut there, a file is as good as a shorter one. That
# it is whole is for the container to know, which has its length.
UNCLOSED = ("CSV", "objects")


class Outcome(NamedTuple):
    """What came out of a file: elements, records, items that are none, and how it ended."""

    elements: int
    records: list[dict[str, Any]]
    rejected: int
    error: DataError | None


def read(data_type: str, file: bytes) -> Outcome:
    """Read a file as a stream does, bad records set aside."""
    bad_records = BadRecords(data_type, skip=True, most=1 << 30)
    reader = RecordReader(BY_NAME[data_type], bad_records)
    records: list[dict[str, Any]] = []
    failure = None
    try:
        chunks = (file[i : i + 1000] for i in range(0, len(file), 1000))
        for batch in reader.batches(origin(data_type), chunks):
            records += batch.dictionaries()
    except DataError as error:
        failure = error
    return Outcome(reader.elements, records, bad_records.count, failure)


def flip(file: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(file))
    return file[:at] + bytes([file[at] ^ (1 << rng.randrange(8))]) + file[at + 1 :]


def overwrite(file: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(file))
    return file[:at] + bytes([rng.choice(b'"\\{}[],:;\n\t\0\xff')]) + file[at + 1 :]


def cut_end(file: bytes, rng: random.Random) -> bytes:
    return file[: rng.randrange(len(file))]


def cut_out(file: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(file))
    return file[:at] + file[at + 1 + rng.randrange(20) :]


def insert(file: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(file) + 1)
    return file[:at] + rng.randbytes(rng.randrange(1, 8)) + file[at:]


def repeat(file: bytes, rng: random.Random) -> bytes:
    at = rng.randrange(len(file))
    return file[: at + rng.randrange(200)] + file[at:]


MUTATIONS = (flip, overwrite, cut_end, cut_out, insert, repeat)


@pytest.mark.parametrize("batch", range(BATCHES))
def test_a_mutated_file_ends_in_records_or_in_a_clear_error(
    elements_of: ElementsOf, batch: int
) -> None:
    @cache
    def original(data_type: str, form: str) -> tuple[bytes, Outcome]:
        file = FORMS[form].write(data_type, elements_of(data_type)[:ELEMENTS])
        outcome = read(data_type, file)
        assert outcome.records
        assert outcome.error is None
        return file, outcome

    for number in range(batch, FILES, BATCHES):
        rng = random.Random(number)  # noqa: S311
        data_type, form = rng.choice([*BY_NAME]), rng.choice([*FORMS])
        mutate = rng.choice(MUTATIONS)
        file, whole = original(data_type, form)
        mutated = mutate(file, rng)
        what = f"file {number}: {data_type}, {form}, {mutate.__name__}"

        with suppress(DataError):  # a broken zip file; nothing else raises
            [*recognise_all([mutated])]
        outcome = read(data_type, mutated)

        if outcome.error is not None:
            assert outcome.error.code in CODES, what
            assert isinstance(outcome.error.where["offset"], int), what
        elif not mutated.strip():
            assert outcome.records == [], what
        elif is_checked(form):
            # A checksum stands over every byte of content.
            assert (outcome.records, outcome.rejected) == (whole.records, 0), what
        elif mutate is cut_end:
            # What is closed can't be cut but for the white space behind it.
            if not any(word in form for word in UNCLOSED):
                assert outcome.records == whole.records, what
            whole_ones = max(outcome.elements - 1, 0)  # the last one may be cut short
            assert outcome.records[:whole_ones] == whole.records[:whole_ones], what
        elif mutate in (flip, overwrite):
            # One byte loses nothing without a word.
            assert outcome.rejected or len(outcome.records) >= len(whole.records), what


def is_checked(form: str) -> bool:
    return "gzip" in form or "zip" in form
