"""The options: valid and invalid input, and its effects."""

from http import HTTPStatus
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import ClientSessionGenerator
import voluptuous as vol

from custom_components.alibaba_cloud.const import (
    CONF_ASSISTANT,
    CONF_DAILY_BUDGET,
    CONF_EXPIRY_DAYS,
    CONF_FORECAST_ALERT,
    CONF_LOW_BALANCE,
    CONF_LOW_CREDITS,
    CONF_MODEL_LEVELS,
    CONF_MODELS,
    CONF_MONTHLY_BUDGET,
    CONF_SPEND_LEVELS,
    CONF_UNUSUAL_SPEND,
    CONF_WEEKLY_BUDGET,
    DOMAIN,
)
from custom_components.alibaba_cloud.options_validation import (
    CONF_MORE_ALERTS,
    MORE_ALERTS,
)
from custom_components.alibaba_cloud.validation import CONF_ALL_MODELS
from homeassistant.config_entries import ConfigFlowResult
from homeassistant.const import STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers.translation import async_get_translations
from homeassistant.loader import async_get_integration
from homeassistant.setup import async_setup_component

from .common import (
    NOW,
    Poll,
    attributes,
    entity_id,
    give_access_key,
    open_options,
    report,
    setup,
    state,
)
from .flows import fields, fields_of, held
from .simulator import Fault, Simulator

AMOUNTS = (CONF_MONTHLY_BUDGET, CONF_LOW_BALANCE)
LEVELS = (CONF_SPEND_LEVELS, CONF_MODEL_LEVELS)
UNCHANGED: dict[str, Any] = {
    CONF_SPEND_LEVELS: ["50", "80", "100"],
    CONF_MODEL_LEVELS: ["80", "100"],
    CONF_FORECAST_ALERT: True,
}
"""The data that the frontend submits if nothing is changed."""


def suggested(form_fields: dict[str, tuple[vol.Marker, Any]]) -> dict[str, Any]:
    """Return the initial values of fields without the empty ones."""
    return {
        name: value
        for name, (marker, _) in form_fields.items()
        if (value := (marker.description or {}).get("suggested_value")) is not None
    }


def shown(form: ConfigFlowResult) -> dict[str, Any]:
    """Return the initial values of a form without those of the section."""
    return suggested(fields(form))


def more(form: ConfigFlowResult) -> dict[str, Any]:
    """Return the initial values of the section."""
    _, section = fields(form)[CONF_MORE_ALERTS]
    return suggested(fields_of(section.schema))


def units(form: ConfigFlowResult) -> set[str | None]:
    """Return the units of the fields for amounts."""
    selectors = [fields(form)[name][1] for name in AMOUNTS]
    return {selector.config.get("unit_of_measurement") for selector in selectors}


async def send(
    hass: HomeAssistant, form: ConfigFlowResult, entered: dict[str, Any]
) -> ConfigFlowResult:
    """Submit a form."""
    result = await hass.config_entries.options.async_configure(form["flow_id"], entered)
    await hass.async_block_till_done(wait_background_tasks=True)
    return result


async def submit(
    hass: HomeAssistant, form: ConfigFlowResult, **entered: Any
) -> ConfigFlowResult:
    """Submit the form for alerts."""
    return await send(hass, form, {**UNCHANGED, **entered})


async def choose(
    hass: HomeAssistant, entry: MockConfigEntry, **entered: Any
) -> dict[str, Any]:
    """Complete the step for alerts, and return the options."""
    form = await open_options(hass, entry, "alerts")
    result = await submit(hass, form, **entered)
    assert result["type"] is FlowResultType.CREATE_ENTRY, result["errors"]
    return dict(entry.options)


@pytest.fixture
def complete(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> MockConfigEntry:
    """Return an account whose form has all fields, as it has an AccessKey."""
    give_access_key(hass, account, simulator)
    hass.config_entries.async_update_entry(account, options={})
    return account


async def test_menu(hass: HomeAssistant, account: MockConfigEntry) -> None:
    menu = await hass.config_entries.options.async_init(account.entry_id)
    assert menu["type"] is FlowResultType.MENU
    assert menu["menu_options"] == ["models", "alerts", "assistant"]


async def test_nothing_changed(hass: HomeAssistant, account: MockConfigEntry) -> None:
    """Submitting the initial values changes nothing."""
    form = await open_options(hass, account, "alerts")
    assert form["step_id"] == "alerts"
    assert shown(form) == UNCHANGED
    assert form["errors"] == {}
    assert await choose(hass, account) == {}
    assert await choose(hass, account, more_alerts=more(form)) == {}
    form = await open_options(hass, account, "alerts")
    assert shown(form) == UNCHANGED


async def test_default_again(hass: HomeAssistant, complete: MockConfigEntry) -> None:
    """An option that is set back to its default is not stored."""
    changes = {
        CONF_SPEND_LEVELS: ["50"],
        CONF_MODEL_LEVELS: [],
        CONF_FORECAST_ALERT: False,
    }
    kept = await choose(hass, complete, **changes, more_alerts={CONF_LOW_CREDITS: 5})
    assert {*changes, CONF_LOW_CREDITS} <= kept.keys()
    defaults = {
        CONF_UNUSUAL_SPEND: True,
        CONF_LOW_CREDITS: 20,
        CONF_EXPIRY_DAYS: "7",
    }
    assert await choose(hass, complete, more_alerts=defaults) == {}


async def test_shown_again(hass: HomeAssistant, account: MockConfigEntry) -> None:
    """Input is stored as numbers, and shown the next time with all its digits."""
    kept = await choose(
        hass,
        account,
        monthly_budget=250.5,
        low_balance="20",
        spend_levels=["999.9999", "33.333333"],
        model_levels=[],
        forecast_alert=False,
    )
    assert kept == {
        CONF_MONTHLY_BUDGET: 250.5,
        CONF_LOW_BALANCE: 20,
        CONF_SPEND_LEVELS: [33.333333, 999.9999],
        CONF_MODEL_LEVELS: [],
        CONF_FORECAST_ALERT: False,
    }
    form = await open_options(hass, account, "alerts")
    assert shown(form) == {**kept, CONF_SPEND_LEVELS: ["33.333333", "999.9999"]}


async def test_section(hass: HomeAssistant, complete: MockConfigEntry) -> None:
    """Options in the section are stored like the others, and shown the next time."""
    form = await open_options(hass, complete, "alerts")
    assert more(form) == {
        CONF_UNUSUAL_SPEND: True,
        CONF_LOW_CREDITS: 20,
        CONF_EXPIRY_DAYS: 7,
    }
    stored = {
        CONF_DAILY_BUDGET: 2.5,
        CONF_WEEKLY_BUDGET: 12,
        CONF_UNUSUAL_SPEND: False,
        CONF_LOW_CREDITS: 12.5,
        CONF_EXPIRY_DAYS: 30,
    }
    typed = {CONF_DAILY_BUDGET: "2,5", CONF_LOW_CREDITS: "12.5 %"}
    entered = {**stored, **typed, CONF_EXPIRY_DAYS: 30.0}
    assert await choose(hass, complete, more_alerts=entered) == stored
    form = await open_options(hass, complete, "alerts")
    assert more(form) == stored
    # Without the section, its options stay as they are.
    assert await choose(hass, complete) == stored


@pytest.mark.parametrize(
    "stored",
    [{}, {CONF_LOW_CREDITS: 12.5, CONF_EXPIRY_DAYS: 30}, {CONF_EXPIRY_DAYS: 0}],
)
async def test_without_an_access_key(
    hass: HomeAssistant, account: MockConfigEntry, stored: dict[str, float]
) -> None:
    """Nothing prepaid is read, so its fields are left out and keep their values."""
    hass.config_entries.async_update_entry(account, options=stored)
    form = await open_options(hass, account, "alerts")
    _, section = fields(form)[CONF_MORE_ALERTS]
    assert fields_of(section.schema).keys() == {
        CONF_DAILY_BUDGET,
        CONF_WEEKLY_BUDGET,
        CONF_UNUSUAL_SPEND,
    }
    entered = {CONF_DAILY_BUDGET: 2, CONF_UNUSUAL_SPEND: True}
    kept = await choose(hass, account, more_alerts=entered)
    assert kept == {CONF_DAILY_BUDGET: 2, **stored}


@pytest.mark.parametrize("empty", [{}, dict.fromkeys(MORE_ALERTS, "")])
async def test_empty_section(
    hass: HomeAssistant, complete: MockConfigEntry, empty: dict[str, str]
) -> None:
    """An empty field turns its alert off."""
    kept = await choose(
        hass, complete, more_alerts={CONF_UNUSUAL_SPEND: False, **empty}
    )
    off = {CONF_UNUSUAL_SPEND: False, CONF_LOW_CREDITS: 0, CONF_EXPIRY_DAYS: 0}
    assert kept == off
    form = await open_options(hass, complete, "alerts")
    assert more(form) == {CONF_UNUSUAL_SPEND: False}


@pytest.mark.parametrize(
    ("key", "bad"),
    [
        (CONF_DAILY_BUDGET, "0"),
        (CONF_WEEKLY_BUDGET, "a lot"),
        *((CONF_LOW_CREDITS, bad) for bad in (-1, 100.1, "few", True)),
        *((CONF_EXPIRY_DAYS, bad) for bad in (-1, 366, 1.5, "soon")),
    ],
)
async def test_error_in_the_section(
    hass: HomeAssistant, complete: MockConfigEntry, key: str, bad: Any
) -> None:
    """The error is at the section, names the field, and the input stays."""
    form = await open_options(hass, complete, "alerts")
    entered = {CONF_UNUSUAL_SPEND: True, key: bad}
    form = await submit(hass, form, more_alerts=entered, low_balance=0)
    assert form["errors"] == {
        CONF_LOW_BALANCE: "invalid_amount",
        CONF_MORE_ALERTS: f"invalid_{key}",
    }
    assert (await texts(hass))[f"invalid_{key}"]
    assert more(form) == entered
    result = await submit(hass, form, more_alerts={key: "5"})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert complete.options[key] == 5


async def test_amounts_emptied(hass: HomeAssistant, account: MockConfigEntry) -> None:
    """An empty or missing field means no budget."""
    for empty in ({}, {CONF_MONTHLY_BUDGET: None, CONF_LOW_BALANCE: ""}):
        kept = await choose(hass, account, monthly_budget=10, low_balance=10)
        assert kept == {CONF_MONTHLY_BUDGET: 10, CONF_LOW_BALANCE: 10}
        assert await choose(hass, account, **empty) == {}


async def test_levels_left_out(hass: HomeAssistant, account: MockConfigEntry) -> None:
    """A field that is missing has its default."""
    form = await open_options(hass, account, "alerts")
    result = await send(hass, form, {CONF_FORECAST_ALERT: True})
    assert result["type"] is FlowResultType.CREATE_ENTRY, result["errors"]
    assert account.options == {}


async def test_amount(hass: HomeAssistant, account: MockConfigEntry) -> None:
    """Amounts may have a point or a comma; integers stay integers."""
    for entered, kept in (
        (50, 50),
        (0.01, 0.01),
        ("12.5", 12.5),
        ("12,5", 12.5),
        ("12,50", 12.5),
        (" 7 ", 7),
        (100.0, 100),
        (1e15, 10**15),
    ):
        options = await choose(
            hass, account, monthly_budget=entered, low_balance=entered
        )
        for key in AMOUNTS:
            assert repr(options[key]) == repr(kept)


async def test_levels(hass: HomeAssistant, account: MockConfigEntry) -> None:
    """Levels are stored in order, once each, with or without a percent sign."""
    numbers: list[tuple[Any, list[Any]]] = [
        (["100", "50", "90"], [50, 90, 100]),
        (["50", "50.0", 50, "50 %", "50%"], [50]),
        (["12,5", "0.5", "0,25"], [0.25, 0.5, 12.5]),
        (["1000", "0.001"], [0.001, 1000]),
        ([str(level) for level in range(1, 11)], list(range(1, 11))),
        # Equal levels count once.
        (["80"] * 20, [80]),
        ([], []),
        (None, []),
        ("80", [80]),
        (80, [80]),
    ]
    for entered, kept in numbers:
        options = await choose(
            hass, account, spend_levels=entered, model_levels=entered
        )
        for key in LEVELS:
            assert repr(options[key]) == repr(kept)


NO_NUMBERS: tuple[Any, ...] = (
    0,
    "0",
    "0,0",
    -1,
    "-12,5",
    "a lot",
    "NaN",
    "inf",
    "-Infinity",
    float("nan"),
    float("inf"),
    1e300,
    "1e99999",
    True,
    "1,234.5",
    "1,234",
    "1.2.3",
    "80 USD",
    {},
)
BAD_AMOUNTS = [
    (item, "invalid_amount") for item in (*NO_NUMBERS, [], [50], 10**17, False)
]
BAD_LEVELS = [
    *(([item], "invalid_level") for item in NO_NUMBERS),
    *((item, "invalid_level") for item in (0, "a lot", True, "", 1000.1)),
    (["50", "1000.1"], "invalid_level"),
    (["50", 10**6], "invalid_level"),
    (["50", ""], "invalid_level"),
    (["50", None], "invalid_level"),
    (["50", ["80"]], "invalid_level"),
    (["50 80"], "invalid_level"),
    (list(map(str, range(1, 12))), "too_many_levels"),
    ([*map(str, range(1, 12)), "0"], "invalid_level"),
]


@pytest.mark.parametrize(
    ("key", "bad_values", "good", "stored"),
    [
        *((key, BAD_AMOUNTS, 50, 50) for key in AMOUNTS),
        *((key, BAD_LEVELS, ["60"], [60]) for key in LEVELS),
    ],
)
async def test_bad_values(
    hass: HomeAssistant,
    account: MockConfigEntry,
    key: str,
    bad_values: list[tuple[Any, str]],
    good: Any,
    stored: Any,
) -> None:
    """Invalid values show an error at their field, and the input stays."""
    errors = await texts(hass)
    form = await open_options(hass, account, "alerts")
    for bad, error in bad_values:
        form = await submit(hass, form, **{key: bad})
        assert form["type"] is FlowResultType.FORM, bad
        assert form["errors"] == {key: error}, bad
        # NaN stays, too, although it is not equal to itself.
        assert repr(shown(form)[key]) == repr(bad)
        assert account.options == {}
        assert errors[error]
    result = await submit(hass, form, **{key: good})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert account.options == {key: stored}


async def texts(hass: HomeAssistant) -> dict[str, str]:
    """Return the error texts by key."""
    prefix = f"component.{DOMAIN}.options.error."
    found = await async_get_translations(hass, "en", "options", {DOMAIN})
    return {
        key.removeprefix(prefix): text
        for key, text in found.items()
        if key.startswith(prefix)
    }


async def test_all_errors_at_once(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    """Each field has its own error."""
    form = await open_options(hass, account, "alerts")
    form = await submit(
        hass,
        form,
        monthly_budget=0,
        low_balance="-1",
        spend_levels=["0"],
        model_levels=[str(level) for level in range(1, 12)],
    )
    assert form["errors"] == {
        CONF_MONTHLY_BUDGET: "invalid_amount",
        CONF_LOW_BALANCE: "invalid_amount",
        CONF_SPEND_LEVELS: "invalid_level",
        CONF_MODEL_LEVELS: "too_many_levels",
    }
    form = await submit(hass, form, monthly_budget=0)
    assert form["errors"] == {CONF_MONTHLY_BUDGET: "invalid_amount"}
    result = await submit(hass, form)
    assert result["type"] is FlowResultType.CREATE_ENTRY


async def test_steps_leave_each_other_alone(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    """A step keeps the options of the other steps."""
    await choose(hass, account, monthly_budget=50)
    form = await open_options(hass, account, "assistant")
    await send(hass, form, {CONF_ASSISTANT: True})
    form = await open_options(hass, account, "models")
    await send(hass, form, {CONF_MODELS: ["qwen-max"]})
    expected = {
        CONF_MONTHLY_BUDGET: 50,
        CONF_ASSISTANT: True,
        CONF_MODELS: ["qwen-max"],
    }
    assert account.options == expected
    assert await choose(hass, account, low_balance=5) == {
        key: value
        for key, value in {**expected, CONF_LOW_BALANCE: 5}.items()
        if key != CONF_MONTHLY_BUDGET
    }


async def test_assistant(hass: HomeAssistant, account: MockConfigEntry) -> None:
    """The option is off by default, and the form shows its value."""
    for before, after in ((False, False), (False, True), (True, True), (True, False)):
        form = await open_options(hass, account, "assistant")
        assert form["step_id"] == "assistant"
        assert shown(form) == {CONF_ASSISTANT: before}
        result = await send(hass, form, {CONF_ASSISTANT: after})
        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert account.options == ({CONF_ASSISTANT: True} if after else {})


async def test_models(hass: HomeAssistant, account: MockConfigEntry) -> None:
    """The form shows the current selection, and can select all models again."""
    everything = {CONF_ALL_MODELS: True, CONF_MODELS: []}
    chosen = {CONF_ALL_MODELS: False, CONF_MODELS: ["qwen-max"]}
    for before, typed, after in (
        (everything, everything, None),
        (everything, {CONF_ALL_MODELS: True, CONF_MODELS: ["qwen-max"]}, ["qwen-max"]),
        (chosen, chosen, ["qwen-max"]),
        (chosen, {CONF_ALL_MODELS: True, CONF_MODELS: ["qwen-max"]}, []),
        (everything, everything, []),
        (everything, chosen, ["qwen-max"]),
    ):
        form = await open_options(hass, account)
        assert {**shown(form), CONF_ALL_MODELS: held(form, CONF_ALL_MODELS)} == before
        result = await send(hass, form, typed)
        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert account.options.get(CONF_MODELS) == after


async def test_no_models(hass: HomeAssistant, account: MockConfigEntry) -> None:
    """Selecting no models is an error that keeps the input."""
    typed = {CONF_ALL_MODELS: False, CONF_MODELS: []}
    form = await open_options(hass, account)
    form = await send(hass, form, typed)
    assert form["errors"] == {CONF_MODELS: "no_models_selected"}
    assert shown(form) == typed
    assert (await texts(hass))["no_models_selected"]
    result = await send(hass, form, {**typed, CONF_MODELS: ["qwen-max"]})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert account.options == {CONF_MODELS: ["qwen-max"]}


async def test_alerts_name_the_blueprints(
    hass: HomeAssistant, account: MockConfigEntry
) -> None:
    form = await open_options(hass, account, "alerts")
    integration = await async_get_integration(hass, DOMAIN)
    placeholders = form["description_placeholders"]
    assert placeholders == {"blueprints": f"{integration.documentation}#blueprints"}


@pytest.mark.logs("Error fetching")
async def test_without_any_figure(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Alerts can be set before the account is read, without a currency."""
    assert (await open_options(hass, entry))["reason"] == "nothing_read"
    form = await open_options(hass, entry, "alerts")
    assert units(form) == {None}
    assert shown(form) == UNCHANGED
    hass.config_entries.options.async_abort(form["flow_id"])

    simulator.fail(Fault.SERVER_ERROR)
    await setup(hass, entry)
    form = await open_options(hass, entry, "alerts")
    assert units(form) == {None}
    simulator.recover()
    result = await submit(hass, form, monthly_budget=200)
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert entry.options == {CONF_MONTHLY_BUDGET: 200}
    assert state(hass, "remaining_budget") == "12.35"


@pytest.mark.parametrize("monthly_spend", [187.65, None])
async def test_currency(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    monthly_spend: float | None,
) -> None:
    """Amounts are in the currency of the spend, else in that of the balance."""
    report(simulator, monthly_spend=monthly_spend, available=None)
    await setup(hass, entry)
    currency = "USD" if monthly_spend else None
    assert units(await open_options(hass, entry, "alerts")) == {currency}
    report(simulator, available=10)
    await poll()
    assert units(await open_options(hass, entry, "alerts")) == {"USD"}


async def test_budget(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
) -> None:
    """A budget replaces the service's limit at once, as the account is reloaded."""
    assert state(hass, "budget_usage_pct") == "37.53"
    assert state(hass, "remaining_budget") == "312.35"
    polls = len(simulator.requests)
    await choose(hass, account, monthly_budget=1000)
    assert len(simulator.requests) == polls + 1
    assert state(hass, "budget_usage_pct") == "18.765"
    assert state(hass, "remaining_budget") == "812.35"
    assert state(hass, "spend_limit") == "500"

    # The budget also works without the service's limit.
    report(simulator, spend_limit=None, monthly_spend=1250)
    await poll()
    assert state(hass, "budget_usage_pct") == "125.0"
    assert state(hass, "remaining_budget") == "-250"
    await choose(hass, account)
    assert state(hass, "budget_usage_pct") == STATE_UNKNOWN
    assert state(hass, "remaining_budget") == STATE_UNKNOWN


@pytest.mark.logs("Error fetching")
async def test_budget_in_the_currency_of_the_bill(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
) -> None:
    """The budget is in the currency of the bill."""
    freezer.move_to(NOW)
    give_access_key(hass, entry, simulator)
    await setup(hass, entry)
    assert entity_id(hass, "budget_usage_pct") is None
    assert units(await open_options(hass, entry, "alerts")) == {"CNY"}
    await choose(hass, entry, monthly_budget="900,5")
    assert state(hass, "budget_usage_pct") == "98.4486"
    assert state(hass, "remaining_budget") == "13.97"
    assert attributes(hass, "remaining_budget")["unit_of_measurement"] == "CNY"
    simulator.denied = {"GetBillingTrend"}
    assert await hass.config_entries.async_reload(entry.entry_id)
    await hass.async_block_till_done(wait_background_tasks=True)
    assert units(await open_options(hass, entry, "alerts")) == {"CNY"}


async def test_unchanged_options_reload_nothing(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    polls = len(simulator.requests)
    await choose(hass, account)
    assert len(simulator.requests) == polls


async def test_as_the_frontend_does(
    hass: HomeAssistant,
    account: MockConfigEntry,
    hass_client: ClientSessionGenerator,
) -> None:
    """Forms, errors and input pass through Home Assistant's HTTP API."""
    assert await async_setup_component(hass, "config", {})
    client = await hass_client()
    url = "/api/config/config_entries/options/flow"

    async def post(path: str, **data: Any) -> dict[str, Any]:
        response = await client.post(f"{url}{path}", json=data)
        assert response.status == HTTPStatus.OK
        answer: dict[str, Any] = await response.json()
        return answer

    menu = await post("", handler=account.entry_id)
    step = f"/{menu['flow_id']}"
    form = await post(step, next_step_id="alerts")
    listed = {field["name"]: field for field in form["data_schema"]}
    assert list(listed) == [
        CONF_MONTHLY_BUDGET,
        CONF_SPEND_LEVELS,
        CONF_FORECAST_ALERT,
        CONF_LOW_BALANCE,
        CONF_MODEL_LEVELS,
        CONF_MORE_ALERTS,
    ]
    number = listed[CONF_MONTHLY_BUDGET]["selector"]["number"]
    assert number["unit_of_measurement"] == "USD"
    select = listed[CONF_SPEND_LEVELS]["selector"]["select"]
    assert select["options"] == ["50", "80", "100"]
    assert select["custom_value"]
    assert select["multiple"]
    form = await post(step, **UNCHANGED, monthly_budget=0)
    assert form["errors"] == {CONF_MONTHLY_BUDGET: "invalid_amount"}
    result = await post(step, **UNCHANGED, monthly_budget=75)
    assert result["type"] == "create_entry"
    await hass.async_block_till_done(wait_background_tasks=True)
    assert account.options == {CONF_MONTHLY_BUDGET: 75}
