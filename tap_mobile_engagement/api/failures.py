"""Answers that are errors, as the tap's own errors: what failed, and what to do about it."""

from __future__ import annotations

from datetime import timedelta
from http import HTTPStatus
from typing import TYPE_CHECKING

from tap_mobile_engagement.api.answers import one_line
from tap_mobile_engagement.api.policy import Verdict
from tap_mobile_engagement.errors import (
    Code,
    DataError,
    RetryLaterError,
    SettingsError,
    TapError,
)

if TYPE_CHECKING:
    from tap_mobile_engagement.api.answers import Answer
    from tap_mobile_engagement.api.tasks import ExportTask, PendingExport


class TaskRefusedError(RetryLaterError):
    """The service takes no further export task at the moment; it surely created none."""

    def __init__(self, answer: Answer, retry_after: float | None) -> None:
        super().__init__(
            Code.SERVICE_UNAVAILABLE,
            f"the service takes no further export task now: {answer.extract()}",
            next_step="Run again later, or with fewer tasks at a time",
            **answer.where,
        )
        self.retry_after = retry_after


def of_creation(answer: Answer, retry_after: float | None) -> TapError:
    """The error for a creation that did not succeed."""
    match answer.status:
        # Limits, or a conflict that passes: nothing was created.
        case HTTPStatus.CONFLICT | HTTPStatus.TOO_MANY_REQUESTS:
            return TaskRefusedError(answer, retry_after)
        case HTTPStatus.NOT_FOUND:
            return app_not_found(answer)
        case HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
            return SettingsError(
                Code.TASK_TOO_LARGE,
                f"the service won't export so much at once: {answer.extract()}",
                next_step="Set a smaller window_days",
                **answer.where,
            )
        # Whatever broke down may have done so behind the creation.
        case status if (
            status == HTTPStatus.REQUEST_TIMEOUT or status >= HTTPStatus.INTERNAL_SERVER_ERROR
        ):
            return creation_uncertain(answer.extract()).at(**answer.where)
        case _:
            return of_any(answer, rejected=Code.TASK_REJECTED)


def service_given_up(refusal: TapError) -> TapError:
    """The error for a service that refuses tasks for ever, with none of ours under way."""
    return RetryLaterError(
        refusal.code,
        refusal.what,
        next_step="No task of this run is under way that could be why: find out what else "
        "exports, or run again later",
    )


def creation_uncertain(trouble: str) -> TapError:
    """The error for a creation whose outcome nobody knows."""
    return RetryLaterError(
        Code.TASK_CREATION_UNCERTAIN,
        f"nobody knows whether the export task was created: {trouble}",
        next_step="Run again later: the range is then exported by another task",
    )


def task_not_found(answer: Answer) -> TapError:
    """The error for a task that the service does not know, not yet or not any more."""
    return RetryLaterError(
        Code.TASK_LOST,
        f"the service does not know the export task: {answer.extract()}",
        next_step="Run again: its range is then exported by another task",
        **answer.where,
    )


def app_not_found(answer: Answer) -> TapError:
    """The error for a 404 where only the app can be what is not found."""
    return SettingsError(
        Code.APP_NOT_FOUND,
        f"the service does not know the app: {answer.extract()}",
        next_step="Check app_names (resource names), app_collection, resource_group and"
        " subscription_id",
        **answer.where,
    )


def task_ended(
    export: PendingExport, verdict: Verdict, answer: ExportTask | None, *, timeout: timedelta
) -> TapError:
    """The error for a task that came to no good end."""
    minutes = timeout / timedelta(minutes=1)
    again = "Run again: its range is then exported by another task"
    match verdict:
        case Verdict.FAILED:
            said = answer.error_details if answer else None
            details = one_line(said) if said else "it does not say why"
            code, what = Code.TASK_FAILED, f"the export task failed: {details}"
        case Verdict.UNKNOWN_TOO_LONG:
            code = Code.UNKNOWN_TASK_STATE
            what = (
                f"the export task is in state {export.state!r}, which is unknown, and its"
                f" {minutes:.0f} minutes are up"
            )
            again = "Look up what the state means, then run again"
        case Verdict.LOST:
            code, what = Code.TASK_LOST, "the service does not know the export task any more"
        case _:
            code = Code.TASK_TIMEOUT
            what = (
                f"the export task is still {export.state or 'without a state'} after"
                f" {minutes:.0f} minutes"
            )
            again = "Run again with a smaller window_days, or a larger task_timeout_minutes"
    return RetryLaterError(code, what, next_step=again, **export.where)


def task_lost(what: str) -> TapError:
    """The error for a task whose blobs are not to be had."""
    return RetryLaterError(Code.TASK_LOST, what, next_step="Its range is exported again")


def of_any(answer: Answer, *, rejected: Code = Code.BAD_SETTING) -> TapError:
    """The error for an answer that is an error for every verb.

    Args:
        answer: An answer that is not ``ok``.
        rejected: The code where the service doesn't accept the request as such.
    """
    said = answer.extract()
    kind: type[TapError] = SettingsError
    match answer.status:
        case HTTPStatus.UNAUTHORIZED:
            code, what = Code.AUTH_FAILED, f"the service rejects the access token: {said}"
            step = (
                "Check tenant_id and client_id, and that the service principal may use this "
                "subscription (a fresh token was rejected, too)"
            )
        case HTTPStatus.FORBIDDEN:
            code, what = Code.ACCESS_DENIED, f"the service denies access: {said}"
            step = (
                "Give the service principal a role on the app, and check that the app is not "
                "disabled"
            )
        case status if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
            kind, code = RetryLaterError, Code.SERVICE_UNAVAILABLE
            what = f"the service failed: {said}"
            step = "Run again later; the state tells where to continue"
        case status if status >= HTTPStatus.BAD_REQUEST:
            code, what = rejected, f"the service does not accept the request: {said}"
            step = (
                "Check the settings that name the app, its collection and subscription, the "
                "dates and the container URL"
            )
        case _:
            kind, code = DataError, Code.BAD_ANSWER
            target = answer.headers.get("Location", "nowhere")
            what = f"the service redirects to {target!r}, where the access token is not sent"
            step = "Check that api_url points to the service itself"
    return kind(code, what, next_step=step, **answer.where)
