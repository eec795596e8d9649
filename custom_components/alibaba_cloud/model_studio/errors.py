"""The errors that the clients raise."""

from collections.abc import Callable
from enum import StrEnum

REDACTED = "**REDACTED**"


class ModelStudioError(Exception):
    """Base class of all errors.

    `code` and `message` come from the service, if it sent any.
    """

    def __init__(self, message: str | None = None, *, code: str | None = None) -> None:
        """Create an error."""
        super().__init__(message, code)
        self.code = code
        self.message = message

    def __str__(self) -> str:
        """Return code and message as one line."""
        return ": ".join(part for part in (self.code, self.message) if part)

    def redact(self, secret: str) -> None:
        """Remove a secret from code and message."""
        if not secret:
            return
        if self.code:
            self.code = self.code.replace(secret, REDACTED)
        if self.message:
            self.message = self.message.replace(secret, REDACTED)
        self.args = (self.message, self.code)

    def withhold(self, is_secret: Callable[[str], bool]) -> None:
        """Redact the whole code or message if it contains a secret."""
        if self.code and is_secret(self.code):
            self.code = REDACTED
        if self.message and is_secret(self.message):
            self.message = REDACTED
        self.args = (self.message, self.code)


class AuthenticationError(ModelStudioError):
    """The service rejects the API key (HTTP 401 or 403) or the AccessKey."""


class PermissionDeniedError(ModelStudioError):
    """The AccessKey is valid but lacks a permission.

    `action` is the missing RAM action, None if the service doesn't name it.
    """

    def __init__(
        self,
        message: str | None = None,
        *,
        code: str | None = None,
        action: str | None = None,
    ) -> None:
        """Create an error."""
        super().__init__(message, code=code)
        self.action = action


class ClockSkewError(ModelStudioError):
    """The service rejects a signature because this machine's clock is wrong."""


class RateLimitError(ModelStudioError):
    """The service throttles the account, or one of its quotas is used up.

    `retry_after` is how many seconds the service asks to wait, None if it doesn't ask.
    """

    retry_after: float | None = None


class FreeQuotaUsedUpError(RateLimitError):
    """The free quota is used up, and the account doesn't allow paid use."""


class BudgetExhaustedError(RateLimitError):
    """The budget set in the console is used up.

    The service refuses requests until the budget is raised or its next period begins.
    """


class AccountError(ModelStudioError):
    """The service reports another error.

    `status` is the HTTP status, which is 200 for some errors. `code` is `HTTP` and the
    status if the service sent no code.
    """

    def __init__(
        self, message: str | None = None, *, code: str | None = None, status: int = 200
    ) -> None:
        """Create an error."""
        super().__init__(message, code=code)
        self.status = status


class OverduePaymentError(AccountError):
    """The service has stopped the account because of an overdue payment."""


class ServiceNotEnabledError(AccountError):
    """The account has not activated the service or a model."""


class ConnectionFailure(StrEnum):
    """Why a request got no answer."""

    REFUSED = "refused"
    TIMED_OUT = "timed_out"
    LOST = "lost"
    """The connection was closed or reset before the answer was complete."""
    HOST_NOT_FOUND = "host_not_found"
    TLS = "tls"
    OTHER = "other"


_MESSAGES = {
    ConnectionFailure.REFUSED: "Connection refused by {host}",
    ConnectionFailure.TIMED_OUT: "No answer from {host} in time",
    ConnectionFailure.LOST: "Connection to {host} lost",
    ConnectionFailure.HOST_NOT_FOUND: "Host {host} not found",
    ConnectionFailure.TLS: "No secure connection to {host}",
    ConnectionFailure.OTHER: "No valid answer from {host}",
}


class ConnectionFailedError(ModelStudioError):
    """A request got no answer.

    `host` has the port unless it is the default one. The rest of the URL is left out,
    because the path of a Prometheus URL can be a secret.
    """

    def __init__(self, failure: ConnectionFailure, host: str) -> None:
        """Create an error."""
        super().__init__(_MESSAGES[failure].format(host=host))
        self.failure = failure
        self.host = host


class InvalidAnswerError(ModelStudioError):
    """The answer doesn't match the documentation, or is too large."""
