"""Faults of requests, as a layer around the service that makes them happen."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

import msgspec
from werkzeug.http import http_date
from werkzeug.test import run_wsgi_app
from werkzeug.wrappers import Response

from tap_mobile_engagement.simulator.faults import (
    CutAnswer,
    ErrorAnswer,
    Faults,
    LostAnswer,
    OtherBody,
    Refused,
    RequestFault,
    SlowAnswer,
)
from tap_mobile_engagement.simulator.http_server import close_connection, no_answer

if TYPE_CHECKING:
    import threading
    from collections.abc import Iterable, Iterator
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

    from tap_mobile_engagement.simulator.clock import SimulatorClock

OWN_PATHS = "/_simulator"
"""Where the simulator's own endpoints are; no fault strikes them."""

_HTML = "<html><head><title>{0}</title></head><body><h1>{0}</h1><p>{1}</p></body></html>"


class FaultyService:
    """The service, save where the plan says otherwise.

    Args:
        service: The application.
        faults: The plan.
        clock: Time of ``Retry-After`` dates.
        stopped: Ends slow answers early.
    """

    def __init__(
        self,
        service: WSGIApplication,
        faults: Faults,
        clock: SimulatorClock,
        stopped: threading.Event,
    ) -> None:
        self._service = service
        self._faults = faults
        self._clock = clock
        self._stopped = stopped

    def __call__(
        self, environ: WSGIEnvironment, start_response: StartResponse
    ) -> Iterable[bytes]:
        """Answer a request (WSGI)."""
        path = environ["PATH_INFO"]
        fault = None
        if not path.startswith(OWN_PATHS):
            method = environ["REQUEST_METHOD"]
            fault = self._faults.strike(RequestFault, method=method, path=path)
        match fault:
            case Refused():
                return no_answer(environ, start_response)
            case LostAnswer():
                self._carry_out(environ)
                return no_answer(environ, start_response)
            case CutAnswer(at=at):
                return _cut(environ, start_response, self._carry_out(environ), at)
            case ErrorAnswer():
                if fault.carried_out:
                    self._carry_out(environ)
                return self._error(fault)(environ, start_response)
            case OtherBody():
                return self._other_body(fault, environ)(environ, start_response)
            case SlowAnswer(seconds=seconds):
                self._stopped.wait(seconds)
        return self._service(environ, start_response)

    def _carry_out(self, environ: WSGIEnvironment) -> Response:
        chunks, status, headers = run_wsgi_app(self._service, environ, buffered=True)
        return Response(b"".join(chunks), status, headers)

    def _other_body(self, fault: OtherBody, environ: WSGIEnvironment) -> Response:
        response = self._carry_out(environ)
        response.headers["Content-Type"] = fault.content_type
        if fault.body is not None:
            response.set_data(fault.body)
        return response

    def _error(self, fault: ErrorAnswer) -> Response:
        title = f"{fault.status} {_phrase(fault.status)}"
        error = {"error": {"code": fault.code, "message": fault.message}}
        content_type, body = {
            "json": ("application/json", msgspec.json.encode(error)),
            "text": ("text/plain; charset=utf-8", fault.message.encode()),
            "html": ("text/html; charset=utf-8", _HTML.format(title, fault.message).encode()),
            "empty": ("text/plain; charset=utf-8", b""),
        }[fault.body]
        response = Response(body, fault.status, content_type=content_type)
        if fault.retry_after is not None:
            wait = timedelta(seconds=fault.retry_after)
            response.headers["Retry-After"] = (
                http_date(self._clock.now() + wait) if fault.as_date else str(fault.retry_after)
            )
        return response


def _cut(
    environ: WSGIEnvironment, start_response: StartResponse, response: Response, at: int
) -> Iterator[bytes]:
    """Answer with the full length in the headers and less in the body."""
    start_response(response.status, response.headers.to_wsgi_list())
    yield response.get_data()[:at]
    close_connection(environ)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
