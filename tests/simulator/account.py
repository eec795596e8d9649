"""The simulated account: its spend over time and its answers to `GET /quotas`."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from math import pi, sin
from random import Random
from typing import Any, Literal, get_args

from . import catalogue

type Answer = Literal["account", "limits"]
type ModelsAs = Literal["list", "map"]
type Period = Literal["day", "month"]

ANSWERS: tuple[Answer, ...] = get_args(Answer.__value__)
PERIODS: tuple[Period, ...] = get_args(Period.__value__)

BILLING_ZONE = timezone(timedelta(hours=8))

CENT = Decimal("0.01")
DAY = timedelta(days=1)

# How far back the bill goes by default.
HISTORY = timedelta(days=400)

# Relative spend from Monday to Sunday; a business uses less at the weekend.
WEEKDAYS = (1.1, 1.2, 1.15, 1.2, 1.1, 0.6, 0.55)

# Amplitude of the spending rate around its mean within a day. Below 1, so that the
# spend rises at night too.
SWING = 0.85

TOKENS_PER_USD = 400_000
REQUESTS_PER_USD = 180

# Part of the credits in USD that is reserved for unsettled bills.
HELD_BACK = Decimal(20)

WORKSPACE_ID = catalogue.WORKSPACE_ID
OTHER_WORKSPACE_ID = "llm-3c9d1yq6w4b8n2ja"
PAGE_SIZE = 20
LARGEST_PAGE = 100


class QueryError(ValueError):
    """Raised if the service rejects the query; the text is the error message."""


@dataclass(frozen=True, kw_only=True)
class Model:
    """A model that the account uses.

    limit: tokens per billing period.
    rpm, tpm: requests and tokens per minute.
    weight: the model's share of the account's use; 1 is all of it.
    """

    name: str
    limit: int = 50_000_000
    rpm: int = 600
    tpm: int = 1_000_000
    weight: float = 0.05


@dataclass(frozen=True, kw_only=True)
class Instance:
    """A Prometheus instance of the account.

    token: lets in anyone who has it, and must stay with the service.
    """

    id: str
    name: str
    url: str
    region: str = "cn-beijing"
    token: str = "token-of-the-instance"


def _default_models() -> list[Model]:
    """Return six models; `qwen-max` ends a month near its limit."""
    return [
        Model(name="qwen-max", limit=36_000_000, rpm=1200, tpm=1_000_000, weight=0.30),
        Model(
            name="qwen-plus", limit=80_000_000, rpm=15_000, tpm=5_000_000, weight=0.28
        ),
        Model(
            name="qwen-turbo", limit=100_000_000, rpm=1200, tpm=5_000_000, weight=0.14
        ),
        Model(
            name="qwen3-coder-plus",
            limit=40_000_000,
            rpm=1200,
            tpm=2_000_000,
            weight=0.16,
        ),
        Model(
            name="qwen-vl-max", limit=25_000_000, rpm=1200, tpm=1_000_000, weight=0.08
        ),
        Model(
            name="text-embedding-v4",
            limit=50_000_000,
            rpm=1800,
            tpm=1_200_000,
            weight=0.04,
        ),
    ]


def _default_workspaces() -> dict[str, str]:
    """Return the two workspaces that are billed, and one that is not."""
    return {
        WORKSPACE_ID: "Production",
        OTHER_WORKSPACE_ID: "Research <b>lab</b>",
        "ws-unused": "Unused",
    }


def _utc_now() -> datetime:
    """Return the current time; a function, so that tests can freeze the clock."""
    return datetime.now(UTC)


@dataclass(kw_only=True)
class Account:
    """An account whose spend grows with time.

    All figures are a pure function of `seed`, the settings and the virtual time. The
    same moment always gives the same answer. Money is in USD, except in the bill and
    the balance.

    clock: returns an aware date and time; `advance` adds to it.
    answer: which of the two shapes of answer the service uses.
    models_as: whether `models` is a list or a map in the account answer.
    credits: the balance at the start of each billing period.
    base_spend: the cost of an average day.
    catalogue_rows: rows of the limits answer besides those of the account's models.
    priced_rows: rows of the price list besides the usual ones.
    throttled: the share of the requests that is rejected with HTTP 429.
    currency: the currency of the bill and the balance.
    exchange_rate: the price of 1 USD in that currency; ignored for USD.
    history_start: the first day of the bill; None is `HISTORY` before the virtual day.
    extra_models: the number of models that only the bill contains.
    null_share: whether a small part of the bill belongs to no model.
    has_assets: whether the account has coupons, a prepaid card, a savings plan and
        resource packages.
    resource_packages: the number of packages of an account with assets.
    has_token_plan: whether the account has a Token Plan for teams.
    workspaces: the names of the workspaces by ID.
    instances: its Prometheus instances.
    """

    clock: Callable[[], datetime] = _utc_now
    seed: int = 0
    answer: Answer = "account"
    models_as: ModelsAs = "list"
    spend_limit: float = 500
    credits: float = 450
    base_spend: float = 9.2
    rpm: int = 1200
    tpm: int = 5_000_000
    models: list[Model] = field(default_factory=_default_models)
    catalogue_rows: int = 474
    priced_rows: int = 0
    throttled: float = 0
    currency: str = "CNY"
    exchange_rate: Decimal = Decimal("7.2")
    history_start: date | None = None
    extra_models: int = 0
    null_share: bool = True
    has_assets: bool = False
    resource_packages: int = 1
    has_token_plan: bool = False
    workspaces: dict[str, str] = field(default_factory=_default_workspaces)
    instances: list[Instance] = field(default_factory=list)
    _ahead: timedelta = field(default=timedelta(), init=False)
    _corrections: dict[date, Decimal] = field(default_factory=dict, init=False)
    _adjustments: dict[date, dict[str, Decimal]] = field(
        default_factory=dict, init=False
    )
    _removed: set[str] = field(default_factory=set, init=False)

    @property
    def now(self) -> datetime:
        """The virtual time in the billing time zone."""
        return self.clock().astimezone(BILLING_ZONE) + self._ahead

    @property
    def today(self) -> date:
        """The virtual day in the billing time zone."""
        return self.now.date()

    def advance(self, by: timedelta) -> None:
        """Move the virtual time by a duration."""
        self._ahead += by

    def roll_over(self, period: Period) -> None:
        """Move the virtual time to one second into the next billing day or month."""
        then = self.today + DAY if period == "day" else _next_month(self.today)
        midnight = datetime.combine(then, time(), BILLING_ZONE)
        self.advance(midnight + timedelta(seconds=1) - self.now)

    @property
    def correction(self) -> Decimal:
        """The correction of today's bill in USD; may be negative.

        A correction belongs to its day. It stays in the month's spend, and the next day
        starts without one.
        """
        return self.correction_on(self.today)

    @correction.setter
    def correction(self, amount: Decimal | float) -> None:
        self._corrections[self.today] = Decimal(str(amount)).quantize(CENT)

    def correction_on(self, day: date) -> Decimal:
        """Return the correction of a day's bill in USD, rounded to cents."""
        return self._corrections.get(day, Decimal(0))

    def adjust(self, day: date, model: str, amount: Decimal | float | str) -> None:
        """Add an amount to the bill of a model on a day; a refund is negative.

        The amount is in the currency of the bill. It changes the bill and the balance,
        but not the answer to `GET /quotas`. The account need not have the model.
        """
        adjusted = self._adjustments.setdefault(day, {})
        adjusted[model] = adjusted.get(model, Decimal(0)) + Decimal(
            str(amount)
        ).quantize(CENT)

    def adjustments_on(self, day: date) -> Mapping[str, Decimal]:
        """Return the amounts that `adjust` added on a day, by model."""
        return self._adjustments.get(day, {})

    @property
    def rate(self) -> Decimal:
        """The price of 1 USD in the currency of the bill."""
        return Decimal(1) if self.currency == "USD" else self.exchange_rate

    @property
    def first_day(self) -> date:
        """The first day of the bill."""
        return self.history_start or self.today - HISTORY

    @property
    def daily_spend(self) -> Decimal:
        """The spend of the day in USD, rounded to cents."""
        return self.spend_on(self.today)

    @property
    def monthly_spend(self) -> Decimal:
        """The spend of the month in USD, rounded to cents."""
        return sum(map(self.spend_on, month_until(self.today)), Decimal(0))

    def spend_on(self, day: date) -> Decimal:
        """Return the spend of a day so far in USD, rounded to cents; never negative."""
        return max(self.list_price(day) + self.correction_on(day), Decimal(0))

    def list_price(self, day: date) -> Decimal:
        """Return the list price of a day's use so far in USD, rounded to cents."""
        return Decimal(self._worth(day, self.now)).quantize(CENT)

    def month_worth(self, moment: datetime) -> float:
        """Return the list price of a month's use up to a moment, unrounded."""
        days = month_until(moment.astimezone(BILLING_ZONE).date())
        return sum(self._worth(day, moment) for day in days)

    def _worth(self, day: date, moment: datetime) -> float:
        """Return the list price of a day's use up to a moment, unrounded.

        Token counts derive from the list price, not from the bill: a correction of the
        bill does not change them.
        """
        midnight = datetime.combine(day, time(), BILLING_ZONE)
        passed = min(max((moment - midnight) / DAY, 0.0), 1.0)
        noise = Random(f"{self.seed}:{day}").uniform(0.8, 1.2)
        return self.base_spend * WEEKDAYS[day.weekday()] * noise * _diurnal(passed)

    def add_model(
        self,
        name: str,
        *,
        limit: int = 50_000_000,
        rpm: int = 600,
        tpm: int = 1_000_000,
        weight: float = 0.05,
    ) -> None:
        """Add a model.

        Raises:
            ValueError: the account already has the model.

        """
        if name in self.model_names:
            raise ValueError(f"the account already has the model {name}")
        self.models.append(
            Model(name=name, limit=limit, rpm=rpm, tpm=tpm, weight=weight)
        )

    def remove_model(self, name: str) -> None:
        """Remove a model, including all its rows in the limits answer.

        Raises:
            ValueError: neither answer contains the model.

        """
        if not self.has_model(name):
            raise ValueError(f"the account has no model {name}")
        self.models = [model for model in self.models if model.name != name]
        self._removed.add(name)

    @property
    def model_names(self) -> list[str]:
        """The names of the models in the account answer."""
        return [model.name for model in self.models]

    def has_model(self, name: str) -> bool:
        """Return whether either answer contains a model."""
        return any(row["model"] == name for row in self._quotas())

    def respond(self, query: Mapping[str, str], request_id: str) -> dict[str, Any]:
        """Return the service's answer to a query as JSON data.

        Raises:
            QueryError: the service rejects the query.

        """
        if self.answer == "limits":
            return {"request_id": request_id, "output": self._limits(query)}
        return {"code": "Success", "data": self._figures(), "request_id": request_id}

    def list_workspaces(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Return a page of ListWorkspaces for JSON. The token is the first row of a page.

        Raises:
            QueryError: the page is not valid.

        """
        start, size = query.get("nextToken", "0"), positive(query, "maxResults", 2)
        if not start.isdigit():
            raise QueryError("nextToken is invalid")
        end = int(start) + size
        more = {"nextToken": str(end)} if end < len(self.workspaces) else {}
        return {
            "maxResults": size,
            "totalCount": len(self.workspaces),
            **more,
            "workspaces": [
                {
                    "workspaceId": workspace_id,
                    "workspaceName": name,
                    "region": "cn-beijing",
                    "serviceSite": "china",
                    "apiHost": f"{workspace_id}.cn-beijing.maas.aliyuncs.com",
                    "gmtCreate": 1_767_225_600_000,
                }
                for workspace_id, name in [*self.workspaces.items()][int(start) : end]
            ],
        }

    def _figures(self) -> dict[str, Any]:
        """Return the `data` of the account answer."""
        today = self.today
        monthly_spend = self.monthly_spend
        left = max(Decimal(str(self.credits)) - monthly_spend, Decimal(0))
        worth = self.month_worth(self.now)
        tokens = worth * TOKENS_PER_USD
        rows = [
            {
                "model": model.name,
                "used": int(tokens * model.weight),
                "limit": model.limit,
                "rpm": model.rpm,
                "tpm": model.tpm,
            }
            for model in self.models
        ]
        return {
            "rate_limit": {"rpm": self.rpm, "tpm": self.tpm},
            "credits": float(left),
            "available": float(max(left - HELD_BACK, Decimal(0))),
            "spend_limit": self.spend_limit,
            "daily_spend": float(self.daily_spend),
            "monthly_spend": float(monthly_spend),
            "tokens_used": int(tokens),
            "requests_used": int(worth * REQUESTS_PER_USD),
            "billing_period": {
                "start": today.replace(day=1).isoformat(),
                "end": (_next_month(today) - DAY).isoformat(),
            },
            "models": (
                rows
                if self.models_as == "list"
                else {row.pop("model"): row for row in rows}
            ),
        }

    def _limits(self, query: Mapping[str, str]) -> dict[str, Any]:
        """Return the `output` of the limits answer.

        Raises `QueryError` if the requested page is invalid.
        """
        page_no = positive(query, "page_no", 1)
        page_size = positive(query, "page_size", PAGE_SIZE)
        if page_size > LARGEST_PAGE:
            raise QueryError("Pagination parameter page_size exceeds the length limit")
        rows = [
            row
            for row in self._quotas()
            if query.get("model", row["model"]) == row["model"]
            and query.get("name", "").lower() in row["model"].lower()
        ]
        start = (page_no - 1) * page_size
        return {
            "total": len(rows),
            "page_no": page_no,
            "page_size": page_size,
            "quotas": rows[start : start + page_size],
        }

    def _quotas(self) -> list[dict[str, Any]]:
        """Return all rows of the limits answer, those of the account's models first."""
        hidden = self._removed.union(self.model_names)
        return [
            catalogue.quota(model.name, catalogue.limit(model.rpm, usage=model.tpm))
            for model in self.models
        ] + [
            row
            for row in catalogue.rows(self.seed, self.catalogue_rows)
            if row["model"] not in hidden
        ]


def _diurnal(passed: float) -> float:
    """Return the share of a day's spend that is spent after a share of the day.

    Both shares run from 0 to 1. The rate of spending is lowest at 04:00 and highest at
    16:00.
    """
    trough = 2 * pi / 6
    return passed - SWING / (2 * pi) * (sin(2 * pi * passed - trough) + sin(trough))


def month_until(day: date) -> Iterator[date]:
    """Yield the days of a month from the first up to the given day."""
    return (day.replace(day=number) for number in range(1, day.day + 1))


def _next_month(day: date) -> date:
    """Return the first day of the next month."""
    return (day.replace(day=1) + 32 * DAY).replace(day=1)


def positive(query: Mapping[str, str], name: str, default: int) -> int:
    """Return a query parameter as a positive integer.

    Raises:
        QueryError: the parameter is not a positive integer.

    """
    text = query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 10 and int(text)):
        raise QueryError(f"Pagination parameter {name} is invalid")
    return int(text)
