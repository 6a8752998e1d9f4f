"""The reference says what Microsoft's two descriptions say; they are no part of the project.

They are the Swagger description of the REST API (as OpenAPI 3) and the JSON Schema of the
export files, both from the repository Azure/azure-rest-api-specs. They are looked for in the
folder that ``MOBILE_ENGAGEMENT_REFERENCE`` names, or beside the project.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any, get_args

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import api, files

FOLDER = Path(
    os.environ.get("MOBILE_ENGAGEMENT_REFERENCE")
    or Path(__file__).resolve().parents[3] / "shared" / "reference"
)
API = "mobile-engagement-2014-12-01.openapi.json"
FILES = "export.schema.json"
MISSING = [name for name in (API, FILES) if not (FOLDER / name).is_file()]

KEPT = ("maximum", "maxProperties", "minimum", "minItems", "uniqueItems")
FORMATS = ("date", "date-time", "uri")
"""The others say how an integer is stored."""


def read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((FOLDER / name).read_bytes())
    return document


def patterns() -> dict[str, str]:
    """Microsoft's pattern of each form of text."""
    definitions = read(FILES)["definitions"]
    return {"guid": definitions["guid"]["pattern"], "time": definitions["datetime"]["pattern"]}


class Reader:
    """Reads what a JSON Schema says into one form, so that two of them compare."""

    def __init__(self, root: dict[str, Any], patterns: dict[str, str]) -> None:
        self._root = root
        self._patterns = {pattern: name for name, pattern in patterns.items()}

    def said(self, schema: dict[str, Any]) -> Any:
        if "$ref" in schema:
            return self.said(self._resolved(schema["$ref"]))
        if "enum" in schema:
            return {*schema["enum"]}
        if "anyOf" in schema:
            return {each["type"] for each in schema["anyOf"]}
        if isinstance(schema["type"], list):
            return {*schema["type"]}
        said = {name: schema[name] for name in ("type", *KEPT) if name in schema}
        return said | self._parts(schema)

    def _parts(self, schema: dict[str, Any]) -> dict[str, Any]:
        match schema:
            case {"pattern": pattern}:
                return {"form": self._patterns[pattern]}
            case {"format": form} if form in FORMATS:
                return {"form": form}
            # In tuple form, a schema covers the first element only: a list is meant.
            case {"items": [items]} | {"items": items}:
                return {"items": self.said(items)}
            case {"type": "object"}:
                return self._fields(schema)
        return {}

    def _fields(self, schema: dict[str, Any]) -> dict[str, Any]:
        parts = [schema, *schema.get("allOf", ())]
        parts += [inner for part in parts[1:] for inner in part.get("allOf", ())]
        said: dict[str, Any] = {
            "fields": {
                name: self.said(field)
                for part in parts
                for name, field in part.get("properties", {}).items()
            },
            "required": {name for part in parts for name in part.get("required", ())},
        }
        if isinstance(others := schema.get("additionalProperties"), dict):
            said["others"] = self.said(others)
        return said

    def _resolved(self, reference: str) -> dict[str, Any]:
        found: Any = self._root
        for name in reference.removeprefix("#/").split("/"):
            found = found[name]
        return dict(found)


def ours(kind: Any) -> Any:
    schema = msgspec.json.schema(kind)
    return Reader(schema, {"guid": files.GUID, "time": files.TIME}).said(schema)


def theirs(schema: dict[str, Any], root: dict[str, Any] | None = None) -> Any:
    return Reader(root or {}, patterns()).said(schema)


@pytest.mark.skipif(
    bool(MISSING), reason=f"not at hand, nor in MOBILE_ENGAGEMENT_REFERENCE: {MISSING}"
)
def test_the_reference_says_what_microsoft_says() -> None:
    for stream in files.FILES:
        check_the_file(stream)
    for method, path in api.OPERATIONS:
        check_the_operation(method, path)
    check_that_no_operation_is_missing()
    check_the_kinds_of_campaigns()
    check_the_pattern("guid", files.GUID)
    check_the_pattern("time", files.TIME)


def check_the_file(stream: str) -> None:
    name = {"push_feedback": "push", "activities": "activity"}.get(stream, stream.rstrip("s"))
    schema = read(FILES)

    described = theirs(schema["definitions"][f"{name}Export"], schema)

    assert ours(files.FILES[stream]) == described, stream


def check_the_operation(method: str, path: str) -> None:
    operation = api.OPERATIONS[method, path]
    paths = read(API)["paths"]
    (found,) = (each for each in paths if each.endswith(f"/apps/{{appName}}{path}"))
    assert re.sub(r"\{\w+\}", "{}", found) == re.sub(r"\{\w+\}", "{}", api.APP + path)
    description = paths[found][method.lower()]

    query = {each["name"]: each for each in description["parameters"] if each["in"] == "query"}
    version = query.pop("api-version")
    assert version["required"]
    assert read(API)["info"]["version"] == api.VERSION
    assert not any(each["required"] for each in query.values())
    assert {name: theirs(each["schema"]) for name, each in query.items()} == ours(
        operation.query
    )["fields"], path

    body = description.get("requestBody", {"content": {}})["content"]
    assert {*body} == ({"application/json"} if operation.body else set())
    for content in body.values():
        assert theirs(content["schema"]) == ours(operation.body), path

    answers = description["responses"]
    assert {*answers} == {str(operation.status), "default"}
    success, failure = answers[str(operation.status)], answers["default"]
    assert {*success.get("headers", ())} == ({"Location"} if operation.status == 202 else set())
    for answer, kind in ((success, operation.answer), (failure, api.Failure)):
        assert theirs(answer["content"]["application/json"]["schema"]) == ours(kind), path


def check_that_no_operation_is_missing() -> None:
    described = {
        (method.upper(), path.partition("/apps/{appName}")[2])
        for path, item in read(API)["paths"].items()
        for method in item.keys() & {"get", "post", "put", "patch", "delete"}
    }

    # The tap creates no campaigns.
    assert described == {*api.OPERATIONS, ("POST", "/campaigns/{kind}")}


def check_the_kinds_of_campaigns() -> None:
    (found,) = (path for path in read(API)["paths"] if path.endswith("/campaigns/{kind}"))
    parameters = read(API)["paths"][found]["get"]["parameters"]
    (kind,) = (each for each in parameters if each["name"] == "kind")

    assert {*get_args(api.CampaignKind)} == {*kind["schema"]["enum"]}


def check_the_pattern(name: str, pattern: str) -> None:
    # The anchors of Microsoft's pattern of a GUID bind to one alternative each.
    described = f"^(?:{patterns()[name].removeprefix('^').removesuffix('$')})$"
    texts = (st.from_regex(each, fullmatch=True) for each in (pattern, described))

    @given(st.one_of(*texts))
    def check(text: str) -> None:
        # Microsoft's also takes years before 0 and after 9999, and a T with no time after it.
        odd = name == "time" and re.fullmatch(r"(?!\d{4}-).*|.{10}[T ](?!\d).*", text)

        assert re.match(described, text)
        assert bool(re.match(pattern, text)) == (not odd)

    check()
