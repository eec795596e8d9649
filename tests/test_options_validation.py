"""The validation of the options of alerts and budgets."""

from typing import Any

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.model_studio import Dimension, SpendGroup
from custom_components.alibaba_cloud.options_validation import (
    CONF_MORE_ALERTS,
    MORE_ALERTS,
    validate_alerts,
    validate_group_budgets,
)

from .common import errors_of

WORKSPACE = SpendGroup(dimension=Dimension.WORKSPACE, id="llm-1")
API_KEY = SpendGroup(dimension=Dimension.API_KEY, id="7")
GROUPS = {"workspaces": {"Production (llm-1)": WORKSPACE}, "api_keys": {"7": API_KEY}}


@given(
    level=st.floats(min_value=0.001, max_value=1000).map(lambda it: round(it, 3)),
    amount=st.integers(min_value=1, max_value=10**9),
)
def test_alerts(level: float, amount: int) -> None:
    """Numbers are stored as entered, with or without a percent sign or a comma."""
    for shown in (level, str(level), f"{level} %"):
        options = validate_alerts({"spend_levels": [shown], "monthly_budget": amount})
        assert options["spend_levels"] == [level]
        assert options["monthly_budget"] == amount
    assert (
        validate_alerts({"low_balance": f"{amount},5"})["low_balance"] == amount + 0.5
    )


@pytest.mark.parametrize("level", ["50,80", "50,80 %", "8,12", "1_0", "１_0"])
def test_unclear_level(level: str) -> None:
    """It could be two levels, or is a number for Python only."""
    assert errors_of(validate_alerts, {"spend_levels": [level]}) == {
        "spend_levels": "invalid_level"
    }


@pytest.mark.parametrize("amount", ["1_000", "50%", "50 %"])
def test_unclear_amount(amount: str) -> None:
    assert errors_of(validate_alerts, {"monthly_budget": amount}) == {
        "monthly_budget": "invalid_amount"
    }


@pytest.mark.parametrize("entered", [0, "0", "0 %", 0.0])
def test_nothing_is_not_zero(entered: Any) -> None:
    """Only an empty field turns an alert off. With 0, people mean something else."""
    more: dict[str, Any] = {"low_credits": entered}
    assert errors_of(validate_alerts, {CONF_MORE_ALERTS: more}) == {
        CONF_MORE_ALERTS: "invalid_low_credits"
    }
    more = {"expiry_days": entered}
    assert errors_of(validate_alerts, {CONF_MORE_ALERTS: more}) == {
        CONF_MORE_ALERTS: "invalid_expiry_days"
    }
    off: dict[str, Any] = {"low_credits": None, "expiry_days": ""}
    options = validate_alerts({CONF_MORE_ALERTS: off})
    assert options["low_credits"] == options["expiry_days"] == 0


@given(entered=st.recursive(st.none() | st.floats() | st.text(), st.lists))
def test_alerts_with_anything(entered: Any) -> None:
    """Any input is accepted, or is an error at its field."""
    fields = ("monthly_budget", "low_balance", "spend_levels", "model_levels")
    typed: dict[str, Any] = dict.fromkeys(fields, entered)
    typed[CONF_MORE_ALERTS] = dict.fromkeys(MORE_ALERTS, entered)
    if errors := errors_of(validate_alerts, typed):
        assert {*errors} <= {*fields, CONF_MORE_ALERTS}
    else:
        assert {*validate_alerts(typed)} == {*fields, *MORE_ALERTS}


@pytest.mark.parametrize(
    ("typed", "budgets"),
    [
        pytest.param({}, {}, id="nothing"),
        pytest.param({"api_keys": {"7": None}}, {}, id="empty"),
        pytest.param(
            {"workspaces": {"Production (llm-1)": "12,5"}, "api_keys": {"7": 3}},
            {"workspace_llm-1": 12.5, "api_key_7": 3},
            id="both",
        ),
        pytest.param({"workspaces": {"another": 5}}, {}, id="of no group"),
    ],
)
def test_budgets_of_groups(typed: Any, budgets: dict[str, float]) -> None:
    assert validate_group_budgets(typed, GROUPS) == budgets


@pytest.mark.parametrize("amount", ["x", 0, -1, float("nan")])
def test_invalid_budget_of_a_group(amount: Any) -> None:
    """The error is at the section, because the frontend shows none at its fields."""
    errors = errors_of(validate_group_budgets, {"api_keys": {"7": amount}}, GROUPS)
    assert errors == {"api_keys": "invalid_amount"}
