"""Tests of the parts that the answers of all services share."""

import json
from math import inf, isfinite
from random import Random
from typing import Any, Final
from xml.sax.saxutils import escape

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.model_studio import (
    AccountError,
    BudgetExhaustedError,
    FreeQuotaUsedUpError,
    InvalidAnswerError,
    ModelStudioError,
    OverduePaymentError,
    RateLimitError,
    ServiceNotEnabledError,
)
from custom_components.alibaba_cloud.model_studio.answers import (
    code_and_message,
    common_error,
    decode_answer,
    seconds_to_wait,
    set_retry_after,
)

from .common import HTML, NOW, short

# Hypothesis warns about its own random number generator.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        HTML,
        b"OK",
        b"{'code': 'Success'}",
        b'{"code": "Success"',
        b'{"code": "Success"}}',
        b'{"code": "Success"} trailing',
        b'{"code": "Success"}{"code": "Success"}',
        b'{"credits": 01}',
        b'{"credits": +1}',
        b'{"credits": .5}',
        b'{"credits": 1,}',
        b'{"code": "Success" // a comment\n}',
        b'{"credits": "\xff"}',
        b'{"credits": "\n\x01"}',
        b"\x00" * 64,
        b"\xff" * 64,
        b"\x1f\x8b\x08\x00",
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"data":' * 100_000,
        # Half of a surrogate pair.
        b'"\\ud800"',
        b'{"\\udfff": 1}',
        b'[{"model": "\\ud83d"}]',
        # Neither an event nor XML with a code.
        b"data: none\n\n",
        b"event: error\n\n",
        b"<?xml version='1.0'?><Error/>",
        b"<Error><Code>A<b/></Code></Error>",
        b"<html><Code>A</Code></html>",
    ],
    ids=lambda body: f"{len(body)}: {short(body)}",
)
def test_invalid_body(body: bytes) -> None:
    with pytest.raises(InvalidAnswerError):
        decode_answer(body)


@pytest.mark.parametrize(
    ("body", "value"),
    [
        (b"\xef\xbb\xbf{}", {}),
        (b'"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        (b'{"a": 1, "a": 2}', {"a": 2}),
        (b'{"a": NaN, "a": 2}', {"a": 2}),
        (b"[NaN, Infinity, -Infinity, 1]", [None, None, None, 1]),
        (b"[1e999]", [inf]),
        (b"[%s, NaN]" % (b"9" * 399), [int("9" * 399), None]),
        (b"[%s, NaN]" % (b"9" * 400), [None, None]),
        (b"[%s, 1]" % (b"9" * 5000), [None, 1]),
        (b"\xef\xbb\xbf <Error><Code>A</Code></Error>", {"code": "A"}),
    ],
    ids=short,
)
def test_lenient_json(body: bytes, value: Any) -> None:
    """Invalid or huge numbers become null; the rest of the answer is kept."""
    assert decode_answer(body) == value


TEXTS: Final = st.text(
    st.characters(exclude_categories=["Cs", "Cc", "Cf", "Zl", "Zp", "Zs"]),
    min_size=1,
    max_size=30,
)


@given(code=TEXTS, message=TEXTS)
def test_error_in_every_format(code: str, message: str) -> None:
    """JSON, nested JSON, an event stream and XML have the same code and message."""
    plain = {"code": code, "message": message}
    text = json.dumps(plain, ensure_ascii=False)
    xml = f"<Code>{escape(code)}</Code><Message>\n {escape(message)}\n</Message>"
    bodies = [
        text,
        json.dumps({"error": plain}),
        json.dumps({"Code": code, "Message": message}),
        f"id:1\nevent:error\ndata:{text}\n\n",
        f"event: error\r\ndata: {json.dumps({'error': plain})}\r\n\r\n",
        f"<?xml version='1.0'?>\n<Error>{xml}</Error>",
    ]
    if "]]>" not in message:
        bodies.append(
            f"<Error><Message><![CDATA[{message}]]></Message>"
            f"<Code>{escape(code)}</Code></Error>"
        )
    for body in bodies:
        assert code_and_message(decode_answer(body.encode())) == (code, message)


def test_entities_of_xml_are_not_expanded() -> None:
    entities = "".join(f'<!ENTITY e{n} "{f"&e{n - 1};" * 10}">' for n in range(1, 12))
    body = f'<?xml version="1.0"?><!DOCTYPE Error [<!ENTITY e0 "x">{entities}]>'
    answer = decode_answer(f"{body}<Error><Code>&e11;</Code></Error>".encode())
    assert answer == {"code": "&e11;"}


@pytest.mark.parametrize(
    ("answer", "code", "message"),
    [
        ({}, None, None),
        ({"code": "E1", "message": "Why.", "request_id": "1"}, "E1", "Why."),
        ({"code": "E1"}, "E1", None),
        ({"code": "E1", "message": ""}, "E1", None),
        ({"code": "", "message": None}, None, None),
        ({"code": "E1", "message": ["a"]}, "E1", None),
        ({"code": {}, "message": []}, None, None),
        ({"code": True, "message": False}, None, None),
        ({"code": "E1", "message": 5}, "E1", "5"),
        ({"code": 500, "message": "Why."}, "500", "Why."),
        ({"code": "E1", "message": " on\r\n two\tlines "}, "E1", "on two lines"),
        ({"error": "It broke."}, None, "It broke."),
        ({"error": 13}, None, "13"),
        ({"error": ["It broke."]}, None, None),
        ({"error": {"reason": "unknown"}}, None, None),
        ({"error": {"code": [], "message": {}}}, None, None),
        ({"error": {"code": "E2", "message": "It broke."}}, "E2", "It broke."),
        ({"error": {"code": 42, "message": {}}}, "42", None),
        ({"error": {"code": "E2"}, "message": "Why."}, "E2", "Why."),
        ({"error": {"message": "It broke."}, "code": "E1"}, "E1", "It broke."),
        ({"code": "E1", "message": "Why.", "error": True}, "E1", "Why."),
        ({"code": "E1", "message": "Why.", "error": "It broke."}, "E1", "It broke."),
        ({"code": "E1", "error": {"code": "E2"}}, "E2", None),
    ],
    ids=short,
)
def test_code_and_message(
    answer: dict[str, Any], code: str | None, message: str | None
) -> None:
    assert code_and_message(answer) == (code, message)


ANY_STATUS = (200, 400, 401, 403, 404, 429, 500)


@pytest.mark.parametrize(
    ("statuses", "code", "kind"),
    [
        (ANY_STATUS, "Arrearage", OverduePaymentError),
        (ANY_STATUS, "arrearage", OverduePaymentError),
        (ANY_STATUS, "Arrearage.Postpaid", OverduePaymentError),
        (ANY_STATUS, "AccessDenied.Unpurchased", ServiceNotEnabledError),
        (ANY_STATUS, "Throttling", RateLimitError),
        (ANY_STATUS, "Throttling.RateQuota", RateLimitError),
        ((403, 429), "AllocationQuota", RateLimitError),
        ((403, 429), "AllocationQuota.FreeTierOnly", FreeQuotaUsedUpError),
        ((200, 400, 401, 404, 500), "AllocationQuota.FreeTierOnly", None),
        ((403,), "Model.AllocationQuota", None),
        ((429,), "insufficient_quota", RateLimitError),
        ((429,), "InvalidApiKey", RateLimitError),
        ((200, 400, 401, 403, 404, 500), "InvalidApiKey", None),
        ((403,), "AccessDenied", None),
    ],
)
def test_common_error(
    statuses: tuple[int, ...], code: str, kind: type[ModelStudioError] | None
) -> None:
    for status in statuses:
        err = common_error(status, code, "Why.")
        if kind is None:
            assert err is None
            continue
        assert type(err) is kind
        assert str(err) == f"{code}: Why."
        assert getattr(err, "status", status) == status


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("The configured budget has been exhausted.", BudgetExhaustedError),
        ("Budget used up for workspace llm-1; raise it.", BudgetExhaustedError),
        ("You have used up your monthly budget.", BudgetExhaustedError),
        ("The monthly\nbudget is depleted.", BudgetExhaustedError),
        ("您配置的预算已用尽，请提升预算或等待重置。", BudgetExhaustedError),
        ("本月预算额度已耗尽", BudgetExhaustedError),
        ("您設定的預算已用盡", BudgetExhaustedError),
        ("You exceeded your current quota, please check your plan.", RateLimitError),
        ("Requests rate limit exceeded. Budget your calls.", RateLimitError),
        ("Your free quota is exhausted.", RateLimitError),
        ("The 5-hour allowance returns at 14:00.", RateLimitError),
        ("请求过于频繁，请稍后再试", RateLimitError),
        ("额度已用尽", RateLimitError),
        (None, RateLimitError),
    ],
)
@pytest.mark.parametrize("code", ["insufficient_quota", "Throttling.Budget"])
def test_exhausted_budget(
    message: str | None, kind: type[ModelStudioError], code: str
) -> None:
    """The message identifies an exhausted budget, as no code for it is documented."""
    err = common_error(429, code, message)
    assert type(err) is kind
    assert err.message == message


def wait(retry_after: str) -> float | None:
    """Return the time to wait of a Retry-After header, in seconds."""
    return seconds_to_wait({"Retry-After": retry_after}, NOW)


@pytest.mark.parametrize(
    ("retry_after", "seconds"),
    [
        ("1", 1.0),
        (" 30 ", 30.0),
        ("2.5", 2.5),
        ("86400", 86_400.0),
        ("99999999", 99_999_999.0),
        *(
            (text, None)
            for text in (
                *("", " ", "0", "-1", "-0", "9" * 30, "9" * 5000),
                *("1e999", "1e9999999", "-1e9999999", "NaN", "Infinity"),
                *("soon", "30 seconds", "12:01", "[30]", "\x00", "é"),
            )
        ),
        ("Sat, 15 Aug 2026 12:01:00 GMT", 60.0),
        ("Sat, 15 Aug 2026 12:01:00 UTC", 60.0),
        ("Sat, 15 Aug 2026 20:01:00 +0800", 60.0),
        ("Sat, 15 Aug 2026 12:01:00 -0000", 60.0),
        ("Sat, 15 Aug 2026 12:01:00", 60.0),
        ("15 Aug 2026 12:01:00 GMT", 60.0),
        ("Saturday, 15-Aug-26 12:01:00 GMT", 60.0),
        ("Sat Aug 15 12:01:00 2026", 60.0),
        ("Sun, 16 Aug 2026 12:00:00 GMT", 86_400.0),
        ("Sat, 15 Aug 2026 12:00:00 GMT", None),
        ("Sat, 15 Aug 2026 11:59:59 GMT", None),
        ("Thu, 01 Jan 1970 00:00:00 GMT", None),
        ("Mon, 01 Jan 0001 00:00:00 +2359", None),
        ("Sat, 32 Aug 2026 12:01:00 GMT", None),
        ("Sat, 15 Aug 2026 25:01:00 GMT", None),
        ("Sat, 15 Aug 99999 12:01:00 GMT", None),
        ("Sat, 15 Aug 99999999999999999999 12:01:00 GMT", None),
        ("Sat, 15 Aug 2026 12:01:00 +99999999999999", None),
    ],
    ids=short,
)
def test_retry_after(retry_after: str, seconds: float | None) -> None:
    """Seconds and dates are accepted; a date without a time zone is in UTC."""
    found = wait(retry_after)
    assert found == seconds
    assert type(found) is type(seconds)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"x-acs-retry-after": "2500"}, 2.5),
        ({"x-acs-retry-after": "2500", "Retry-After": "7"}, 2.5),
        ({"x-acs-retry-after": "0", "Retry-After": "7"}, 7),
        ({"x-acs-retry-after": "soon", "Retry-After": "7"}, 7),
        ({"x-acs-retry-after": "-1"}, None),
    ],
)
def test_retry_after_in_milliseconds(
    headers: dict[str, str], seconds: float | None
) -> None:
    """The vendor's header is in milliseconds and precedes Retry-After."""
    assert seconds_to_wait(headers, NOW) == seconds


def test_retry_after_in_a_distant_future() -> None:
    seconds = wait("Fri, 31 Dec 9999 23:59:59 -2359")
    assert seconds is not None
    assert isfinite(seconds)


@pytest.mark.parametrize("seed", range(4))
def test_random_retry_after(seed: int) -> None:
    random = Random(seed)
    parts = [
        *("Sat,", "15", "Aug", "2026", "12:01:00", "GMT", "+0800", "-9999", "-"),
        *("1e9", "1e99999999", ":", "::", "+", "99999999999999999999", "a", ",", "."),
        *("\x00", "é", "(", ")", '"', "\\", "Feb-31", "0", "00:00", "AM"),
    ]
    for _ in range(1000):
        chosen = random.choices(parts, k=random.randint(1, 7))
        text = random.choice(("", " ")).join(chosen)
        seconds = wait(text)
        assert seconds is None or 0 < seconds < inf, text


@pytest.mark.parametrize(
    ("err", "seconds"), [(RateLimitError(), 7), (AccountError(), None)]
)
def test_only_a_rate_limit_has_retry_after(
    err: ModelStudioError, seconds: float | None
) -> None:
    set_retry_after(err, {"Retry-After": "7"})
    assert getattr(err, "retry_after", None) == seconds
    set_retry_after(err, {})
    assert getattr(err, "retry_after", None) is None
