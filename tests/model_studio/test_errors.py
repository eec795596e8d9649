"""Tests of the errors."""

import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccountError,
    AuthenticationError,
    ModelStudioError,
    PermissionDeniedError,
    RateLimitError,
)

from .common import REDACTED, SECRET, texts


@pytest.mark.parametrize(
    ("err", "text"),
    [
        (ModelStudioError(), ""),
        (ModelStudioError("It broke."), "It broke."),
        (AccountError("It broke.", code="E1"), "E1: It broke."),
        (AccountError(code="HTTP 502", status=502), "HTTP 502"),
        (RateLimitError("Wait.", code="Throttling"), "Throttling: Wait."),
    ],
    ids=lambda value: type(value).__name__,
)
def test_text(err: ModelStudioError, text: str) -> None:
    """Code and message are one line, and other secrets change nothing."""
    for secret in ("", SECRET):
        err.redact(secret)
        assert str(err) == text
        assert err.args == (err.message, err.code)


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
    err = PermissionDeniedError("No.", code="NoPermission", action="bss:Query")
    assert (str(err), err.action) == ("NoPermission: No.", "bss:Query")
