"""Helpers for the tests of the optional sources."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

from custom_components.alibaba_cloud.const import DOMAIN
from homeassistant.config_entries import SOURCE_REAUTH
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers import issue_registry as ir
from tests.common import attributes, state

FOLLOWED = ["qwen-max", "qwen-plus"]


SPEND = ("monthly_spend", "daily_spend")
OTHER = ("other_models_monthly_spend", "other_models_daily_spend")
BALANCE = ("available_balance", "credit_balance")
TOTALS = ("tokens_used", "requests_used")
MODEL_TOTALS = ("tokens", "requests")
RATES = ("tokens_per_minute", "requests_per_minute", "throttled_calls", "load_pct")
LIMITS = ("rpm", "tpm")

# The figures that only one service reports: keys of the account, and of each model.
FILLED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "billing": ((*SPEND, *OTHER), SPEND),
    "balance": (BALANCE, ()),
    "prometheus": (TOTALS, (*MODEL_TOTALS, *RATES)),
}
FAILED = {
    "billing": {"spend"},
    "balance": {"balance"},
    "prometheus": {"rates", "totals"},
}
ALL_KEYS = (
    tuple(key for keys, _ in FILLED.values() for key in keys),
    (*(key for _, keys in FILLED.values() for key in keys), *LIMITS),
)


def shown(hass: HomeAssistant) -> dict[tuple[str | None, str], str | None]:
    """Return the states of all figures that an AccessKey reads, and of the limits."""
    account, model = ALL_KEYS
    return {(None, key): state(hass, key) for key in account} | {
        (name, key): state(hass, key, name) for name in FOLLOWED for key in model
    }


def unavailable(hass: HomeAssistant) -> set[tuple[str | None, str]]:
    """Return the unavailable figures, after checking that none is unknown."""
    states = shown(hass)
    assert {"unknown", None}.isdisjoint(states.values())
    return {key for key, value in states.items() if value == STATE_UNAVAILABLE}


def filled_by(*services: str) -> set[tuple[str | None, str]]:
    """Return the figures that only these services report."""
    return {
        figure
        for service in services
        for figure in (
            *((None, key) for key in FILLED[service][0]),
            *((name, key) for name in FOLLOWED for key in FILLED[service][1]),
        )
    }


def failed_sources(hass: HomeAssistant) -> dict[str, str]:
    """Return the failed sources of the status, each with its message."""
    failed: dict[str, str] = attributes(hass, "status")["failed_sources"]
    return failed


def issues(hass: HomeAssistant) -> set[str]:
    """Return the account's issues."""
    return {
        issue_id.removesuffix("_account")
        for domain, issue_id in ir.async_get(hass).issues
        if domain == DOMAIN
    }


def reauth_steps(hass: HomeAssistant) -> list[str]:
    """Return the current steps of the account's reauth flows."""
    return [
        flow["step_id"]
        for flow in hass.config_entries.flow.async_progress_by_handler(DOMAIN)
        if flow["context"]["source"] == SOURCE_REAUTH
    ]


def trend(period: str, *, daily: str, monthly: str) -> dict[str, Any]:
    """Return a bill with one day, and with qwen-max only."""
    return {
        "code": "200",
        "success": True,
        "data": {
            "costTotals": {"amount": monthly, "currency": "CNY"},
            "groupByTotal": [],
            "resultByTime": [
                {
                    "period": f"{period[:6]}01",
                    "total": {
                        "amount": str(Decimal(monthly) - Decimal(daily)),
                        "currency": "CNY",
                    },
                    "periodDetails": [
                        {
                            "key": "qwen-max",
                            "name": "qwen-max",
                            "amount": str(Decimal(monthly) - Decimal(daily)),
                        }
                    ],
                },
                {
                    "period": period,
                    "total": {"amount": daily, "currency": "CNY"},
                    "periodDetails": [
                        {"key": "qwen-max", "name": "qwen-max", "amount": daily}
                    ],
                },
            ],
        },
    }


def per_minute(tokens: int, requests: int) -> Callable[[Any], Any]:
    """Return a Prometheus answer with the use of qwen-max per minute."""

    def body(query: Any) -> Any:
        value = requests if "model_call_count" in query["query"] else tokens
        return vector(({"model": "qwen-max"}, value))

    return body


def vector(*rows: tuple[dict[str, str], int]) -> dict[str, Any]:
    """Return a Prometheus answer with these labels and values."""
    return {
        "status": "success",
        "data": {
            "resultType": "vector",
            "result": [
                {"metric": labels, "value": [0, str(value)]} for labels, value in rows
            ],
        },
    }
