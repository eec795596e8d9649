"""The sensors of an account and its models."""

import json
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from syrupy.assertion import SnapshotAssertion

from custom_components.alibaba_cloud.figures import ACCOUNT_SENSORS, MODEL_SENSORS
from homeassistant.const import STATE_UNKNOWN, Platform
from homeassistant.core import HomeAssistant

from .common import Poll, answer, attributes, check_platform, entity_id, setup, state
from .simulator import Simulator


@pytest.mark.usefixtures("enable_all_entities", "account")
async def test_sensors(hass: HomeAssistant, snapshot: SnapshotAssertion) -> None:
    """Registry entries and states match the snapshot."""
    check_platform(hass, Platform.SENSOR, snapshot)


@pytest.mark.usefixtures("account")
async def test_caps_of_a_model_are_disabled_by_default(hass: HomeAssistant) -> None:
    """The limits of a model are disabled, as few users need them as entities."""
    for key in ("limit", "rpm", "tpm"):
        assert entity_id(hass, key, "qwen-max") is not None
        assert state(hass, key, "qwen-max") is None


def test_unique_ids_never_collide() -> None:
    """No key ends with another key, as unique IDs contain the model's name.

    With keys `used` and `tokens_used`, models `foo_tokens` and `foo` would share an ID.
    """
    keys = [description.key for description in MODEL_SENSORS]
    assert [
        (key, other) for key in keys for other in keys if key.endswith(f"_{other}")
    ] == []
    assert [it.key for it in ACCOUNT_SENSORS if it.key.startswith("model_")] == []


@pytest.mark.parametrize(
    ("row", "usage", "used", "limit"),
    [
        ({"used": 50, "limit": 200}, "25.0", "50", 200),
        ({"used": "50", "limit": "200"}, "25.0", "50", 200),
        ({"used": 300, "limit": 200}, "150.0", "300", 200),
        ({"used": 0, "limit": 200}, "0.0", "0", 200),
        ({"used": 1, "limit": 3}, "33.3333", "1", 3),
        ({"used": 50, "limit": 0}, STATE_UNKNOWN, "50", 0),
        ({"used": 50, "limit": None}, STATE_UNKNOWN, "50", None),
        ({"used": 50}, STATE_UNKNOWN, "50", None),
        ({"limit": 200}, STATE_UNKNOWN, STATE_UNKNOWN, 200),
        ({"used": "many", "limit": []}, STATE_UNKNOWN, STATE_UNKNOWN, None),
    ],
)
@pytest.mark.usefixtures("account")
async def test_usage_of_a_model(
    hass: HomeAssistant,
    simulator: Simulator,
    poll: Poll,
    *,
    row: dict[str, Any],
    usage: str,
    used: str,
    limit: int | None,
) -> None:
    """A model with a limit has a percentage, which may exceed 100."""
    simulator.body["data"]["models"][0] = {"model": "qwen-max", **row}
    await poll()
    assert state(hass, "usage_pct", "qwen-max") == usage
    assert state(hass, "used", "qwen-max") == used
    assert attributes(hass, "used", "qwen-max").get("limit") == limit


async def test_models_as_a_map(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Models as a map give the same entities as models as a list."""
    rows = simulator.body["data"]["models"]
    simulator.body["data"]["models"] = {row.pop("model"): row for row in rows}
    await setup(hass, entry)
    assert state(hass, "usage_pct", "qwen-max") == "82.0"
    assert state(hass, "used", "text-embedding-v4") == "30"


@pytest.mark.usefixtures("account")
async def test_figures_beyond_json(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """NaN and Infinity only make their own figure unknown."""
    body = answer("account")
    body["data"] |= {"monthly_spend": float("nan"), "tokens_used": float("inf")}
    simulator.body = json.dumps(body)
    await poll()
    assert state(hass, "monthly_spend") == STATE_UNKNOWN
    assert state(hass, "tokens_used") == STATE_UNKNOWN
    assert attributes(hass, "monthly_spend")["unit_of_measurement"] == "USD"
    assert state(hass, "daily_spend") == "12.34"


@pytest.mark.usefixtures("account")
async def test_billing_cycle_as_attributes(
    hass: HomeAssistant, simulator: Simulator, poll: Poll
) -> None:
    """Spend and status have the billing cycle as ISO dates, or None."""
    for days in (("2026-08-01", "2026-08-31"), ("2026-09-01", None)):
        simulator.body["data"]["billing_period"] = dict(
            zip(("start", "end"), days, strict=True)
        )
        await poll()
        for key in ("daily_spend", "monthly_spend", "status"):
            shown = attributes(hass, key)
            assert (shown["billing_cycle_start"], shown["billing_cycle_end"]) == days
