"""Tests of the errors."""

from typing import Any

import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccountError,
    AuthenticationError,
    ConnectionFailedError,
    ConnectionFailure,
    ModelStudioError,
    PermissionDeniedError,
    RateLimitError,
)

from .common import REDACTED, SECRET, texts


@pytest.mark.parametrize(
    ("message", "code", "text"),
    [
        (None, None, ""),
        ("It broke.", None, "It broke."),
        (None, "HTTP 502", "HTTP 502"),
        ("It broke.", "E1", "E1: It broke."),
    ],
)
@pytest.mark.parametrize(
    "kind", [ModelStudioError, AccountError, PermissionDeniedError, RateLimitError]
)
def test_text(
    kind: type[Any], message: str | None, code: str | None, text: str
) -> None:
    """An error's text is `code: message`, also after redacting other secrets."""
    err = kind(message, code=code)
    assert err.args == (message, code)
    for secret in ("", SECRET):
        err.redact(secret)
        assert str(err) == text
        assert err.args == (err.message, err.code) == (message, code)


def test_redact() -> None:
    err = AuthenticationError(f"{SECRET}! {SECRET}", code=f"E.{SECRET}")
    err.redact(SECRET)
    assert str(err) == f"E.{REDACTED}: {REDACTED}! {REDACTED}"
    assert err.args == (err.message, err.code)
    assert SECRET not in texts(err)


@pytest.mark.parametrize(
    ("code", "message"), [("secret", "Why."), ("E1", "A secret."), (None, None)]
)
def test_withhold(code: str | None, message: str | None) -> None:
    """A code or message with a secret is redacted as a whole."""
    err = ModelStudioError(message, code=code)
    err.withhold(lambda text: "secret" in text)
    assert err.code == (REDACTED if code == "secret" else code)
    assert err.message == (REDACTED if message == "A secret." else message)
    assert err.args == (err.message, err.code)


def test_status() -> None:
    assert AccountError().status == 200
    assert AccountError(code="HTTP 502", status=502).status == 502


def test_missing_permission() -> None:
    assert PermissionDeniedError("No.", action="bss:Query").action == "bss:Query"
    assert PermissionDeniedError("No.").action is None


def test_no_retry_after() -> None:
    assert RateLimitError().retry_after is None


@pytest.mark.parametrize(
    ("failure", "text"),
    [
        (ConnectionFailure.REFUSED, "Connection refused by a.example:8443"),
        (ConnectionFailure.TIMED_OUT, "No answer from a.example:8443 in time"),
        (ConnectionFailure.LOST, "Connection to a.example:8443 lost"),
        (ConnectionFailure.HOST_NOT_FOUND, "Host a.example:8443 not found"),
        (ConnectionFailure.TLS, "No secure connection to a.example:8443"),
        (ConnectionFailure.OTHER, "No valid answer from a.example:8443"),
    ],
)
def test_connection_failure(failure: ConnectionFailure, text: str) -> None:
    err = ConnectionFailedError(failure, "a.example:8443")
    assert (str(err), err.failure, err.host) == (text, failure, "a.example:8443")
