"""What a caller of the client can tell apart."""

from collections.abc import Callable
from enum import StrEnum

REDACTED = "**REDACTED**"


class ModelStudioError(Exception):
    """The account could not be read.

    `code` and `message` are the service's own words, where it said any.
    """

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        """Keep what the service said."""
        super().__init__(message, code)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        """Return code and message as one line."""
        return ": ".join(part for part in (self.code, self.message) if part)

    def redact(self, secret: str) -> None:
        """Take a secret out of what the service said."""
        if not secret:
            return
        if self.code:
            self.code = self.code.replace(secret, REDACTED)
        if self.message:
            self.message = self.message.replace(secret, REDACTED)
        self.args = (self.message, self.code)

    def withhold(self, is_secret: Callable[[str], bool]) -> None:
        """Drop what the service said where a secret can't be taken out of it."""
        if self.code and is_secret(self.code):
            self.code = REDACTED
        if self.message and is_secret(self.message):
            self.message = REDACTED
        self.args = (self.message, self.code)


class AuthenticationError(ModelStudioError):
    """The service does not accept the API key (HTTP 401 or 403), or the AccessKey."""


class PermissionDeniedError(ModelStudioError):
    """The AccessKey is good, but may not do this.

    `action` is the RAM action that is missing, as the service names it.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        action: str | None = None,
    ) -> None:
        """Keep what is missing."""
        super().__init__(message, code=code)
        self.action = action


class ClockSkewError(ModelStudioError):
    """The clock of this machine is too far off for a signature to be accepted."""


class RateLimitError(ModelStudioError):
    """The account is throttled, or a quota of it is used up.

    `retry_after` is the number of seconds the service asked to wait, None where it
    named none.
    """

    retry_after: float | None = None


class FreeQuotaUsedUpError(RateLimitError):
    """The free quota is used up, and paid use is not allowed."""


class BudgetExhaustedError(RateLimitError):
    """The budget set in the console is used up.

    Requests are refused until the budget is raised or its next period begins.
    """


class AccountError(ModelStudioError):
    """The service answered, but not with success.

    `code` is the service's own, or the HTTP status (`HTTP 502`) where it gave none.
    `status` is the HTTP status.
    """

    def __init__(
        self, message: str | None = None, *, code: str | None = None, status: int = 200
    ) -> None:
        """Keep the HTTP status."""
        super().__init__(message, code=code)
        self.status = status


class OverduePaymentError(AccountError):
    """The service has stopped the account because of an overdue payment."""


class ServiceNotEnabledError(AccountError):
    """The account has not activated the service, or a model of it."""


class ConnectionFailure(StrEnum):
    """Why there was no answer."""

    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    """The connection was closed or reset before the answer was complete."""
    HOST_NOT_FOUND = "host_not_found"
    TLS = "tls"
    OTHER = "other"


_FAILURES = {
    ConnectionFailure.REFUSED: "Connection refused by {host}",
    ConnectionFailure.TIMED_OUT: "No answer from {host} in time",
    ConnectionFailure.LOST: "Connection to {host} lost",
    ConnectionFailure.HOST_NOT_FOUND: "Host {host} not found",
    ConnectionFailure.TLS: "No secure connection to {host}",
    ConnectionFailure.OTHER: "No valid answer from {host}",
}


class ConnectionFailedError(ModelStudioError):
    """No answer.

    `failure` says why, and `host` who was asked, with the port unless it is the usual
    one. Nothing else of the URL is kept: that of a Prometheus may be a secret.
    """

    def __init__(self, failure: ConnectionFailure, host: str) -> None:
        """Keep why there is no answer."""
        super().__init__(_FAILURES[failure].format(host=host))
        self.failure = failure
        self.host = host


class InvalidAnswerError(ModelStudioError):
    """An answer that is not what the service documents, or is too large."""
