"""What the errors of the client mean to an account, mapped once for all sources."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum

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
