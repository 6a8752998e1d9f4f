"""Random files of all data types and forms, with odd values among the usual ones."""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
import random
from typing import TYPE_CHECKING, Any

from tap_mobile_engagement.datatypes import DATA_TYPES, Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from tap_mobile_engagement.datatypes import DataType, Field

Element = dict[str, Any]


class Text(str):
    """JSON text that is written as it stands."""

    __slots__ = ()


def nested(levels: int) -> Text:
    return Text('{"a":' * levels + "1" + "}" * levels)


TIMES: list[Any] = [
    "2016-05-01T10:20:30.123Z", "2016-05-01T10:20:30Z", "2016-05-01T10:20:30.000Z",
    "2016-05-01 10:20:30", "2016-05-01T10:20:30.1", "2016-05-01T10:20:30.1234567Z",
    "2016-05-01T10:20:30.120000000Z", "2016-05-01T12:20:30+02:00", "2016-05-01",
    "2016-05-01T12:20:30.5-0330", 1462098030123, 1462098030, "1462098030123", 0,
]  # fmt: skip
IDS: list[Any] = ["a" * 32, "0A1b2c3d-4e5f-6071-8293-a4b5c6d7e8f9", "x", "b" * 32]
OBJECTS: list[Any] = [
    {"b": 1, "a": [True, None, {"z": 1.5, "y": "é"}]}, {}, {"price": 9.99}, {"a": "}{,"},
    '{"b": 2, "a": 1}', "", [], {"n": 1 << 70}, {"d": Text("1.50")}, {"e": Text("1e3")},
]  # fmt: skip
USUAL: dict[Kind, list[Any]] = {
    Kind.ID: IDS,
    Kind.TEXT: ["buy", "", 'a "quoted", text', "é😀", "},{", "}{", "deviceId", "\t\n"],
    Kind.TIME: TIMES,
    Kind.INTEGER: [0, 17, -120, "23", 5.0, (1 << 63) - 1],
    Kind.BOOLEAN: [True, False, "true", 1, "0"],
    Kind.OBJECT: OBJECTS,
    Kind.FLAGS: [["Queued"], [], ["Queued", "Dropped"], "Queued, Dropped", '["Queued"]', ""],
}
ODD: dict[Kind, list[Any]] = {
    Kind.ID: ["", "0" * 32, None, 5, Text(r'"x\u0000y"'), Text(r'"\ud83d"'), [], "\0"],
    Kind.TEXT: [None, 7, Text(r'"a\u0000"'), Text(r'"\ude00"'), {"a": 1}, "x" * 3000],
    Kind.TIME: ["", None, "never", "2016-13-01T00:00:00Z", 10**18, Text("1462098030.5"), True,
                "2016-05-01T10:20:30Z\n2016-05-01T10:20:30Z", "2016-05-01T10:20:30Z\n"],
    Kind.INTEGER: [None, "", 1 << 63, 1.5, Text("1e400"), Text("NaN"), "x"],
    Kind.BOOLEAN: [None, "yes", 2, []],
    Kind.OBJECT: [
        None, 5, "no json", [1], nested(99), nested(101), nested(3000), {"a": Text("NaN")},
        {"a": Text("12345678901234567.89")}, {"a": Text(r'"\u0000"')}, "a=1;b=2", "null",
        {"a": Text("1e400")}, Text('{"a":1,"a":2}'), Text('{"a" 1}'), "{},{}",
    ],
    Kind.FLAGS: [None, 5, ["Queued", 5], "[Queued"],
}  # fmt: skip
UNKNOWN: list[Any] = [1, "x", None, [1, {"a": 2}], {"z": 1, "a": {"b": 2.5}}, Text("1.10")]
ODD_UNKNOWN: list[Any] = [nested(99), nested(120), Text("NaN"), Text(r'"\ud83d"')]
UNKNOWN_NAMES = ["severity", "appVersion", "", " ", "é", 'quo"ted', "deviceid2", "eventsCount"]


class Maker:
    """Makes one random file.

    Args:
        seed: The same file for the same seed.
    """

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)  # noqa: S311
        self.data_type: DataType = self.random.choice(DATA_TYPES)
        self._odd = self.random.choice([0, 0, 0.01, 0.05, 0.3])
        self._unknown = self.random.choice([0, 0, 0.1, 1])
        self._repeats = self.random.choice([0, 0, 0.2])
        styles: list[Callable[[str], str]] = [str, str, str.upper, _with_capital]
        self._style = self.random.choice(styles)
        # Mostly a file writes a kind of value in one way.
        self._usual = {
            kind: values if self.random.random() < 0.3 else [self.random.choice(values)]
            for kind, values in USUAL.items()
        }
        names = self.random.sample(UNKNOWN_NAMES, 2)
        self._unknown_names = names if self._unknown else []

    def content(self) -> bytes:
        """The file."""
        elements = self._elements()
        forms = [self._array, self._lines, self._joined, self._wrapper, self._indented]
        if self.random.random() < 0.25:
            content = self._table()
        else:
            content = self.random.choice(forms)(elements)
        match self.random.randrange(8):
            case 0:
                return gzip.compress(content, mtime=0)
            case 1 if b"\xff" not in content:
                text = content.decode("utf-8", "surrogatepass")
                return codecs.BOM_UTF16_LE + text.encode("utf-16-le", "surrogatepass")
            case 2:
                return codecs.BOM_UTF8 + content
        return content

    def _elements(self) -> list[Any]:
        fields = [f for f in self.data_type.fields if f.name != self.data_type.group_key]
        count = self.random.choice([1, 2, 7, 30])
        group_list = self.data_type.group_list
        if group_list is None or self.random.random() < 0.3:
            rows = [self._item(list(self.data_type.fields)) for _ in range(count)]
            return self._with_oddities(rows)
        groups = []
        key = next(f for f in self.data_type.fields if f.name == self.data_type.group_key)
        for _ in range(count):
            items = [self._item(fields) for _ in range(self.random.choice([0, 1, 3, 10]))]
            group = {self._style(key.sources[0]): self._value(key)}
            if self.random.random() < self._unknown / 3:
                group[self._unknown_names[0]] = self.random.choice(UNKNOWN)
            if self.random.random() < 2 * self._odd:  # said by the group as well as by items
                field = self.random.choice(fields)
                group[self._style(field.sources[0])] = self._value(field)
                for item in self.random.sample(items, len(items) // 2):
                    item[self._style(key.sources[0])] = self._value(key)
            group[self._style(group_list)] = self._with_oddities(items)
            groups.append(group)
        return self._with_oddities(groups)

    def _with_oddities(self, values: list[Any]) -> list[Any]:
        made: list[Any] = []
        for value in values:
            made.append(value)
            if self.random.random() < self._repeats:
                made.append(value)
            if self.random.random() < self._odd / 5:
                made.append(self.random.choice([5, "x", None, [], {}, Text("{oops}")]))
        return made

    def _item(self, fields: list[Field]) -> Element:
        item: Element = {}
        for field in fields:
            if field.nullable and self.random.random() < 0.3:
                continue
            parent, _, name = self._source(field).rpartition(".")
            into = item.setdefault(self._style(parent), {}) if parent else item
            if isinstance(into, dict):
                into[self._style(name)] = self._value(field)
        for name in self._unknown_names:
            if self.random.random() < self._unknown:
                odd = self.random.random() < self._odd
                item[name] = self.random.choice(ODD_UNKNOWN if odd else UNKNOWN)
        if self.random.random() < self._odd / 5:
            item.pop(next(iter(item)), None)
        if self.random.random() < self._odd / 5:
            item["DEVICE_ID"] = "another"
        return item

    def _source(self, field: Field) -> str:
        return field.sources[0]

    def _value(self, field: Field) -> Any:
        if self.random.random() < self._odd:
            return self.random.choice(ODD[field.kind])
        value = self.random.choice(self._usual[field.kind])
        if field.kind is Kind.ID and self.random.random() < 0.5:
            return f"{self.random.getrandbits(128):032x}"
        return value

    # Forms.

    def _array(self, elements: list[Any]) -> bytes:
        return written(elements).encode("utf-8", "surrogatepass")

    def _lines(self, elements: list[Any]) -> bytes:
        end = self.random.choice(["\n", "\r\n", "\n\n"])
        noise = ["Connection reset by peer", ",", '{"deviceId": "cut'] if self._odd else []
        lines = []
        for element in elements:
            lines.append(written(element))
            if noise and self.random.random() < 0.05:
                lines.append(self.random.choice(noise))
        lines = [line for line in lines if line.startswith("{") or noise]
        return end.join(lines or ["{}"]).encode("utf-8", "surrogatepass")

    def _joined(self, elements: list[Any]) -> bytes:
        objects = [written(element) for element in elements if isinstance(element, dict)]
        between = [", " if self.random.random() < self._odd / 5 else "" for _ in objects]
        joined = "".join(map("".join, zip(between, objects, strict=True)))
        return (joined.removeprefix(", ") or "{}").encode("utf-8", "surrogatepass")

    def _wrapper(self, elements: list[Any]) -> bytes:
        text = f'{{"app": "shop", "value": {written(elements)}, "count": {len(elements)}}}'
        return text.encode("utf-8", "surrogatepass")

    def _indented(self, elements: list[Any]) -> bytes:
        return written(elements, "\n ").encode("utf-8", "surrogatepass")

    def _table(self) -> bytes:
        fields = list(self.data_type.fields)
        rows = [self._item(fields) for _ in range(self.random.choice([1, 5, 40]))]
        flat: list[Element] = []
        for row in rows:
            cells: Element = {}
            for name, value in row.items():
                inner = value if name.lower() in {"meta", "info", "location"} else None
                if isinstance(inner, dict):
                    cells |= {f"{name}.{key}": each for key, each in inner.items()}
                else:
                    cells[name] = value
            flat.append(cells)
        columns = [*dict.fromkeys(name for row in flat for name in row if name.strip())]
        text = io.StringIO()
        delimiter = self.random.choice(",;\t")
        writer = csv.writer(text, delimiter=delimiter, lineterminator="\r\n")
        writer.writerow(columns)
        for row in flat:
            writer.writerow([_cell(row.get(column)) for column in columns])
            if self.random.random() < self._odd / 5:
                text.write(self.random.choice(["\r\n", f"{delimiter}\r\n", "  \r\n", "x\r\n"]))
            if self.random.random() < self._odd / 5:
                writer.writerow(columns)
        return text.getvalue().encode("utf-8", "surrogatepass")


def _with_capital(name: str) -> str:
    return name[:1].upper() + name[1:]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return value if type(value) is str else written(value)


def written(value: Any, space: str = "") -> str:
    """A value as JSON, with texts in it as they stand."""
    if isinstance(value, Text):
        return str(value)
    if isinstance(value, dict):
        pairs = (f"{json.dumps(k)}:{space}{written(v, space)}" for k, v in value.items())
        return "{" + f",{space}".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + f",{space}".join(written(item, space) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
