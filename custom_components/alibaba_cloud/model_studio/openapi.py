"""Alibaba Cloud's OpenAPI protocol: signed requests, and errors of their answers."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import aiohttp
from yarl import URL

from .answers import code_and_message, common_error, decode_answer, set_retry_after
from .errors import (
    AccountError,
    AuthenticationError,
    ClockSkewError,
    InvalidAnswerError,
    ModelStudioError,
    PermissionDeniedError,
)
from .http import Answer, Poll, request
from .models import AccessKey
from .signing import signed_headers
from .values import mapping_of, text_of

_INVALID_KEY_CODES = (
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "IncompleteSignature",
    "InvalidSecurityToken",
    # A temporary AccessKey needs a security token, which users can't enter.
    "MissingSecurityToken",
)
_CLOCK_CODES = ("InvalidTimeStamp", "IllegalTimestamp")
_NO_PERMISSION_CODES = ("NoPermission", "NotAuthorized", "Forbidden", "AccessDenied")
_BAD_REQUEST_STATUSES = (400, 413, 414)


async def call(
    poll: Poll,
    session: aiohttp.ClientSession,
    access_key: AccessKey,
    *,
    method: str,
    url: URL,
    action: str,
    version: str,
) -> Mapping[str, Any]:
    """Call an operation and return its answer.

    Raises `AuthenticationError`, `PermissionDeniedError`, `ClockSkewError`,
    `RateLimitError`, `AccountError`, `ConnectionFailedError` or `InvalidAnswerError`.
    """
    if not access_key.is_possible:
        raise AuthenticationError("This can't be an AccessKey")

    async def ask() -> Answer:
        # A retry needs a new signature, because the service accepts each one once.
        return await request(
            session,
            method,
            url,
            headers=signed_headers(
                access_key,
                method=method,
                url=url,
                action=action,
                version=version,
                now=datetime.now(UTC),
                nonce=uuid4().hex,
            ),
            secrets=(access_key.secret,),
        )

    answer = await poll.ask(ask)
    try:
        return parse_openapi(answer)
    except ModelStudioError as err:
        err.redact(access_key.secret)
        set_retry_after(err, answer.headers)
        raise


def parse_openapi(answer: Answer) -> Mapping[str, Any]:
    """Return the body of a successful answer.

    Raises `InvalidAnswerError`, or the error for the status and the `code`.
    """
    try:
        body = mapping_of(decode_answer(answer.body))
    except InvalidAnswerError:
        if answer.status == 200:
            raise
        body = {}
    code, message = code_and_message(body)
    if answer.status == 200 and _is_success(body, code):
        return body
    if code in (None, "200", "Success"):
        code = f"HTTP {answer.status}"
    if err := common_error(answer.status, code, message):
        raise err
    if code.startswith(_CLOCK_CODES):
        raise ClockSkewError(message, code=code)
    if code.startswith(_INVALID_KEY_CODES) or answer.status == 401:
        raise AuthenticationError(message, code=code)
    if code.startswith(_NO_PERMISSION_CODES) or answer.status == 403:
        detail = mapping_of(
            body.get("AccessDeniedDetail") or body.get("accessDeniedDetail")
        )
        raise PermissionDeniedError(
            message, code=code, action=text_of(detail.get("AuthAction"))
        )
    raise AccountError(message, code=code, status=answer.status)


def _is_success(body: Mapping[str, Any], code: str | None) -> bool:
    """Return whether an answer with HTTP 200 reports success."""
    success = body.get("success", body.get("Success"))
    if success is None:
        return code in (None, "200", "Success")
    return success in (True, "true")


def is_refused(err: AccountError) -> bool:
    """Return whether the service refuses the parameters of a request.

    If it does, the same request always fails again. Services behind the gateway refuse
    with HTTP 200.
    """
    return err.status in _BAD_REQUEST_STATUSES or (err.code or "").startswith(
        ("400", "Invalid")
    )
