"""The fault matrix as data: the expected results of each fault."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cache
import json
from pathlib import Path
from typing import Any, Final

from homeassistant.const import STATE_UNAVAILABLE, STATE_UNKNOWN

from .common import FIGURES, answer
from .simulator import Fault

PAGE: Final = Path(__file__).parent.parent / "docs" / "faults.md"
MODELS: Final = ("qwen-max", "qwen-plus", "text-embedding-v4")
CHOSEN: Final = "qwen-max"
LONG: Final = 3601
"""Seconds after which every poll is due."""
STATUSES: Final = {
    "": "ok",
    "invalid_auth": "auth",
    "rate_limited": "limited",
    "free_quota_used_up": "limited",
    "budget_exhausted": "limited",
    "arrearage": "error",
    "service_not_enabled": "error",
    "account_unavailable": "error",
    "not_found": "error",
    "cannot_connect": "error",
    "invalid_answer": "error",
}
"""The status for each error of a form; "" is no error."""

UNKNOWN: Final = [STATE_UNKNOWN] * 4
UNAVAILABLE: Final = [STATE_UNAVAILABLE] * 4
NONE: Final = [None] * 4
MODEL_UNKNOWN: Final = [*FIGURES[:3], STATE_UNKNOWN]
MODEL_GONE: Final = [*FIGURES[:3], None]

ODD_NAMES: Final = (
    "qwen/qwen-max",
    "a\\b",
    "../../etc/passwd",
    "the \"best\" of 'them'",
    "<b>{model}</b> %s",
    "🦄",
    "通义千问 🇨🇳",
    "-",
    "x" * 500,
)
MANY: Final = 10_000
HUGE: Final = int("9" * 400)


class Column(StrEnum):
    """A situation in which a fault can happen."""

    FIRST = "Start"
    RUNNING = "Running"
    FLOW = "Config flow"
    REAUTH = "Reauth"
    RECONFIGURE = "Reconfigure"
    OPTIONS = "Options flow"


class Way(StrEnum):
    """A failure of the connection between Home Assistant and the service."""

    PORT = "nobody listens"
    NAME = "the host's name is not found"
    TLS = "whoever listens does not speak TLS"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A fault with the expected results for an account and its forms.

    fault, options: the fault of the simulator. Rows without a fault set either `body`,
        the answer of the simulator, or `way`, a failure of the connection.
    error: the error of a form, "" if the answer is accepted. The status follows from it.
    words: a part of the error message.
    issue: the translation key of the repair issue.
    figures: the figures of an account that had all of them before; None means those
        that follow from the status.
    models, partial: the models in the answer, and whether the answer may be incomplete.
    chosen: whether only `CHOSEN` is selected; devices for all models take too long.
    flat: whether processing the answer must need little memory.
    """

    name: str
    fault: Fault | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    body: Callable[[], Any] | None = None
    way: Way | None = None
    error: str = ""
    words: str = ""
    issue: str | None = None
    figures: Sequence[str | None] | None = None
    models: tuple[str, ...] = MODELS
    partial: bool = False
    chosen: bool = False
    flat: bool = False

    @property
    def status(self) -> str:
        """The expected state of the status sensor."""
        return STATUSES[self.error]

    @property
    def later(self) -> list[str | None]:
        """The expected figures if the account had figures before."""
        if self.figures:
            return list(self.figures)
        return list(UNAVAILABLE if self.status in ("auth", "error") else FIGURES)

    @property
    def first(self) -> list[str | None]:
        """The expected figures if the account had none before."""
        return [
            None if self.error or figure == STATE_UNKNOWN else figure
            for figure in self.later
        ]

    def followed(self, before: tuple[str, ...] = ()) -> set[str]:
        """Return the models that have a device, given those that had one before."""
        if self.error:
            return {CHOSEN} & {*before} if self.chosen else {*before}
        models = {*before} if self.partial else {*before}.intersection(self.models)
        if self.figures != UNKNOWN:
            models |= {*self.models}
        return {CHOSEN} & models if self.chosen else models

    @property
    def cells(self) -> dict[Column, str]:
        """The expected cell of each column, without the columns that are not tested."""
        asked = form_cell(self.error)
        cells = {
            Column.FIRST: account_cell(self.status, self.first, self.issue),
            Column.RUNNING: account_cell(self.status, self.later, self.issue),
            Column.FLOW: asked,
            Column.REAUTH: asked,
            Column.RECONFIGURE: asked,
            Column.OPTIONS: options_cell(len(MODELS if self.error else self.models)),
        }
        if self.chosen:
            # A flow sets up an account without selected models.
            del cells[Column.FLOW]
        return cells


def account_cell(status: str, figures: list[str | None], issue: str | None) -> str:
    """Return the cell for an account."""
    if figures == FIGURES:
        words = "read" if status == "ok" else "kept"
    elif figures in (UNKNOWN, UNAVAILABLE, NONE):
        words = figures[0] or "none"
    else:
        words = "in part"
    return f"`{status}`, {words}" + (f", `{issue}`" if issue else "")


def form_cell(error: str) -> str:
    """Return the cell for a form."""
    return f"`{error}`" if error else "accepted"


def options_cell(models: int) -> str:
    """Return the cell for the options."""
    return "1 model" if models == 1 else f"{models:,} models"


def fails(name: str, fault: Fault, error: str, words: str, **more: Any) -> Row:
    """Return the row of a fault of the simulator; `more` are its options."""
    row = {key: more.pop(key) for key in ("issue", "flat") if key in more}
    return Row(name=name, fault=fault, options=more, error=error, words=words, **row)


def unavailable(name: str, fault: Fault, words: str, **more: Any) -> Row:
    """Return the row of a fault that makes the account unavailable."""
    return fails(
        name,
        fault,
        "account_unavailable",
        words,
        **{"issue": "account_unavailable"} | more,
    )


def read(name: str, body: Callable[[], Any], **more: Any) -> Row:
    """Return the row of an unusual answer that is accepted."""
    return Row(name=name, body=body, **more)


def refused(name: str, body: Callable[[], Any], words: str) -> Row:
    """Return the row of an invalid answer."""
    return Row(name=name, body=body, error="invalid_answer", words=words)


def data(**changes: Any) -> Callable[[], Any]:
    """Return a function that returns a good answer with changed data."""

    def body() -> Any:
        good = answer("account")
        good["data"] |= changes
        return good

    return body


def numbers(number: float) -> Callable[[], Any]:
    """Return a function that returns a good answer with all numbers replaced."""

    def replaced(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: replaced(item) for key, item in value.items()}
        if isinstance(value, list):
            return [replaced(item) for item in value]
        return number if isinstance(value, int | float) else value

    return lambda: replaced(answer("account"))


def duplicated() -> str:
    """Return a good answer in which each key occurs twice; the second one is right."""

    def written(value: Any) -> str:
        if isinstance(value, dict):
            pairs = [f'{json.dumps(key)}: "other"' for key in value]
            pairs += [f"{json.dumps(key)}: {written(it)}" for key, it in value.items()]
            return f"{{{', '.join(pairs)}}}"
        if isinstance(value, list):
            return f"[{', '.join(map(written, value))}]"
        return json.dumps(value)

    return written(answer("account"))


def usage(names: tuple[str, ...]) -> list[dict[str, Any]]:
    """Return the rows of models with these names."""
    return [{"model": name, "used": 1, "limit": 2} for name in names]


@cache
def many_models() -> bytes:
    """Return a good answer with 10,000 models."""
    good = answer("account")
    good["data"]["models"] += usage(MANY_MODELS[len(MODELS) :])
    return json.dumps(good).encode()


MANY_MODELS: Final = (*MODELS, *(f"model-{n}" for n in range(MANY - len(MODELS))))

ROWS: Final = (
    unavailable("400", Fault.BAD_REQUEST, "InvalidParameter: Required parameter"),
    *(
        fails(
            f"{status} `{code}`" + (" in an error object" if nested else ""),
            Fault.ERROR_OBJECT if nested else fault,
            error,
            f"{code}: ",
            issue=error,
            status=status,
            code=code,
        )
        for fault, code, error in (
            (Fault.ARREARAGE, "Arrearage", "arrearage"),
            (Fault.NOT_ENABLED, "AccessDenied.Unpurchased", "service_not_enabled"),
        )
        for status, nested in ((400, False), (403, False), (403, True))
    ),
    *(
        fails(
            f"429 {name}",
            Fault.BUDGET_EXHAUSTED,
            "budget_exhausted",
            message,
            issue="budget_exhausted",
            message=message,
        )
        for name, message in (
            ('"budget … exhausted"', "The budget you set has been exhausted."),
            ("“预算 … 已用尽”", "您设置的预算本月已用尽，请提升预算。"),
        )
    ),
    fails(
        "429 `insufficient_quota`",
        Fault.THROTTLED,
        "rate_limited",
        "insufficient_quota: You exceeded your current quota",
        code="insufficient_quota",
        message="You exceeded your current quota, please check your plan.",
    ),
    fails(
        "429 whose text says when to come back",
        Fault.THROTTLED,
        "rate_limited",
        "Your 5-hour allowance returns at 2026-08-15 14:00:00 UTC+8",
        message="Your 5-hour allowance returns at 2026-08-15 14:00:00 UTC+8.",
    ),
    fails(
        "403 `Arrearage` in XML",
        Fault.ERROR_XML,
        "arrearage",
        "Arrearage: The account's bill is overdue.",
        issue="arrearage",
    ),
    fails(
        "400 `Throttling` in an event stream",
        Fault.ERROR_EVENT,
        "rate_limited",
        "Throttling: Requests are throttled.",
    ),
    *(
        fails(
            f"{status} `{code}`" if code else f"{status} without a code",
            Fault.UNAUTHORIZED if code else Fault.UNAVAILABLE,
            error,
            code or f"HTTP {status}",
            issue=issue,
            **({"status": status, "code": code} if code else {"status": status}),
        )
        for status, code, error, issue in (
            (401, "InvalidApiKey", "invalid_auth", None),
            (401, "AccessDenied", "invalid_auth", None),
            (401, "AllocationQuota.FreeTierOnly", "invalid_auth", None),
            (401, None, "invalid_auth", None),
            (403, "InvalidApiKey", "invalid_auth", None),
            (403, "AccessDenied", "invalid_auth", None),
            (
                403,
                "AllocationQuota.FreeTierOnly",
                "free_quota_used_up",
                "free_quota_used_up",
            ),
            (403, None, "invalid_auth", None),
        )
    ),
    fails(
        "404",
        Fault.NOT_FOUND,
        "not_found",
        "NotFound: The requested resource",
        issue="account_unavailable",
    ),
    unavailable(
        "408", Fault.REQUEST_TIMEOUT, "RequestTimeOut: Request timed out", issue=None
    ),
    *(
        fails(
            f"429, {name}",
            Fault.THROTTLED,
            "rate_limited",
            "Throttling.RateQuota: ",
            retry_after=retry_after,
        )
        for name, retry_after in (
            ("`Retry-After` in seconds", 7),
            ("`Retry-After` as a date", "Fri, 31 Dec 9999 23:59:59 GMT"),
            ("no `Retry-After`", None),
            ("`Retry-After` of centuries", 10**10),
            ("`Retry-After` in the past", "Thu, 01 Jan 1970 00:00:00 GMT"),
            ("`Retry-After` without sense", "NaN minutes"),
        )
    ),
    fails(
        "429 without a code",
        Fault.UNAVAILABLE,
        "rate_limited",
        "HTTP 429",
        status=429,
    ),
    *(
        fails(
            f"{status} `Throttling.AllocationQuota`",
            Fault.THROTTLING_CODE,
            "rate_limited",
            "Throttling.AllocationQuota: ",
            status=status,
        )
        for status in (200, 400, 403, 503)
    ),
    unavailable("500", Fault.SERVER_ERROR, "InternalError: ", issue=None),
    unavailable("502 in HTML", Fault.BAD_GATEWAY, "HTTP 502", issue=None),
    unavailable("503 without a body", Fault.UNAVAILABLE, "HTTP 503", issue=None),
    unavailable("200 with another code", Fault.ERROR_CODE, "SystemError: A system"),
    unavailable("200 with an error in it", Fault.ERROR_OBJECT, "SystemError: A system"),
    *(
        unavailable(
            f"{status} to another host",
            Fault.REDIRECT,
            f"HTTP {status}",
            status=status,
            issue=None,
        )
        for status in (302, 308)
    ),
    *(
        fails(name, fault, "invalid_answer", words)
        for name, fault, words in (
            ("Captive portal in HTML", Fault.HTML, "not JSON"),
            ("Empty", Fault.EMPTY, "not JSON"),
            ("`null`", Fault.NULL, "not a JSON object"),
            ("List", Fault.LIST, "not a JSON object"),
            ("Garbage", Fault.GARBAGE, "not JSON"),
            ("Truncated JSON", Fault.TRUNCATED, "not JSON"),
        )
    ),
    fails(
        "200 MB of JSON in 1 MB of gzip",
        Fault.HUGE,
        "invalid_answer",
        "larger than 8388608 bytes",
        flat=True,
    ),
    refused("Number", lambda: 17, "not a JSON object"),
    refused("Empty object", dict, "neither account data nor quotas"),
    refused("100,000 brackets", lambda: "[" * 100_000, "not JSON"),
    refused(
        "Data of the wrong type",
        lambda: {"code": "Success", "data": [answer("account")["data"]]},
        "neither account data nor quotas",
    ),
    refused(
        "Limits of the wrong type",
        lambda: {"output": {"total": 1, "quotas": {"qwen-max": {}}}},
        "neither account data nor quotas",
    ),
    refused(
        "Limits with rows of the wrong type",
        lambda: {"output": {"total": 4, "quotas": [None, 7, "qwen-max", []]}},
        "names no model",
    ),
    refused(
        "Limits on pages that repeat",
        lambda: {"output": {"total": 2, "quotas": [{"model": "qwen-max"}]}},
        "add up: 1 rows of 2",
    ),
    *(
        fails(name, fault, "cannot_connect", words)
        for name, fault, words in (
            ("Hang before the answer", Fault.HANG, "did not answer in time"),
            ("Hang within the body", Fault.HANG_BODY, "did not answer in time"),
            ("Slow trickle", Fault.TRICKLE, "did not answer in time"),
            ("Reset", Fault.RESET, " was lost"),
            ("Cut within the body", Fault.CUT, " was lost"),
        )
    ),
    *(
        Row(name=name, way=way, error="cannot_connect", words=words)
        for name, way, words in (
            ("Connection refused", Way.PORT, "Connection refused by 127.0.0.1:"),
            ("DNS failure", Way.NAME, "The host service.test:"),
            ("TLS failure", Way.TLS, "No secure connection to service.test:"),
        )
    ),
    Row(
        name="Success with every field of the wrong type",
        fault=Fault.WRONG_TYPES,
        figures=UNKNOWN,
        models=(),
        partial=True,
    ),
    read("Code of the wrong type", lambda: answer("account") | {"code": ["Success"]}),
    read(
        "Models of the wrong type",
        data(models="qwen-max"),
        figures=MODEL_UNKNOWN,
        models=(),
        partial=True,
    ),
    read("NaN for every number", numbers(float("nan")), figures=UNKNOWN),
    read("Infinity for every number", numbers(float("inf")), figures=UNKNOWN),
    read("-Infinity for every number", numbers(float("-inf")), figures=UNKNOWN),
    read("400 digits for every number", numbers(HUGE), figures=UNKNOWN),
    read("Each key twice", duplicated),
    read(
        "No models", data(models=[]), figures=MODEL_GONE, models=(), issue="no_models"
    ),
    read(
        "Models without a name",
        data(
            models=[
                *answer("account")["data"]["models"][:1],
                *usage(("", " \t")),
                {"used": 1, "limit": 2},
            ]
        ),
        models=MODELS[:1],
        partial=True,
    ),
    read(
        "Models with slashes, quotes, emoji or 500 characters in their names",
        data(models=[*answer("account")["data"]["models"], *usage(ODD_NAMES)]),
        models=(*MODELS, *ODD_NAMES),
    ),
    read("10,000 models", many_models, models=MANY_MODELS, chosen=True, flat=True),
)

CELLS: Final = {
    (row.name, column): text for row in ROWS for column, text in row.cells.items()
}


def render(cells: Mapping[tuple[str, Column], str]) -> str:
    """Return the matrix as a table."""
    lines = [["Fault", *Column], ["---"] * (1 + len(Column))]
    lines += [
        [row.name, *(cells.get((row.name, column), "") for column in Column)]
        for row in ROWS
    ]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
