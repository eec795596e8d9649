"""Levels of triggers: each fires once at its level, independent of the options."""

from collections.abc import Callable
from copy import deepcopy
import json
from typing import Any
from unittest.mock import patch

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import (
    CONF_MODEL_LEVELS,
    CONF_MONTHLY_BUDGET,
    CONF_SPEND_LEVELS,
    DOMAIN,
)
from homeassistant.components.automation import DOMAIN as AUTOMATION
from homeassistant.core import CoreState, HomeAssistant

from .common import (
    LONG,
    STORED,
    Poll,
    arm,
    at_level,
    last_event,
    model_levels,
    reload,
    report,
    restart,
    setup,
    spend_levels,
    start,
    switch,
    triggered,
    unload,
)
from .simulator import Fault, Simulator

pytestmark = pytest.mark.usefixtures("kept")

KEYS = ("spend_level_reached", "model_level_reached")


@pytest.fixture
async def simulator(simulator: Simulator) -> Simulator:
    """Report the account and a model at 20 %."""
    use(simulator, 20)
    return simulator


def use(simulator: Simulator, share: float) -> None:
    """Report this share of the spend limit of 500 USD and of a model's limit."""
    report(simulator, monthly_spend=share * 5, used=share * 10)


def both(*levels: float) -> list[tuple[str, float]]:
    """Return the expected result of `triggered` for levels of the spend and a model."""
    return spend_levels(*levels) + model_levels(*levels)


def triggers(*levels: float) -> list[dict[str, Any]]:
    """Return triggers for levels of the spend and of models."""
    return [at_level(level, key) for level in levels for key in KEYS]


@pytest.mark.parametrize("level", [90, 90.0, "90", 87.5, 0.1, 1000])
async def test_between_the_options(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    level: Any,
) -> None:
    """A level that is not in the options fires once at that level."""
    use(simulator, 0.05)
    await poll()
    events = await arm(hass, *triggers(level))
    number = float(level)
    for share, expected in (
        (number * 0.99, []),
        (number, both(number)),
        (number * 1.01, []),
        (max(number * 1.1, 101), []),
    ):
        use(simulator, share)
        await poll()
        assert triggered(events) == expected
        await reload(hass, account)
        assert events == []


async def test_without_level(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Without a level, a trigger fires only at the levels of the options."""
    events = await arm(hass, *({"trigger": f"{DOMAIN}.{key}"} for key in KEYS))
    other = await arm_another(hass, *triggers(90))
    for share, expected in (
        (49, []),
        (50, spend_levels(50)),
        (80, both(80)),
        (95, []),
        (100, both(100)),
    ):
        use(simulator, share)
        await poll()
        assert triggered(events) == expected
    assert triggered(other) == both(90)


async def arm_another(hass: HomeAssistant, *triggers: dict[str, Any]) -> list[Any]:
    """Add an automation, and return the list of events that it fires."""
    events: list[Any] = []
    hass.bus.async_listen("another", events.append)
    config = {
        AUTOMATION: [
            *(
                deepcopy(automation.raw_config)
                for automation in hass.data[AUTOMATION].entities
            ),
            {
                "alias": "Another",
                "id": "another",
                "mode": "parallel",
                "triggers": list(triggers),
                "actions": {
                    "event": "another",
                    "event_data": {"trigger": "{{ trigger }}"},
                },
            },
        ]
    }
    await reload_automations(hass, config)
    return events


async def reload_automations(hass: HomeAssistant, config: dict[str, Any]) -> None:
    """Reload the automations."""
    with patch("homeassistant.config.async_hass_config_yaml", return_value=config):
        await hass.services.async_call(AUTOMATION, "reload", blocking=True)
    await hass.async_block_till_done()


async def test_not_shown(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """The event entity does not show levels that only an automation uses."""
    events = await arm(hass, *triggers(40))
    use(simulator, 45)
    await poll()
    assert triggered(events) == both(40)
    assert last_event(hass) == (None, {})


async def test_option_and_trigger(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A level in the options and in a trigger alerts once, as one of the options."""
    events = await arm(
        hass,
        *triggers(80),
        *triggers("80.0"),  # type: ignore[arg-type]
        {"trigger": f"{DOMAIN}.spend_level_reached"},
    )
    use(simulator, 85)
    await poll()
    assert sorted(triggered(events)) == sorted(
        spend_levels(50, 80, 80, 80) + model_levels(80, 80)
    )
    assert last_event(hass)[1]["level"] == 80


@pytest.mark.parametrize("options_gone", [False, True])
async def test_without_options(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    options_gone: bool,
) -> None:
    """A level fires without levels in the options, and with another budget."""
    if options_gone:
        hass.config_entries.async_update_entry(
            account,
            options={
                CONF_SPEND_LEVELS: [],
                CONF_MODEL_LEVELS: [],
                CONF_MONTHLY_BUDGET: 1000,
            },
        )
        await reload(hass, account)
    events = await arm(hass, *triggers(45))
    use(simulator, 45)
    await poll()
    assert triggered(events) == (model_levels(45) if options_gone else both(45))
    use(simulator, 90)
    await poll()
    assert triggered(events) == (spend_levels(45) if options_gone else [])


async def test_once_in_a_period(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    poll: Poll,
) -> None:
    """A new billing period re-arms the level."""
    events = await arm(hass, at_level(90))
    report(simulator, monthly_spend=460)
    await poll()
    assert triggered(events) == spend_levels(90)
    freezer.move_to("2026-08-31 16:00:00+00:00")
    report(
        simulator,
        daily_spend=10,
        monthly_spend=10,
        billing_period={"start": "2026-09-01", "end": "2026-09-30"},
    )
    await poll()
    assert events == []
    report(simulator, daily_spend=450, monthly_spend=450)
    await poll()
    assert triggered(events) == spend_levels(90)


@pytest.mark.parametrize("automation_first", [True, False])
async def test_crossed_while_home_assistant_was_down(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    automation_first: bool,
) -> None:
    """A level crossed during downtime fires after the start."""
    events = await arm(hass, *triggers(90))
    await poll()
    await unload(hass, account)
    await remove_automations(hass)
    use(simulator, 95)
    hass.set_state(CoreState.not_running)
    if automation_first:
        await add_automation(hass, *triggers(90))
    await setup(hass, account)
    await poll()
    if not automation_first:
        await add_automation(hass, *triggers(90))
    assert events == []
    await start(hass)
    assert triggered(events) == both(90)
    await restart(hass, account)
    await poll()
    assert events == []


async def remove_automations(hass: HomeAssistant) -> None:
    """Remove all automations."""
    await reload_automations(hass, {AUTOMATION: []})


async def add_automation(hass: HomeAssistant, *triggers: dict[str, Any]) -> None:
    """Add an automation that records events, with other triggers."""
    await reload_automations(
        hass,
        {
            AUTOMATION: [
                {
                    "alias": "Tell",
                    "mode": "parallel",
                    "triggers": list(triggers),
                    "actions": {
                        "event": "triggered",
                        "event_data": {"trigger": "{{ trigger }}"},
                    },
                }
            ]
        },
    )


@pytest.mark.logs("Error fetching", "Error fetching")
async def test_crossed_in_an_outage(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A level crossed in an outage fires after it."""
    events = await arm(hass, *triggers(90))
    await poll()
    simulator.fail(Fault.SERVER_ERROR)
    await poll()
    await reload(hass, account)
    use(simulator, 95)
    simulator.recover()
    await poll(LONG)
    assert triggered(events) == both(90)


@pytest.mark.parametrize("again", [reload, restart])
async def test_added_late(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    again: Callable[..., Any],
) -> None:
    """An automation does not fire for a level that was passed before it was added."""
    use(simulator, 95)
    await poll()
    events = await arm(hass, *triggers(90, 97))
    assert events == []
    await poll()
    await again(hass, account)
    assert events == []
    use(simulator, 98)
    await poll()
    assert triggered(events) == both(97)


async def test_reloaded_automation(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A reload of the automation neither loses the level nor repeats it."""
    events = await arm(hass, *triggers(70))
    await add_automation(hass, *triggers(90))
    await poll()
    use(simulator, 95)
    await add_automation(hass, *triggers(90), *triggers(99))
    assert events == []
    await poll()
    assert triggered(events) == both(90)
    await add_automation(hass, *triggers(90))
    await poll()
    assert events == []


async def test_turned_off(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A level crossed while the automation is off does not fire later."""
    events = await arm(hass, *triggers(90))
    await poll()
    await switch(hass, "turn_off")
    use(simulator, 95)
    await poll()
    await poll()
    await switch(hass, "turn_on")
    await poll()
    assert events == []


async def test_first_seen_above(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A new account alerts the levels that are already reached."""
    events = await arm(hass, *triggers(70, 97))
    use(simulator, 95)
    await setup(hass, entry)
    assert triggered(events) == both(70)


async def test_wavering_limit(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """A limit that wavers around a level alerts it once, and nothing piles up."""
    events = await arm(hass)
    await arm_another(hass, at_level(79.9))
    report(simulator, monthly_spend=400)
    sizes = []
    for number in range(40):
        report(simulator, spend_limit=500 + (-1) ** number)
        await poll()
        sizes.append(len(json.dumps(kept[STORED]["data"])))
    assert triggered(events) == spend_levels(50, 80)
    assert len(set(sizes[2:])) == 1


async def test_memory_of_models_that_are_gone(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """Levels of a model are forgotten with it; a model that returns is new."""
    events = await arm(hass)
    use(simulator, 45)
    report(simulator, used=850)
    await poll()
    assert triggered(events) == model_levels(80)
    assert kept[STORED]["data"]["alerts"]["models"] == {"qwen-max": ["80"]}
    row = simulator.body["data"]["models"].pop(0)
    await poll()
    assert kept[STORED]["data"]["alerts"]["models"] == {}
    simulator.body["data"]["models"].insert(0, row)
    await poll()
    assert triggered(events) == model_levels(80)


async def test_levels_that_nobody_waits_for(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
    poll: Poll,
    kept: dict[str, Any],
) -> None:
    """Levels that no trigger uses are forgotten with the billing period."""
    await arm(hass, *triggers(*range(1, 20)))
    await poll()
    await add_automation(hass, *triggers(90))
    await poll()
    alerts = kept[STORED]["data"]["alerts"]
    assert set(alerts["model_levels"]) == {"80", "90", "100"}
    freezer.move_to("2026-08-31 16:00:00+00:00")
    report(
        simulator,
        daily_spend=10,
        monthly_spend=10,
        billing_period={"start": "2026-09-01", "end": "2026-09-30"},
    )
    await poll()
    alerts = kept[STORED]["data"]["alerts"]
    assert set(alerts["spend_levels"]) == {"50", "80", "90", "100"}
