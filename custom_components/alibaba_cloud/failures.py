"""Maps the errors of the clients to a status, a text and the time of the next poll."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
import re

from homeassistant.core import HomeAssistant, callback
from homeassistant.exceptions import (
    ConfigEntryAuthFailed,
    ConfigEntryNotReady,
    HomeAssistantError,
)
from homeassistant.helpers.translation import async_get_cached_translations
from homeassistant.helpers.update_coordinator import UpdateFailed

from .const import DOMAIN
from .model_studio import (
    AccountError,
    AuthenticationError,
    BudgetExhaustedError,
    ClockSkewError,
    ConnectionFailedError,
    FreeQuotaUsedUpError,
    InvalidAnswerError,
    ModelStudioError,
    OverduePaymentError,
    PermissionDeniedError,
    RateLimitError,
    ServiceNotEnabledError,
    plain_text,
)

REJECTED_KEY_INTERVAL = timedelta(minutes=5)
SHORTEST_WAIT = timedelta(seconds=30)
FIRST_BACKOFF = timedelta(minutes=1)
LONGEST_BACKOFF = timedelta(minutes=15)
LONGEST_RETRY_AFTER = timedelta(hours=1)
INVALID_ACCESS_KEY = "invalid_access_key"


class Status(StrEnum):
    """The result of the last poll."""

    OK = "ok"
    AUTH = "auth"
    LIMITED = "limited"
    ERROR = "error"


class MissingVariableError(AuthenticationError):
    """The environment variable that should hold the API key is not set."""

    def __init__(self, variable: str) -> None:
        """Name the variable."""
        super().__init__(f"{variable} is not set")
        self.variable = variable


FAILURES: Mapping[type[ModelStudioError], tuple[Status, str]] = {
    AuthenticationError: (Status.AUTH, "invalid_auth"),
    MissingVariableError: (Status.AUTH, "environment_variable_missing"),
    PermissionDeniedError: (Status.ERROR, "missing_permission"),
    ClockSkewError: (Status.ERROR, "clock_skew"),
    RateLimitError: (Status.LIMITED, "rate_limited"),
    FreeQuotaUsedUpError: (Status.LIMITED, "free_quota_used_up"),
    BudgetExhaustedError: (Status.LIMITED, "budget_exhausted"),
    AccountError: (Status.ERROR, "account_unavailable"),
    OverduePaymentError: (Status.ERROR, "arrearage"),
    ServiceNotEnabledError: (Status.ERROR, "service_not_enabled"),
    ConnectionFailedError: (Status.ERROR, "cannot_connect"),
    InvalidAnswerError: (Status.ERROR, "invalid_answer"),
}
"""The status of each error, and the translation key of its text."""

_MARKDOWN = re.compile(r"[\\`*_\[\]<>&#~@]|:(?=//)|(?<=www)\.", re.IGNORECASE)
"""Characters of Markdown links, images, HTML and formatting, and of bare addresses."""


def form_error(err: ModelStudioError) -> str:
    """Return the translation key of an API key's error in a form.

    A missing page has its own text: the base URL is wrong. All others are in `FAILURES`.
    """
    if type(err) is AccountError and err.status == HTTPStatus.NOT_FOUND:
        return "not_found"
    return FAILURES[type(err)][1]


def poll_error(err: ModelStudioError) -> tuple[str, dict[str, str]]:
    """Return the translation key and the placeholders of an error."""
    if isinstance(err, ConnectionFailedError):
        return f"connection_{err.failure}", {"host": err.host}
    if isinstance(err, MissingVariableError):
        return "environment_variable_missing", {"variable": err.variable}
    return FAILURES[type(err)][1], {"error": str(err)}


@callback
def describe(hass: HomeAssistant, err: BaseException) -> str:
    """Return the text of an error in Home Assistant's language, else the service's own.

    It is plain text.
    """
    if isinstance(err, ConnectionFailedError):
        key, placeholders = poll_error(err)
    elif isinstance(err, HomeAssistantError) and err.translation_key:
        key, placeholders = err.translation_key, err.translation_placeholders or {}
    else:
        return str(err)
    texts = async_get_cached_translations(
        hass, hass.config.language, "exceptions", DOMAIN
    )
    text = texts.get(f"component.{DOMAIN}.exceptions.{key}.message")
    return text.format(**placeholders).rstrip(".") if text else str(err)


def escape_markdown(text: str) -> str:
    """Return Markdown that shows a text unchanged, without links, images or HTML."""
    return _MARKDOWN.sub(r"\\\g<0>", plain_text(text))


class PollFailed(UpdateFailed):
    """A poll that failed."""

    def __init__(
        self,
        status: Status,
        translation_key: str,
        placeholders: dict[str, str],
        retry_after: timedelta | None = None,
    ) -> None:
        """Keep the status and the text of the error."""
        super().__init__(
            translation_domain=DOMAIN,
            translation_key=translation_key,
            translation_placeholders=placeholders,
            retry_after=None if retry_after is None else retry_after.total_seconds(),
        )
        self.status = status


class Backoff:
    """The time to wait before polling a service that throttles again."""

    def __init__(self) -> None:
        """Start with the shortest time."""
        self._next = FIRST_BACKOFF

    def reset(self) -> None:
        """Start with the shortest time again."""
        self._next = FIRST_BACKOFF

    def wait(self, retry_after: float | None) -> timedelta:
        """Return how long to wait before the next poll.

        That is `retry_after` (seconds), but at least 30 seconds and at most 1 hour.
        Without it, 1 minute, doubled each time, at most 15 minutes.
        """
        if retry_after is not None:
            return min(
                max(timedelta(seconds=min(retry_after, 1e9)), SHORTEST_WAIT),
                LONGEST_RETRY_AFTER,
            )
        wait = self._next
        self._next = min(wait * 2, LONGEST_BACKOFF)
        return wait


def poll_failure(
    err: ModelStudioError,
    *,
    interval: timedelta,
    retry_interval: timedelta | None,
    permission: str | None,
    backoff: Backoff,
) -> PollFailed:
    """Return the status and text of an error, and when to poll again.

    `permission` is what the AccessKey needs to read the source, None for the API key.
    """
    status = FAILURES[type(err)][0]
    key, placeholders = poll_error(err)
    if permission is not None:
        placeholders["permission"] = permission
    if isinstance(err, RateLimitError):
        return PollFailed(status, key, placeholders, backoff.wait(err.retry_after))
    backoff.reset()
    if status is Status.AUTH:
        usual = interval if retry_interval is None else retry_interval
        retry_interval = max(usual, REJECTED_KEY_INTERVAL)
        if permission is not None:
            key = INVALID_ACCESS_KEY
    return PollFailed(status, key, placeholders, retry_interval)


def setup_error(status: Status, err: BaseException | None) -> HomeAssistantError:
    """Return the error of a setup whose first poll failed."""
    kind = ConfigEntryAuthFailed if status is Status.AUTH else ConfigEntryNotReady
    if not isinstance(err, PollFailed):
        return kind()
    return kind(
        translation_domain=err.translation_domain,
        translation_key=err.translation_key,
        translation_placeholders=err.translation_placeholders,
    )
