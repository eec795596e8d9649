"""What a caller of the client can tell apart."""

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


class ConnectionFailedError(ModelStudioError):
    """No answer: time-out, reset, DNS or TLS failure."""


class InvalidAnswerError(ModelStudioError):
    """An answer that is not what the service documents, or is too large."""
