"""What the errors of the client mean to an account, mapped once for all sources."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus

from homeassistant.helpers.update_coordinator import UpdateFailed

from .const import DOMAIN
from .model_studio import (
    AccountError,
    AuthenticationError,
    ClockSkewError,
    ConnectionFailedError,
    InvalidAnswerError,
    ModelStudioError,
    PermissionDeniedError,
    RateLimitError,
)

FREE_QUOTA_USED_UP = "AllocationQuota.FreeTierOnly"
"""How the service's code starts where a limit does not end by waiting."""
REJECTED_KEY_INTERVAL = timedelta(minutes=5)
SHORTEST_WAIT = timedelta(seconds=30)
FIRST_BACKOFF = timedelta(minutes=1)
LONGEST_BACKOFF = timedelta(minutes=15)
LONGEST_RETRY_AFTER = timedelta(hours=1)


class Status(StrEnum):
    """How the last poll ended."""

    OK = "ok"
    AUTH = "auth"
    LIMITED = "limited"
    ERROR = "error"


FAILURES: Mapping[type[ModelStudioError], tuple[Status, str]] = {
    AuthenticationError: (Status.AUTH, "invalid_auth"),
    PermissionDeniedError: (Status.ERROR, "missing_permission"),
    ClockSkewError: (Status.ERROR, "clock_skew"),
    RateLimitError: (Status.LIMITED, "rate_limited"),
    AccountError: (Status.ERROR, "account_unavailable"),
    ConnectionFailedError: (Status.ERROR, "cannot_connect"),
    InvalidAnswerError: (Status.ERROR, "invalid_answer"),
}
"""What each error means: a status, and a text in the translations."""


def form_error(err: ModelStudioError) -> str:
    """Return the text in which a form says what went wrong with an API key.

    It is that of `FAILURES`, but where something else is to be done about it.
    """
    code = err.code or ""
    if isinstance(err, RateLimitError) and code.startswith(FREE_QUOTA_USED_UP):
        return "free_quota_used_up"
    if isinstance(err, AccountError) and err.status == HTTPStatus.NOT_FOUND:
        return "not_found"
    return FAILURES[type(err)][1]


class PollFailed(UpdateFailed):
    """A poll that brought no figures."""

    def __init__(
        self,
        status: Status,
        translation_key: str,
        placeholders: dict[str, str],
        retry_after: timedelta | None = None,
    ) -> None:
        """Keep what the failure means."""
        super().__init__(
            translation_domain=DOMAIN,
            translation_key=translation_key,
            translation_placeholders=placeholders,
            retry_after=retry_after.total_seconds() if retry_after else None,
        )
        self.status = status


class Backoff:
    """How long to leave a service alone that throttles."""

    def __init__(self) -> None:
        """Start with the shortest."""
        self._next = FIRST_BACKOFF

    def reset(self) -> None:
        """Start again: the service does not throttle."""
        self._next = FIRST_BACKOFF

    def wait(self, retry_after: float | None) -> timedelta:
        """Return how long to wait, as told (seconds) or longer each time.

        Never less than a service is left alone that does not throttle.
        """
        if retry_after is not None:
            return min(
                max(timedelta(seconds=min(retry_after, 1e9)), SHORTEST_WAIT),
                LONGEST_RETRY_AFTER,
            )
        wait = self._next
        self._next = min(wait * 2, LONGEST_BACKOFF)
        return wait
