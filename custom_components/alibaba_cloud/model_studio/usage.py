"""The usage of an account, as its Prometheus reports it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from .models import Number


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelRate:
    """The usage of a model in one minute."""

    tokens_per_minute: Number | None = None
    requests_per_minute: Number | None = None
    throttled_calls: Number | None = None
    """Requests that the service refused with HTTP 429."""
    error_rate_pct: float | None = None
    """Share of the requests that failed, in %, including throttled ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class DayUsage:
    """The usage of the models on a day in UTC+8, or on a part of it."""

    start: datetime
    """When the day began."""
    models: Mapping[str, Mapping[str, Number | None]] = field(hash=False)
    """By model name and kind of usage, such as `input_tokens`.

    The name is empty for usage without a model. An amount is None if it is invalid.
    """


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageRates:
    """The usage of an account in one minute, and so far today."""

    models: Mapping[str, ModelRate] = field(hash=False)
    """By name."""
    today: DayUsage | None = None
    """None if it was not requested, or can't be read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelTotals:
    """The usage of a model since the start of the billing cycle."""

    tokens: Number | None = None
    requests: Number | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class UsageTotals:
    """The usage of an account since the start of the billing cycle.

    A figure is None if there are no samples, or if one of them is invalid.
    """

    since: datetime | None = None
    """When the cycle began. None if it had not begun."""
    tokens: Number | None = None
    requests: Number | None = None
    models: Mapping[str, ModelTotals] = field(hash=False)
    """By name."""
    closed_day: DayUsage | None = None
    """A day that is over. None if it was not requested, or can't be read."""
