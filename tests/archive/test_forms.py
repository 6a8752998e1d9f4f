"""Every data type in every form: recognised, and the same records as in the documented form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code
from tests.archive.forms import FORMS, array
from tests.archive.support import records_of
from tests.support.records import recognise_all

ElementsOf = Callable[[str], list[dict[str, Any]]]
UNTOLD = {"events", "errors"}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("data_type", BY_NAME)
def test_records_do_not_depend_on_the_form(
    elements_of: ElementsOf, data_type: str, form: str
) -> None:
    # Given the records of a file in the documented form
    elements = elements_of(data_type)
    expected = records_of(data_type, [array(elements)])
    assert len(expected) > 1
    # When the same elements come in another form
    file = FORMS[form].write(data_type, elements)
    # Then they are the same records, record ids included, whatever pieces they come in
    assert records_of(data_type, [file]) == expected
    assert records_of(data_type, (file[i : i + 7] for i in range(0, len(file), 7))) == expected


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("data_type", BY_NAME)
def test_the_first_bytes_tell_the_data_type(
    elements_of: ElementsOf, data_type: str, form: str
) -> None:
    file = FORMS[form].write(data_type, elements_of(data_type))
    contents = [*recognise_all([file])]
    assert contents
    for found in contents:
        assert found.problem is None
        if FORMS[form].tells_events_from_errors or data_type not in UNTOLD:
            assert (found.data_type, found.reason) == (BY_NAME[data_type], "")
        else:
            assert found.data_type is None
            assert "events and errors alike; archive_types can say which" in found.reason


@pytest.mark.parametrize("data_type", BY_NAME)
def test_half_a_file_tells_it_too(elements_of: ElementsOf, data_type: str) -> None:
    file = array(elements_of(data_type))
    for size in (len(file) // 2, len(file) // 3, 400):
        (found,) = recognise_all([file[:size]])
        assert found.data_type is BY_NAME[data_type]
        if size == 400:  # (of a larger part the first elements tell, and no more is read)
            assert found.problem is not None
            assert found.problem.code is Code.BLOB_TRUNCATED
