"""The state of the alerts, as it is stored."""

from datetime import date, datetime
from decimal import Decimal
import json
from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.ledger import (
    BILLING_TIME_ZONE,
    AlertKind,
    AlertState,
)
from custom_components.alibaba_cloud.ledger.alerts import AlertedLevels, SeenLimit

STORED: dict[str, Any] = {
    "period": "2026-08-01T00:00:00+08:00",
    "budget": "99.5",
    "spend_levels": {"80": True, "90.5": False},
    "budgets": {
        "weekly_budget": {
            "start": "2026-08-10",
            "budget": "70",
            "levels": ["50"],
            "watched": [],
        }
    },
    "groups": {
        "api_key_7": {
            "start": "2026-08-01",
            "budget": "20.5",
            "levels": ["80"],
            "watched": ["50", "80"],
        }
    },
    "forecast_alerted": True,
    "unusual_day": "2026-08-14",
    "low_balances": {"CNY": "10"},
    "endings": {"0a1b": "2026-08-31"},
    "credits_alerted": True,
    "credits_refresh": "2026-08-20T00:00:00+08:00",
    "model_levels": ["80", "100"],
    "models": {"qwen": ["80", "90.5"]},
    "limits": {"qwen": {"rpm": [60, 30.5, None], "limit": [None, 1000, 500]}},
    "failing": "rate_limited",
    "failures": ["rate_limited", "account_unavailable"],
    "rounds": 4,
}
LEVELS_OF_A_DAY = {
    "start": "2026-08-10",
    "budget": "20",
    "levels": ["50"],
    "watched": ["50"],
}
NO_LEVELS: tuple[dict[str, Any], ...] = (
    {"start": "2026-08-10T00:00:00+08:00"},
    {"budget": 20},
    {"budget": None},
    {"levels": [50]},
    {"watched": [50]},
)
NO_NUMBERS: tuple[Any, ...] = ("60", True, [], float("inf"))
DAMAGED: dict[str, list[Any]] = {
    "period": [0, "", "2026-08-01", "2026-08-01T00:00:00"],
    "budget": [99.5, "", "NaN", "Infinity"],
    "spend_levels": [None, ["80"], {"x": True}, {"NaN": True}, {"80": None}],
    "budgets": [
        None,
        {"unheard_of": LEVELS_OF_A_DAY},
        *({"daily_budget": {**LEVELS_OF_A_DAY, **bad}} for bad in NO_LEVELS),
        {"daily_budget": {"levels": []}},
    ],
    "groups": [
        None,
        ["api_key_7"],
        {"api_key_7": None},
        *({"api_key_7": {**LEVELS_OF_A_DAY, **bad}} for bad in NO_LEVELS),
    ],
    "forecast_alerted": [None, 1, "true"],
    "unusual_day": [0, "", "2026-08-14T00:00:00+08:00"],
    "low_balances": [None, ["10"], {"CNY": None}, {"CNY": 10}, {"CNY": "NaN"}],
    "endings": [None, ["0a1b"], {"0a1b": None}, {"0a1b": "soon"}, {"0a1b": 1}],
    "credits_alerted": [None, 1, "true"],
    "credits_refresh": [0, "", "2026-08-20T00:00:00"],
    "model_levels": ["80", {"80": True}, [80], [None], ["NaN"]],
    "models": [None, ["80"], {"m": None}, {"m": {"80": True}}, {"m": ["-Infinity"]}],
    "limits": [
        None,
        [],
        {"qwen": None},
        {"qwen": {"rpm": None}},
        {"qwen": {"rpm": [60, None]}},
        {"qwen": {"rpm": [60, None, None, None]}},
        *({"qwen": {"rpm": [bad, None, None]}} for bad in NO_NUMBERS),
    ],
    "failing": [1, "", "unheard_of", ["rate_limited"]],
    "failures": [None, "rate_limited", [None], ["unheard_of"], [["rate_limited"]]],
    "rounds": [None, -1, 1.5, True, "4"],
}
AMOUNTS = st.decimals(-1_000_000, 1_000_000, places=4)
MOMENTS = st.datetimes(timezones=st.just(BILLING_TIME_ZONE))
LEVELS = st.frozensets(st.decimals("0.1", 1000, places=1), max_size=4)
NUMBERS = st.none() | st.integers() | st.floats(0, 1_000_000)
NAMES = st.text(max_size=3)
ALERTED = st.builds(
    AlertedLevels, start=st.dates(), budget=AMOUNTS, levels=LEVELS, watched=LEVELS
)
STATES = st.builds(
    AlertState,
    period=st.none() | MOMENTS,
    budget=st.none() | AMOUNTS,
    spend_levels=st.dictionaries(AMOUNTS, st.booleans(), max_size=3),
    budgets=st.dictionaries(
        st.sampled_from(AlertKind),
        ALERTED,
        max_size=2,
    ),
    groups=st.dictionaries(NAMES, ALERTED, max_size=2),
    forecast_alerted=st.booleans(),
    unusual_day=st.none() | st.dates(),
    low_balances=st.dictionaries(NAMES, AMOUNTS, max_size=3),
    endings=st.dictionaries(NAMES, st.dates(), max_size=3),
    credits_alerted=st.booleans(),
    credits_refresh=st.none() | MOMENTS,
    model_levels=st.none() | LEVELS,
    models=st.dictionaries(NAMES, LEVELS, max_size=3),
    limits=st.dictionaries(
        NAMES,
        st.dictionaries(
            NAMES,
            st.builds(SeenLimit, known=NUMBERS, seen=NUMBERS, alerted=NUMBERS),
            max_size=3,
        ),
        max_size=3,
    ),
    failing=st.none() | st.sampled_from(AlertKind),
    failures=st.lists(st.sampled_from(AlertKind)).map(tuple),
    rounds=st.integers(min_value=0),
)
JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | NAMES,
    lambda values: st.lists(values) | st.dictionaries(NAMES, values),
    max_leaves=5,
)


def test_stored_state() -> None:
    """The format of the stored state stays the same."""
    state = AlertState.from_dict(STORED)
    assert state == AlertState(
        period=datetime(2026, 8, 1, tzinfo=BILLING_TIME_ZONE),
        budget=Decimal("99.5"),
        spend_levels={Decimal(80): True, Decimal("90.5"): False},
        budgets={
            AlertKind.WEEKLY_BUDGET: AlertedLevels(
                start=date(2026, 8, 10),
                budget=Decimal(70),
                levels=frozenset((Decimal(50),)),
            )
        },
        groups={
            "api_key_7": AlertedLevels(
                start=date(2026, 8, 1),
                budget=Decimal("20.5"),
                levels=frozenset((Decimal(80),)),
                watched=frozenset((Decimal(50), Decimal(80))),
            )
        },
        forecast_alerted=True,
        unusual_day=date(2026, 8, 14),
        low_balances={"CNY": Decimal(10)},
        endings={"0a1b": date(2026, 8, 31)},
        credits_alerted=True,
        credits_refresh=datetime(2026, 8, 20, tzinfo=BILLING_TIME_ZONE),
        model_levels=frozenset((Decimal(80), Decimal(100))),
        models={"qwen": frozenset((Decimal(80), Decimal("90.5")))},
        limits={
            "qwen": {
                "rpm": SeenLimit(known=60, seen=30.5),
                "limit": SeenLimit(seen=1000, alerted=500),
            }
        },
        failing=AlertKind.RATE_LIMITED,
        failures=(AlertKind.RATE_LIMITED, AlertKind.ACCOUNT_UNAVAILABLE),
        rounds=4,
    )
    assert json.loads(json.dumps(state.as_dict())) == STORED


@given(state=STATES)
def test_state_survives_a_restart(state: AlertState) -> None:
    assert AlertState.from_dict(json.loads(json.dumps(state.as_dict()))) == state


@pytest.mark.parametrize("key", STORED)
def test_damaged_part(key: str) -> None:
    for value in DAMAGED[key]:
        with pytest.raises(ValueError, match=r"."):
            AlertState.from_dict({**STORED, key: value})
    with pytest.raises(ValueError, match="missing"):
        AlertState.from_dict({name: STORED[name] for name in STORED if name != key})


@given(junk=JUNK, key=st.none() | st.sampled_from([*STORED]))
def test_damaged_state(junk: Any, key: str | None) -> None:
    """Damaged data raises `ValueError`, or is read as a state that can be stored."""
    try:
        state = AlertState.from_dict({**STORED, key: junk} if key else junk)
    except ValueError:
        return
    assert AlertState.from_dict(json.loads(json.dumps(state.as_dict()))) == state
