"""Microsoft's descriptions of the service, as validators; they are no part of the project."""

from __future__ import annotations

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from jsonschema import Draft4Validator, FormatChecker

if TYPE_CHECKING:
    import requests

_BESIDE = Path(__file__).resolve().parents[3] / "shared" / "reference"


def folder() -> Path:
    """Where the reference files are; skips the test where they are not."""
    path = Path(os.environ.get("MOBILE_ENGAGEMENT_REFERENCE") or _BESIDE)
    if not path.is_dir():
        pytest.skip("no reference files beside the project, nor in MOBILE_ENGAGEMENT_REFERENCE")
    return path


@cache
def _read(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder() / name).read_text())
    return document


def check_answer(answer: requests.Response) -> None:
    """Check an answer of the API against its description: status, headers and body."""
    request = answer.request
    path = re.sub(r"\?.*", "", str(request.path_url))
    description = _operation(str(request.method).lower(), path)["responses"]
    assert str(answer.status_code) in description or answer.status_code >= 400
    described = description.get(str(answer.status_code), description["default"])
    assert set(described.get("headers", ())) <= set(answer.headers)
    schema = described["content"]["application/json"]["schema"]
    assert answer.headers["Content-Type"] == "application/json"
    # The schemas are Swagger's, which are draft 4 with some words more.
    Draft4Validator(schema, format_checker=FormatChecker()).validate(answer.json())


def _operation(method: str, path: str) -> dict[str, Any]:
    """The description of an operation; a path without placeholders goes first."""
    paths = _read("mobile-engagement-2014-12-01.openapi.json")["paths"]
    for template in sorted(paths, key=lambda one: one.count("{")):
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(template))
        if method in paths[template] and re.fullmatch(pattern, path):
            operation: dict[str, Any] = paths[template][method]
            return operation
    raise AssertionError(f"not in the description: {method} {path}")


def export_validator(export_type: str) -> Draft4Validator:
    """The schema of the files of one data type, with the three defects mended.

    An empty array fits all branches of the root's ``oneOf``: one definition is taken at a time.
    ``items`` in tuple form covers the first element only: it is made a list. The anchors of the
    GUID pattern bind to one alternative each: it is put in parentheses.
    """
    schema = json.loads((folder() / "export.schema.json").read_text())
    definitions = schema["definitions"]
    guid = definitions["guid"]["pattern"].strip("^$")
    definitions["guid"]["pattern"] = f"^(?:{guid})$"
    _mend_items(definitions)
    root = {"definitions": definitions, "$ref": f"#/definitions/{export_type.lower()}Export"}
    return Draft4Validator(root)


def _mend_items(node: Any) -> None:
    if isinstance(node, dict):
        if isinstance(node.get("items"), list):
            (node["items"],) = node["items"]
        for value in node.values():
            _mend_items(value)
