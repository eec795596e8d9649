"""Targets of triggers and conditions, and the accounts and models they include."""

from collections.abc import Callable
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import DOMAIN
from custom_components.alibaba_cloud.targets import Target
from homeassistant.components.automation import automations_with_device
from homeassistant.core import HomeAssistant
from homeassistant.helpers import (
    area_registry as ar,
    device_registry as dr,
    entity_registry as er,
    floor_registry as fr,
    label_registry as lr,
)

from .common import (
    Poll,
    arm,
    device,
    entity_id,
    model_levels,
    report,
    setup,
    spend_levels,
    triggered,
)
from .simulator import Simulator

OF_ACCOUNT = {"trigger": f"{DOMAIN}.spend_level_reached"}
OF_MODELS = {"trigger": f"{DOMAIN}.model_level_reached"}


@pytest.fixture
async def simulator(simulator: Simulator) -> Simulator:
    """Report the account and its models below all levels."""
    report(simulator, monthly_spend=100, used=100)
    return simulator


@pytest.fixture
async def places(hass: HomeAssistant, account: MockConfigEntry) -> dict[str, str]:
    """Return devices, entities, areas and labels by name.

    The account is in the office, which is upstairs. The model qwen-plus is in the lab,
    and a limit of qwen-max is in the store. The account and its alerts have different
    labels.
    """
    devices, entities = dr.async_get(hass), er.async_get(hass)
    upstairs = fr.async_get(hass).async_create("Upstairs")
    office = ar.async_get(hass).async_create("Office", floor_id=upstairs.floor_id)
    lab, store = (ar.async_get(hass).async_create(name) for name in ("Lab", "Store"))
    paid, noisy = (lr.async_get(hass).async_create(name) for name in ("Paid", "Noisy"))
    ids = {
        "account": device(hass, account),
        "max": device(hass, account, "qwen-max"),
        "plus": device(hass, account, "qwen-plus"),
        "alerts": entity_id(hass, "alerts") or "",
        "used of max": entity_id(hass, "usage_pct", "qwen-max") or "",
        "upstairs": upstairs.floor_id,
        "office": office.id,
        "lab": lab.id,
        "store": store.id,
        "paid": paid.label_id,
        "noisy": noisy.label_id,
    }
    devices.async_update_device(
        ids["account"], area_id=office.id, labels={paid.label_id}
    )
    devices.async_update_child_device(ids["plus"], area_id=lab.id)
    entities.async_update_entity(ids["alerts"], labels={noisy.label_id})
    limit = entity_id(hass, "limit", "qwen-max") or ""
    entities.async_update_entity(limit, area_id=store.id)
    return ids


type Choice = Callable[[dict[str, str]], dict[str, Any]]

# Targets, and whether each includes the account, qwen-max and qwen-plus.
TARGETS: dict[str, tuple[Choice, bool, bool, bool]] = {
    "nothing": (lambda ids: {}, True, True, True),
    "empty": (lambda ids: {"device_id": [], "area_id": []}, True, True, True),
    "none": (lambda ids: {"entity_id": "none"}, False, False, False),
    "account": (lambda ids: {"device_id": [ids["account"]]}, True, True, True),
    "model": (lambda ids: {"device_id": ids["max"]}, True, True, False),
    "alerts": (lambda ids: {"entity_id": [ids["alerts"]]}, True, True, True),
    "entity of a model": (
        lambda ids: {"entity_id": [ids["used of max"]]},
        True,
        True,
        False,
    ),
    "area": (lambda ids: {"area_id": [ids["office"]]}, True, True, False),
    "area of a model": (lambda ids: {"area_id": [ids["lab"]]}, True, False, True),
    "area of a diagnostic entity": (
        lambda ids: {"area_id": [ids["store"]]},
        True,
        True,
        False,
    ),
    "floor": (lambda ids: {"floor_id": [ids["upstairs"]]}, True, True, False),
    "label": (lambda ids: {"label_id": [ids["paid"]]}, True, True, True),
    "label of alerts": (
        lambda ids: {"label_id": [ids["noisy"]]},
        True,
        False,
        False,
    ),
    "gone": (
        lambda ids: {"device_id": ["gone"], "entity_id": ["event.gone"]},
        False,
        False,
        False,
    ),
    "without a model": (
        lambda ids: {
            "device_id": [ids["account"]],
            "exclude": {"device_id": [ids["max"]]},
        },
        True,
        False,
        True,
    ),
    "without the account": (
        lambda ids: {
            "area_id": [ids["office"], ids["lab"]],
            "exclude": {"entity_id": [ids["alerts"]]},
        },
        False,
        False,
        False,
    ),
    "without an area": (
        lambda ids: {
            "label_id": [ids["paid"]],
            "exclude": {"area_id": [ids["lab"]]},
        },
        True,
        True,
        False,
    ),
}


@pytest.mark.parametrize("name", TARGETS)
async def test_target(
    hass: HomeAssistant, account: MockConfigEntry, places: dict[str, str], name: str
) -> None:
    """An account includes its models, and an entity its device."""
    choose, of_account, of_max, of_plus = TARGETS[name]
    target = Target(hass, choose(places))
    assert target.has_account(account.entry_id) is of_account
    assert target.has_device(places["max"]) is of_max
    assert target.has_device(places["plus"]) is of_plus
    assert target.has_account("other") is (name in ("nothing", "empty"))


async def test_devices_that_move(
    hass: HomeAssistant,
    account: MockConfigEntry,
    places: dict[str, str],
    simulator: Simulator,
    poll: Poll,
) -> None:
    """A target follows devices that move, without a reload of the automation."""
    target = {"target": {"area_id": [places["lab"]]}}
    events = await arm(hass, {**OF_ACCOUNT, **target}, {**OF_MODELS, **target})
    registry = dr.async_get(hass)
    registry.async_update_child_device(places["plus"], area_id=None)
    report(simulator, monthly_spend=250, used=800)
    await poll()
    assert events == []
    registry.async_update_device(places["account"], area_id=places["lab"])
    report(simulator, monthly_spend=400, used=1000)
    await poll()
    assert triggered(events) == spend_levels(80) + model_levels(100)


async def test_related(
    hass: HomeAssistant, account: MockConfigEntry, places: dict[str, str]
) -> None:
    """A device lists the automations whose triggers and conditions target it."""
    await arm(hass, {**OF_MODELS, "target": {"device_id": [places["max"]]}})
    assert automations_with_device(hass, places["max"]) == ["automation.record"]
    assert automations_with_device(hass, places["plus"]) == []


async def test_every_entity_disabled(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Targets work if all entities are disabled."""
    hass.config_entries.async_update_entry(entry, pref_disable_new_entities=True)
    await setup(hass, entry)
    assert hass.states.async_all(("event", "sensor", "binary_sensor")) == []
    area = ar.async_get(hass).async_create("Office")
    dr.async_get(hass).async_update_device(device(hass, entry), area_id=area.id)
    events = await arm(
        hass,
        {**OF_ACCOUNT, "target": {"device_id": [device(hass, entry)]}},
        {**OF_MODELS, "target": {"area_id": [area.id]}},
    )
    report(simulator, monthly_spend=250, used=800)
    await poll()
    assert triggered(events) == spend_levels(50) + model_levels(80)
