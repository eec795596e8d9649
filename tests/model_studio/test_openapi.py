"""Tests of the OpenAPI protocol: errors, signatures and the secret."""

from collections.abc import Callable, Mapping
from datetime import timedelta
import json
import logging
from typing import Any

import aiohttp
import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccessKey,
    AccountError,
    AuthenticationError,
    BalanceClient,
    BillingClient,
    ClockSkewError,
    ConnectionFailedError,
    InvalidAnswerError,
    ModelStudioError,
    OverduePaymentError,
    PermissionDeniedError,
    RateLimitError,
    ServiceNotEnabledError,
    is_refused,
)
from custom_components.alibaba_cloud.model_studio.http import Answer
from custom_components.alibaba_cloud.model_studio.openapi import parse_openapi
from tests.simulator import Fault, Simulator
from tests.simulator.faults import Refusal

from .common import SECRET, TODAY, failure, texts


def error_of(status: int, body: Any) -> ModelStudioError:
    """Return the error for an answer."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    with pytest.raises(ModelStudioError) as caught:
        parse_openapi(Answer(status, {}, raw))
    return caught.value


@pytest.mark.parametrize("form", [("Code", "Message"), ("code", "message")])
@pytest.mark.parametrize(
    ("status", "code", "error"),
    [
        (404, "InvalidAccessKeyId.NotFound", AuthenticationError),
        (400, "InvalidAccessKeyId.Inactive", AuthenticationError),
        (403, "InvalidAccessKeyId", AuthenticationError),
        (400, "SignatureDoesNotMatch", AuthenticationError),
        (400, "IncompleteSignature", AuthenticationError),
        (400, "InvalidSecurityToken.Expired", AuthenticationError),
        (401, "Unauthorized", AuthenticationError),
        (400, "InvalidTimeStamp.Expired", ClockSkewError),
        (400, "InvalidTimeStamp.Format", ClockSkewError),
        (400, "IllegalTimestamp", ClockSkewError),
        (403, "NoPermission", PermissionDeniedError),
        (200, "NotAuthorized", PermissionDeniedError),
        (400, "Forbidden.RAM", PermissionDeniedError),
        (403, "AccessDenied", PermissionDeniedError),
        (403, "Whatever", PermissionDeniedError),
        (400, "Throttling.User", RateLimitError),
        (200, "Throttling.Api", RateLimitError),
        (429, "TooManyRequests", RateLimitError),
        (429, "NoPermission", RateLimitError),
        (200, "NotApplicable", AccountError),
        (400, "MissingSecurityToken", AuthenticationError),
        (403, "AccessDenied.Unpurchased", ServiceNotEnabledError),
        (403, "Arrearage", OverduePaymentError),
        (400, "InvalidParameter", AccountError),
        (400, "SignatureNonceUsed", AccountError),
        (404, "InvalidAction.NotFound", AccountError),
        (500, "InternalError", AccountError),
        (503, "ServiceUnavailable", AccountError),
    ],
)
def test_error_codes(
    form: tuple[str, str], status: int, code: str, error: type[ModelStudioError]
) -> None:
    """The code or the status decides the error, in both spellings of the fields."""
    body = {form[0]: code, form[1]: "Why", "Success": False}
    err = error_of(status, body)
    assert type(err) is error
    assert (err.code, err.message) == (code, "Why")
    assert getattr(err, "status", status) == status


@pytest.mark.parametrize(
    ("status", "body", "error", "text"),
    [
        (500, b"<html>500</html>", AccountError, "HTTP 500"),
        (502, b"", AccountError, "HTTP 502"),
        (302, b"", AccountError, "HTTP 302"),
        (204, b"", AccountError, "HTTP 204"),
        (500, [], AccountError, "HTTP 500"),
        (500, {"code": ["?"], "message": {}}, AccountError, "HTTP 500"),
        (500, {"code": "200", "success": True}, AccountError, "HTTP 500"),
        (500, {"code": "Success"}, AccountError, "HTTP 500"),
        (401, b"", AuthenticationError, "HTTP 401"),
        (403, b"<html>", PermissionDeniedError, "HTTP 403"),
        (429, b"<html>", RateLimitError, "HTTP 429"),
        # Errors with status 200.
        (200, {"success": False}, AccountError, "HTTP 200"),
        (200, {"code": "200", "success": False}, AccountError, "HTTP 200"),
        (200, {"success": "no", "message": "Why"}, AccountError, "HTTP 200: Why"),
        (200, {"code": 500, "message": "Why"}, AccountError, "500: Why"),
        (200, {"Code": "Busy", "Success": False}, AccountError, "Busy"),
        (200, b"<html>", InvalidAnswerError, "The answer is not JSON"),
        (200, b"", InvalidAnswerError, "The answer is not JSON"),
    ],
)
def test_errors_without_a_valid_code(
    status: int, body: Any, error: type[ModelStudioError], text: str
) -> None:
    """Without a valid code, the status replaces the code."""
    err = error_of(status, body)
    assert (type(err), str(err)) == (error, text)


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"success": True},
        {"success": "true", "code": "Success"},
        {"code": "200"},
        {"code": 200},
        {"Code": "Success"},
        {"Success": True, "Code": "Fine"},
        [],
        None,
    ],
)
def test_success(body: Any) -> None:
    """All spellings of success are accepted; missing figures are no error here."""
    answer = Answer(200, {}, json.dumps(body).encode())
    assert parse_openapi(answer) == (body or {})


@pytest.mark.parametrize("name", ["AccessDeniedDetail", "accessDeniedDetail"])
@pytest.mark.parametrize(
    ("detail", "action"),
    [
        (
            {"AuthAction": "modelstudio:GetBillingTrend", "PolicyType": "?"},
            "modelstudio:GetBillingTrend",
        ),
        ({"AuthAction": ["?"]}, None),
        ("?", None),
        (None, None),
    ],
)
def test_missing_permission(name: str, detail: Any, action: str | None) -> None:
    err = error_of(403, {"Code": "NoPermission", name: detail})
    assert isinstance(err, PermissionDeniedError)
    assert err.action == action


def _unknown(simulator: Simulator) -> None:
    simulator.access_keys = {"LTAI5tOther": SECRET}


def _inactive(simulator: Simulator) -> None:
    simulator.inactive_access_keys = {"LTAI5tSimulator"}


def _other_secret(simulator: Simulator) -> None:
    simulator.access_keys = {"LTAI5tSimulator": SECRET.swapcase()}


def _clock_ahead(simulator: Simulator) -> None:
    simulator.clock_offset = timedelta(minutes=16)


def _denied(simulator: Simulator) -> None:
    simulator.denied = {"GetBillingTrend", "QueryAccountBalance"}


@pytest.mark.parametrize(
    ("spoil", "error", "code"),
    [
        (_unknown, AuthenticationError, "InvalidAccessKeyId.NotFound"),
        (_inactive, AuthenticationError, "InvalidAccessKeyId.Inactive"),
        (_other_secret, AuthenticationError, "SignatureDoesNotMatch"),
        (_clock_ahead, ClockSkewError, "InvalidTimeStamp.Expired"),
        (_denied, PermissionDeniedError, "NoPermission|NotAuthorized"),
    ],
)
async def test_rejected_signature(
    simulator: Simulator,
    billing: BillingClient,
    balance: BalanceClient,
    spoil: Callable[[Simulator], None],
    error: type[ModelStudioError],
    code: str,
) -> None:
    """The simulator checks every part of the signature."""
    spoil(simulator)
    for call in (billing.get_month(TODAY), balance.get_balance()):
        with pytest.raises(error, match=code):
            await call
    assert len(simulator.signed_requests) == 2


@pytest.mark.parametrize(
    ("fault", "error", "requests"),
    [
        (Fault.RESET, ConnectionFailedError, 2),
        (Fault.CUT, ConnectionFailedError, 2),
        (Fault.HUGE, InvalidAnswerError, 1),
        (Fault.HTML, InvalidAnswerError, 1),
        (Fault.GARBAGE, InvalidAnswerError, 1),
        (Fault.TRUNCATED, InvalidAnswerError, 1),
        (Fault.EMPTY, InvalidAnswerError, 1),
        (Fault.NULL, InvalidAnswerError, 1),
        (Fault.LIST, InvalidAnswerError, 1),
        (Fault.WRONG_TYPES, InvalidAnswerError, 1),
        (Fault.BAD_GATEWAY, AccountError, 1),
        (Fault.SERVER_ERROR, AccountError, 1),
        (Fault.ERROR_CODE, AccountError, 1),
        (Fault.REDIRECT, AccountError, 1),
        (Fault.THROTTLED, RateLimitError, 1),
    ],
)
async def test_faults(
    simulator: Simulator,
    billing: BillingClient,
    balance: BalanceClient,
    fault: Fault,
    error: type[ModelStudioError],
    requests: int,
) -> None:
    """Only a failed connection is retried; each request has a new nonce."""
    simulator.fail(fault, at="billing")
    with pytest.raises(error) as spend:
        await billing.get_month(TODAY)
    simulator.fail(fault, at="balance")
    with pytest.raises(error) as left:
        await balance.get_balance()
    assert type(spend.value) is type(left.value) is error
    nonces = {r.headers["x-acs-signature-nonce"] for r in simulator.signed_requests}
    assert len(simulator.signed_requests) == len(nonces) == 2 * requests
    assert simulator.redirect_target_hits == 0


async def test_retry(
    simulator: Simulator, billing: BillingClient, balance: BalanceClient
) -> None:
    """The retry of a broken connection has a new nonce."""
    simulator.fail(Fault.RESET, at="billing", times=1)
    simulator.fail(Fault.RESET, at="balance", times=1)
    await billing.get_month(TODAY)
    await balance.get_balance()
    nonces = {r.headers["x-acs-signature-nonce"] for r in simulator.signed_requests}
    assert len(simulator.signed_requests) == len(nonces) == 4


@pytest.mark.parametrize(
    ("status", "code", "refused"),
    [
        (400, "Whatever", True),
        (413, "Whatever", True),
        (414, "Whatever", True),
        (200, "400", True),
        (200, "InvalidParameter.Values", True),
        (200, "SystemError", False),
        (404, "NotFound", False),
        (500, "InternalError", False),
        (500, None, False),
    ],
)
def test_refused_parameters(status: int, code: str | None, refused: bool) -> None:
    assert is_refused(AccountError(code=code, status=status)) is refused


async def test_retry_after(simulator: Simulator, billing: BillingClient) -> None:
    """The time to wait is read from the gateway's header in milliseconds."""
    simulator.fail(Fault.THROTTLED, at="billing", retry_after=2500)
    err = await failure(billing.get_month(TODAY))
    assert isinstance(err, RateLimitError)
    assert err.retry_after == 2.5


async def test_unreachable_service(
    simulator: Simulator, billing: BillingClient, balance: BalanceClient
) -> None:
    await simulator.stop()
    for call in (billing.get_month(TODAY), balance.get_balance()):
        assert type(await failure(call)) is ConnectionFailedError
    assert simulator.signed_requests == []


async def test_timeout(
    simulator: Simulator, billing: BillingClient, short_timeout: None
) -> None:
    simulator.fail(Fault.HANG, at="billing")
    with pytest.raises(ConnectionFailedError, match="No answer"):
        await billing.get_month(TODAY)
    assert len(simulator.signed_requests) == 2


@pytest.mark.parametrize(
    ("access_key_id", "secret"),
    [
        ("", SECRET),
        ("LTAI 5t", SECRET),
        (" LTAI5t", SECRET),
        ("LTAI5t\n", SECRET),
        ("LTAI5t,SignedHeaders=host", SECRET),
        ("LTAI5t:x", SECRET),
        ("LTAI5tÄ", SECRET),
        ("LTAI5t", ""),
        ("LTAI5t", f"{SECRET} "),
        ("LTAI5t", f"{SECRET}\n"),
        ("LTAI5t", f"{SECRET}\u200b"),
        ("LTAI5t", f"{SECRET}\ud800"),
    ],
)
async def test_invalid_access_key_is_not_sent(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    access_key_id: str,
    secret: str,
) -> None:
    key = AccessKey(id=access_key_id, secret=secret)
    url = simulator.openapi_url
    billing = BillingClient(session, endpoint=url, access_key=key)
    balance = BalanceClient(session, endpoints=[url], access_key=key)
    for call in (billing.get_month(TODAY), balance.get_balance()):
        err = await failure(call)
        assert type(err) is AuthenticationError
        assert str(err) == "This can't be an AccessKey"
        assert SECRET not in texts(err)
    assert simulator.signed_requests == []


@pytest.mark.parametrize("secret", [SECRET, "s3cr3t"])
@pytest.mark.parametrize("status", [200, 400, 403, 429, 500])
async def test_repeated_secret_is_redacted(
    simulator: Simulator,
    session: aiohttp.ClientSession,
    caplog: pytest.LogCaptureFixture,
    secret: str,
    status: int,
) -> None:
    """A secret that the service repeats is in neither errors nor logs."""
    caplog.set_level(logging.DEBUG)
    escaped = secret.replace("c", "\\u0063")

    def refuse(query: Mapping[str, str]) -> bytes:
        raise Refusal(
            status,
            f"Bad.{secret}",
            f"{secret}{secret}",
            {"AccessDeniedDetail": {"AuthAction": "ram:Some"}},
        )

    simulator.access_keys = {"LTAI5t": secret}
    client = BillingClient(
        session,
        endpoint=simulator.openapi_url,
        access_key=AccessKey(id="LTAI5t", secret=secret),
    )
    for body in (
        refuse,
        f'{{"code": "Bad", "success": false, "message": "{escaped}"}}',
        f'{{"data": {{"resultByTime": "{escaped}"}}}}',
        f"<html>{secret}</html>",
    ):
        simulator.trend_body = body
        assert secret not in texts(await failure(client.get_month(TODAY)))
        assert simulator.signed_requests
    assert secret not in caplog.text
    for request in simulator.signed_requests:
        assert secret not in str(request)
