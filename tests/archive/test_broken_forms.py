"""What is wrong with a file is an error with its offset, or one bad element; never less."""

from __future__ import annotations

import codecs
import json
import struct

import pytest

from tap_mobile_engagement.datatypes import BY_NAME
from tap_mobile_engagement.errors import Code, DataError
from tap_mobile_engagement.reading.arrays import ObjectsCutter
from tap_mobile_engagement.reading.records import RecordReader
from tap_mobile_engagement.reading.tables import Rows
from tests.archive.forms import gzipped, zipped
from tests.reading.arrays import read_blocks
from tests.support.records import Rejected, origin, read_file, recognise

TRUNCATED, CORRUPT = Code.BLOB_TRUNCATED, Code.BLOB_CORRUPT
OBJECTS = b'{"a": "}{"}\n{"b": [{}, {}]}{"c": "\\"}{"}'
HEADER = b"deviceId,token,type\n"
ZIP = zipped(b'[{"deviceId": "d", "token": "t"}]')


def elements(*chunks: bytes) -> list[object]:
    """The elements of a file; an unsound one as its bytes."""
    found: list[object] = []
    for block in read_blocks(chunks):
        if isinstance(block, Rows):
            rows = [dict(zip(block.names, row, strict=False)) for row in block.rows]
            found += rows if block.sound else [block.rows[0][0].encode()]
        else:
            texts = block.elements() if block.sound else []
            found += [json.loads(bytes(text)) for text in texts] or [block.data]
    return found


@pytest.mark.parametrize(
    ("file", "code", "offset"),
    [
        (b'{"a": 1}\n{"b": 2', TRUNCATED, 16),
        (b'{"a": 1}\n{"b": "2', TRUNCATED, 17),
        (b'{"value": [{"a": 1}', TRUNCATED, 19),
        (b'{"value": [{"a": 1}]', TRUNCATED, 20),
        (b'{"value": [{"a": 1}], "next":', TRUNCATED, 29),
        (b'{"value": [{"a": 1}], "more": [{"a": 2}]}', CORRUPT, 20),
        (b'{"value": [{"a": 1}]} {"value": []}', CORRUPT, 22),
        (HEADER + b"d,t", TRUNCATED, 23),
        (HEADER + b'd,"t', TRUNCATED, 24),
        (b"deviceId,token,token\nd,t,t\n", CORRUPT, 21),
        (codecs.BOM_UTF16_LE + "[]".encode("utf-16-le") + b"\n", TRUNCATED, 7),
        (b"PK\x03\x04 is not enough", TRUNCATED, 18),
        (ZIP[:-1], TRUNCATED, len(ZIP) - 1),
        (ZIP + ZIP, CORRUPT, 0),
        (gzipped(b"[]") + b"[]", CORRUPT, 22),
        (gzipped(b"[]")[:-1], TRUNCATED, 21),
        (gzipped(b"[1]")[:-8] + bytes(8), CORRUPT, 0),
        (b"hello", Code.BLOB_UNRECOGNISED, 0),
    ],
)
def test_a_broken_file_is_an_error_with_its_offset(
    file: bytes, code: Code, offset: int
) -> None:
    with pytest.raises(DataError) as caught:
        elements(file)
    assert (caught.value.code, caught.value.where["offset"]) == (code, offset)


@pytest.mark.parametrize(
    ("file", "found"),
    [
        (b'{"a": 1} x {"b": 2}', [{"a": 1}, b"x ", {"b": 2}]),
        (b'{"a": 1}, {"b": 2}', [{"a": 1}, b", ", {"b": 2}]),
        (b'{"a": 1} }', [{"a": 1}, b"}"]),
        (b'{"a": 1}\nERROR {code="5}\n{"b": 2}\n', [{"a": 1}, b'ERROR {code="5}', {"b": 2}]),
        (b'{"a": 1}\n{"b": "2\n{"c": 3}\n{"d": 4}',
         [{"a": 1}, b'{"b": "2', {"c": 3}, {"d": 4}]),
        (b'{"a": 1},\n{"b": 2},\n', [{"a": 1}, b",", {"b": 2}, b","]),
        (b'\xef\xbb\xbf{"a": 1}\n\xef\xbb\xbf{"b": 2}', [{"a": 1}, {"b": 2}]),
        (b'# exported\r\n{"a": 1}\r\n{"b": 2}', [b"# exported", {"a": 1}, {"b": 2}]),
        (HEADER + b'd,"t" x,gcm\nd,t,gcm\n',
         [b'd,"t" x,gcm', {"deviceId": "d", "token": "t", "type": "gcm"}]),
        (HEADER + b'd,"t\\" x",gcm\nd,t,gcm\n',
         [b'd,"t\\" x",gcm', {"deviceId": "d", "token": "t", "type": "gcm"}]),
        (HEADER + b'd,"t,gcm\nd,t,gcm\n',
         [b'd,"t,gcm', {"deviceId": "d", "token": "t", "type": "gcm"}]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("size", [1, 5, 1000])
def test_noise_between_elements_is_a_bad_element_and_keeps_all_others(
    file: bytes, found: list[object], size: int
) -> None:
    chunks = [file[at : at + size] for at in range(0, len(file), size)]
    assert elements(*chunks) == found
    assert elements(file + b"\n") == found


def test_texts_that_look_like_boundaries_are_none() -> None:
    assert elements(OBJECTS) == [{"a": "}{"}, {"b": [{}, {}]}, {"c": '"}{'}]


@pytest.mark.parametrize("size", [1, 2, 3, 7, 64])
def test_objects_do_not_depend_on_how_the_bytes_come(size: int) -> None:
    blocks = ObjectsCutter([OBJECTS], block_size=size).blocks()
    found = [json.loads(bytes(text)) for block in blocks for text in block.elements()]
    assert found == elements(OBJECTS)


@pytest.mark.parametrize("separator", [b"\n", b"\r\n", b" \n\t"])
def test_offsets_of_objects_are_exact(separator: bytes) -> None:
    file = separator.join(b'{"n": %d}' % n for n in range(1000))
    for block in ObjectsCutter([file], block_size=100).blocks():
        position = 0
        for raw in block.elements():
            position = block.data.index(bytes(raw), position)
            at = block.offset + position
            assert file[at : at + len(bytes(raw))] == bytes(raw)


def test_one_bad_object_spares_all_others() -> None:
    file = b'{"n": 1}\n{"n": oops}\n{"n": 3}'
    assert elements(file) == [{"n": 1}, b'{"n": oops}', {"n": 3}]


def test_an_object_larger_than_a_block_is_one_element() -> None:
    large = {"text": "}{" * 100_000}
    file = json.dumps(large).encode() + b'{"n": 1}'
    assert elements(file) == [large, {"n": 1}]


def test_a_row_of_the_wrong_width_is_one_bad_element() -> None:
    file = HEADER + b"d,t,gcm\nd,t\nd,t,gcm,more\nd,t,gcm,,\n\nd,t,\n"
    row = {"deviceId": "d", "token": "t", "type": "gcm"}
    assert elements(file) == [
        row,
        b"d,t",
        b"d,t,gcm,more",
        row,
        {"deviceId": "d", "token": "t", "type": ""},
    ]


def test_a_cell_may_hold_newlines_delimiters_quotes_and_much_text() -> None:
    text = 'a\r\nb,c"d' * 100_000
    file = HEADER + b'd,"%s",gcm\n' % text.replace('"', '""').encode()
    assert elements(file) == [{"deviceId": "d", "token": text, "type": "gcm"}]


def test_bytes_that_are_no_text_are_replaced_and_counted() -> None:
    (block,) = read_blocks([HEADER + b"d,\xff,gcm\n"])
    assert isinstance(block, Rows)
    assert (block.rows, block.repaired) == ([["d", "\ufffd", "gcm"]], 1)


def test_half_a_surrogate_pair_spoils_nothing_but_itself() -> None:
    text = '[{"a": "x\ud83dy"}]'.encode("utf-16-le", "surrogatepass")
    (block,) = read_blocks([text[:19], text[19:]])
    assert block.data == '[{"a": "x\ud83dy"}]'.encode("utf-8", "surrogatepass")


@pytest.mark.parametrize("cell", ["no object", "a=1", "a=1;b=two words"])
def test_extras_that_are_no_json_are_a_bad_record(cell: str) -> None:
    rejected = Rejected()
    file = f'name,timestamp,extras\nn,2016-05-01,"{cell}"\n'.encode()
    assert read_file("events", [file], rejected) == []
    assert rejected.found[0][0] == f"extras: {cell!r} is no JSON"


def test_an_encrypted_member_is_an_error_that_says_so() -> None:
    at = ZIP.index(b"PK\x01\x02") + 8
    (flags,) = struct.unpack_from("<H", ZIP, at)
    encrypted = ZIP[:6] + struct.pack("<H", flags | 1) + ZIP[8:at]
    encrypted += struct.pack("<H", flags | 1) + ZIP[at + 2 :]
    with pytest.raises(DataError, match="encrypted") as caught:
        elements(encrypted)
    assert caught.value.where["member"] == "part-0.json"


@pytest.mark.parametrize(
    ("file", "reason"),
    [
        (b"[]", ""),
        (b"", ""),
        (b" \n", ""),
        (b'{"value": []}', ""),
        (gzipped(b""), ""),
        (b"[", "the content ends before its array is closed"),
        (b"[oops]", "an element of it is no JSON"),
        (b"[1, 2]", "its elements are no objects"),
        (b"{}", "its fields (none) are not those of an export"),
        (b'[{"deviceId": "d"}]', "its fields (deviceId) are not those of an export"),
        (b'{"errors": [{"code": 1}]}', "its fields (code) are not those of an export"),
        (b'[{"sessionId": "s", "page": 1, "cookie": 2, "referrer": 3}]',
         "its fields (sessionId, page, cookie, referrer) are not those of an export"),
        (gzipped(b"[1]")[:5], "its gzip data ends too early"),
        (b'[{"name": ' + b"1" * 5000 + b"}]", "its fields (name) are not those of an export"),
        (b'{"name": ' + b"1" * 5000 + b"}\n", "its fields (name) are not those of an export"),
    ],
)  # fmt: skip
def test_what_is_no_export_is_told_from_what_is_empty(file: bytes, reason: str) -> None:
    found = recognise([file])
    assert (found.data_type, found.reason) == (None, reason)
    assert found.is_empty == (reason == "")


def test_white_space_before_the_first_element_does_not_make_a_file_empty() -> None:
    found = recognise([b"[", *[b" " * 65_536] * 32, b'{"deviceId": "d", "token": "t"}]'])
    assert found.data_type is BY_NAME["tokens"]
    assert not recognise([b"{" * 65_536] * 32).is_empty


@pytest.mark.parametrize("key", ["stackTrace", "type"])
def test_a_first_element_larger_than_the_head_is_recognised(key: str) -> None:
    crash = {"timestamp": "2016-05-01", key: "x" * 200_000, "crashId": "c"}
    file = json.dumps([{"deviceId": "d", "crashes": [crash]}]).encode()
    found = recognise([file[: 64 * 1024]])
    assert found.data_type is not None
    assert found.data_type.name == "crashes"


@pytest.mark.parametrize(("name", "key"), [("events", "n"), ("sessions", "sessionId")])
def test_a_group_whose_key_follows_its_items_keeps_it(name: str, key: str) -> None:
    group = {name: [{key: "s"}, {key: "t"}], "deviceId": "d"}
    assert elements(json.dumps(group).encode()) == [group]


ROWS = [{"deviceId": f"d{number}", "token": "t", "type": ""} for number in range(9)]
WHOLE_ROWS = {
    "array": json.dumps(ROWS),
    "objects": "\n".join(map(json.dumps, ROWS)) + "\n",
    "csv": HEADER.decode() + "".join(f"d{number},t,\n" for number in range(9)),
}


@pytest.mark.parametrize("form", WHOLE_ROWS)
@pytest.mark.parametrize("damage", ["no checksum", "half a character", "something follows"])
def test_what_stands_before_damage_is_read_in_a_small_file_too(form: str, damage: str) -> None:
    text = WHOLE_ROWS[form]
    file = {
        "no checksum": gzipped(text.encode())[:-8],
        "half a character": text.encode("utf-16-le") + b"[",
        "something follows": gzipped(text.encode()) + b"[",
    }[damage]
    batches = RecordReader(BY_NAME["tokens"], Rejected()).batches(origin("tokens"), [file])
    counts: list[int] = []
    with pytest.raises(DataError):
        counts.extend(len([*batch.dictionaries()]) for batch in batches)
    assert sum(counts) == len(ROWS)
