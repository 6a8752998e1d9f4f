"""Checks of requests, answers and files against the reference."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import parse_qsl, urlsplit

import msgspec
from jsonschema import Draft202012Validator, FormatChecker

from tests.reference import api
from tests.reference.files import FILES

if TYPE_CHECKING:
    import requests


def check_request(request: requests.PreparedRequest) -> None:
    """Check method, path, parameters and body; it may have nothing that is not described."""
    method, path, query = _parts(request)
    operation = _operation(method, path)
    assert query.pop("api-version") == api.VERSION
    # Parameters are text: integers are read out of it.
    _check({**query, **_integers(query)}, operation.query)
    if operation.body is None:
        assert not request.body
    else:
        assert request.headers["Content-Type"] == "application/json"
        _check(json.loads(request.body or ""), operation.body)


def check_answer(answer: requests.Response) -> None:
    """Check status, headers and body of an answer."""
    method, path, _ = _parts(answer.request)
    operation = _operation(method, path)
    assert answer.headers["Content-Type"] == "application/json"
    if answer.status_code >= 400:
        _check(answer.json(), api.Failure)
        return
    assert answer.status_code == operation.status
    assert operation.status != 202 or answer.headers["Location"]
    _check(answer.json(), operation.answer)


def check_file(stream: str, content: Any) -> None:
    """Check the content of a JSON file."""
    _check(content, FILES[stream])


def _parts(request: requests.PreparedRequest) -> tuple[str, str, dict[str, str]]:
    url = urlsplit(request.url or "")
    return str(request.method), str(url.path), dict(parse_qsl(str(url.query)))


def _integers(query: dict[str, str]) -> dict[str, int]:
    return {name: int(text) for name, text in query.items() if text.isdecimal()}


def _operation(method: str, path: str) -> api.Operation:
    """The description of a request; a path without placeholders goes first."""
    for known, template in sorted(api.OPERATIONS, key=lambda key: key[1].count("{")):
        pattern = re.sub(r"\\{\w+\\}", "[^/]+", re.escape(api.APP + template))
        if known == method and re.fullmatch(f".*{pattern}", path):
            if template.startswith("/campaigns/"):
                assert path.rpartition("/")[2] in get_args(api.CampaignKind)
            return api.OPERATIONS[known, template]
    raise AssertionError(f"not in the reference: {method} {path}")


def _check(value: Any, kind: Any) -> None:
    schema = msgspec.json.schema(kind)
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(value)
