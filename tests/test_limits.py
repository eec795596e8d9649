"""Accounts whose key reads limits only: hundreds of rows, without money or usage."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import CONF_BASE_URL, CONF_MODELS, DOMAIN
from custom_components.alibaba_cloud.validation import CONF_ALL_MODELS
from homeassistant.config_entries import SOURCE_USER
from homeassistant.const import CONF_API_KEY, CONF_URL, STATE_UNAVAILABLE, STATE_UNKNOWN
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import entity_registry as er

from .common import (
    API_KEY,
    NOW,
    Poll,
    answer,
    devices,
    entity_id,
    offered,
    open_options,
    setup,
    state,
)
from .simulator import Fault, Simulator

CHOSEN = ["qwen-max", "qwen-plus"]
HALF_AN_HOUR = 30 * 60


@pytest.fixture
async def limited(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
) -> MockConfigEntry:
    """Return an account that reports limits only, with two selected models."""
    freezer.move_to(NOW)
    simulator.body = None
    simulator.account.answer = "limits"
    hass.config_entries.async_update_entry(entry, options={CONF_MODELS: CHOSEN})
    await setup(hass, entry)
    return entry


def asked(simulator: Simulator) -> list[tuple[str | None, str | None]]:
    """Return page and size of each request since the last call."""
    pages = [
        (request.query.get("page_no"), request.query.get("page_size"))
        for request in simulator.requests
    ]
    simulator.requests.clear()
    return pages


LISTING = [(str(number), "100") for number in range(1, 6)]


async def test_pages_are_listed_now_and_then(
    limited: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """A poll is one small request; all pages are read every half hour."""
    assert asked(simulator) == [(None, None), *LISTING]
    for _ in range(HALF_AN_HOUR // 31):
        await poll()
        assert asked(simulator) == [("1", "1")]
    await poll()
    assert asked(simulator) == [("1", "1"), *LISTING]


async def test_more_rows_are_listed_at_once(
    hass: HomeAssistant, limited: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """If the number of rows changes, all pages are read at once."""
    simulator.requests.clear()
    simulator.account.remove_model("qwen-max")
    await poll()
    assert asked(simulator)[0] == ("1", "1")
    assert entity_id(hass, "rpm", "qwen-max") is None
    assert state(hass, "rpm", "qwen-plus") is not None


async def test_entities(
    hass: HomeAssistant, limited: MockConfigEntry, simulator: Simulator
) -> None:
    """Selected models have enabled entities for limits; there are no others."""
    entities = er.async_entries_for_config_entry(er.async_get(hass), limited.entry_id)
    keys = {entity.unique_id.removeprefix("account_") for entity in entities}
    assert keys == {
        "alerts",
        "status",
        "api_key_problem",
        "rate_limited",
        "account_available",
        "available_data",
        *(f"model_{model}_{cap}" for model in CHOSEN for cap in ("rpm", "tpm")),
    }
    assert all(entity.disabled_by is None for entity in entities)
    assert state(hass, "available_data") == "limits"
    model = simulator.account.models[0]
    assert model.name == "qwen-max"
    assert state(hass, "rpm", "qwen-max") == str(model.rpm)
    assert state(hass, "tpm", "qwen-max") == str(model.tpm)


async def test_answer_changes_to_usage_and_back(
    hass: HomeAssistant, limited: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """An account that starts to report usage gets the entities and keeps them."""
    simulator.body = answer("account")
    await poll()
    assert state(hass, "monthly_spend") == "187.65"
    assert state(hass, "usage_pct", "qwen-max") == "82.0"
    assert state(hass, "available_data") == "spend_and_usage"
    asked(simulator)
    await poll()
    assert asked(simulator) == [(None, None)]

    simulator.body = None
    await poll()
    assert state(hass, "monthly_spend") == STATE_UNKNOWN
    assert state(hass, "usage_pct", "qwen-max") == STATE_UNKNOWN
    assert state(hass, "rpm", "qwen-plus") not in (STATE_UNKNOWN, STATE_UNAVAILABLE)


async def test_usage_turns_to_limits(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Listed models keep their devices; no other model gets one."""
    simulator.body = None
    simulator.account.answer = "limits"
    await poll()
    assert devices(hass, account) == {"qwen-max", "qwen-plus", "text-embedding-v4"}
    assert state(hass, "used", "qwen-plus") == STATE_UNKNOWN


def row(model: str, **limit: Any) -> dict[str, Any]:
    """Return a row with a limit of a model."""
    return {"model": model, "model_limit": limit, "workspace_limit": None}


ROWS = [row(f"model-{number}", request_limit=number) for number in range(250)]


def page(
    rows: list[Any], query: Mapping[str, str], *, total: Any = None
) -> dict[str, Any]:
    """Return the page of the rows for a query."""
    number, size = int(query.get("page_no", 1)), int(query.get("page_size", 20))
    return {
        "output": {
            "total": len(rows) if total is None else total,
            "quotas": rows[(number - 1) * size : number * size],
        }
    }


def number_of(query: Mapping[str, str]) -> int:
    """Return the page number in a query."""
    return int(query.get("page_no", 1))


@pytest.mark.logs("Error fetching .* answer is not from Model Studio")
@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(lambda query: page(ROWS, {**query, "page_no": "1"}), id="repeats"),
        pytest.param(
            lambda query: page(ROWS, query, total=250 - number_of(query)), id="shrinks"
        ),
        pytest.param(
            lambda query: page(ROWS, query, total=250 + number_of(query)), id="grows"
        ),
        pytest.param(lambda query: page(ROWS, query, total=251), id="ends early"),
        pytest.param(
            lambda query: page(
                [
                    row(f"{number_of(query)}-{number}")
                    for number in range(100 * number_of(query))
                ],
                query,
                total=10**6,
            ),
            id="never ends",
        ),
        pytest.param(
            lambda query: page([*ROWS[:-1], None], query), id="row of the wrong type"
        ),
        pytest.param(
            lambda query: page([*ROWS[:-1], row("")], query), id="row without a model"
        ),
        pytest.param(
            lambda query: (
                page(ROWS, query)
                if number_of(query) < 3
                else {"output": {"quotas": "none"}}
            ),
            id="page of another shape",
        ),
        pytest.param(
            lambda query: (
                page(ROWS, query) if number_of(query) < 3 else answer("account")
            ),
            id="another answer",
        ),
    ],
)
async def test_partial_listing_is_no_listing(
    hass: HomeAssistant,
    limited: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    broken: Callable[[Mapping[str, str]], Any],
) -> None:
    """An incomplete list is an error, and removes no model."""
    simulator.body = broken
    simulator.requests.clear()
    await poll()
    assert len(simulator.requests) <= 101
    assert state(hass, "status") == "error"
    assert state(hass, "rpm", "qwen-max") == STATE_UNAVAILABLE

    simulator.body = None
    await poll()
    assert state(hass, "status") == "ok"
    assert state(hass, "rpm", "qwen-max") not in (STATE_UNKNOWN, STATE_UNAVAILABLE)


@pytest.mark.logs("Error fetching")
async def test_failure_within_a_listing(
    hass: HomeAssistant, limited: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """If a page is throttled, the last list stays, and is read again later."""
    before = state(hass, "rpm", "qwen-max")
    simulator.account.remove_model("qwen-turbo")
    simulator.fail(Fault.THROTTLED, times=1)
    await poll()
    assert state(hass, "status") == "limited"
    assert state(hass, "rpm", "qwen-max") == before
    simulator.requests.clear()
    await poll(61)
    assert state(hass, "status") == "ok"
    assert asked(simulator) == [("1", "1"), *LISTING]


@pytest.mark.parametrize(
    ("rows", "rpm", "tpm"),
    [
        ([row("m", request_limit=600, request_limit_period=60)], "600", None),
        ([row("m", request_limit=10, request_limit_period=1)], "600", None),
        ([row("m", request_limit=1, request_limit_period=120)], "0.5", None),
        (
            [
                row("m", request_limit=1200, request_limit_period=60),
                row("m", request_limit=10, request_limit_period=1),
            ],
            "600",
            None,
        ),
        (
            [
                {
                    "model": "m",
                    "model_limit": {
                        "request_limit": 1200,
                        "request_limit_period": 60,
                        "usage_limit": 1_000_000,
                        "usage_limit_field": "total_tokens",
                        "usage_limit_period": 60,
                    },
                    "workspace_limit": {
                        "request_limit": 5,
                        "request_limit_period": 1,
                        "usage_limit": None,
                    },
                }
            ],
            "300",
            "1000000",
        ),
        (
            [
                row(
                    "m",
                    usage_limit=100,
                    usage_limit_field="images",
                    usage_limit_period=60,
                    request_limit=2,
                    request_limit_period=60,
                )
            ],
            "2",
            None,
        ),
    ],
)
async def test_limit_that_binds(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    rows: list[Any],
    rpm: str,
    tpm: str | None,
) -> None:
    """The lowest limit per minute of all rows and workspaces applies."""
    simulator.body = partial(page, rows)
    hass.config_entries.async_update_entry(entry, options={CONF_MODELS: ["m"]})
    await setup(hass, entry)
    assert state(hass, "rpm", "m") == rpm
    assert state(hass, "tpm", "m") == tpm


async def test_listing_without_a_total_ends_with_an_empty_page(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    simulator.body = partial(page, ROWS, total="many")
    await setup(hass, entry)
    assert state(hass, "status") == "ok"
    assert len(offered(await open_options(hass, entry))) == 250


async def test_models_are_chosen_in_the_flow(
    hass: HomeAssistant, enable_custom_integrations: None, simulator: Simulator
) -> None:
    """The flow explains that the key reads limits only, and offers models."""
    simulator.body = None
    simulator.account.answer = "limits"
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], {CONF_API_KEY: API_KEY, CONF_BASE_URL: "url"}
    )
    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], {CONF_URL: simulator.base_url}
    )
    assert result["step_id"] == "access_key"
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {})
    assert result["step_id"] == "models"
    options = offered(result)
    assert len(options) > 100
    model = simulator.account.models[0]
    assert options[model.name] == f"{model.name} ({model.rpm:,} RPM, {model.tpm:,} TPM)"
    placeholders = result["description_placeholders"] or {}
    assert placeholders["count"] == str(len(options))

    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], {CONF_MODELS: CHOSEN}
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["options"] == {CONF_MODELS: CHOSEN}
    await hass.async_block_till_done(wait_background_tasks=True)
    assert devices(hass, result["result"]) == set(CHOSEN)


async def test_no_model_need_be_chosen(
    hass: HomeAssistant, enable_custom_integrations: None, simulator: Simulator
) -> None:
    """With all models that report usage, of which there are none, nothing is followed."""
    simulator.body = None
    simulator.account.answer = "limits"
    result = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    for user_input in (
        {CONF_API_KEY: API_KEY, CONF_BASE_URL: "url"},
        {CONF_URL: simulator.base_url},
        {},
        {CONF_ALL_MODELS: True},
    ):
        result = await hass.config_entries.flow.async_configure(
            result["flow_id"], user_input
        )
    await hass.async_block_till_done(wait_background_tasks=True)
    assert devices(hass, result["result"]) == set()


async def test_options_of_an_account_with_limits(
    hass: HomeAssistant, limited: MockConfigEntry, simulator: Simulator
) -> None:
    """Changing the selection adds and removes devices."""
    result = await open_options(hass, limited)
    assert result["step_id"] == "models"
    assert len(offered(result)) > 100
    result = await hass.config_entries.options.async_configure(
        result["flow_id"], {CONF_MODELS: ["qwen-plus", "qwen-turbo"]}
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done(wait_background_tasks=True)
    assert devices(hass, limited) == {"qwen-plus", "qwen-turbo"}
    assert entity_id(hass, "rpm", "qwen-max") is None
    assert state(hass, "rpm", "qwen-turbo") is not None

    result = await open_options(hass, limited)
    await hass.config_entries.options.async_configure(
        result["flow_id"], {CONF_ALL_MODELS: True}
    )
    await hass.async_block_till_done(wait_background_tasks=True)
    assert devices(hass, limited) == set()


async def test_options_of_an_account_with_usage(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator
) -> None:
    """All or the selected models are followed; a missing model can be deselected."""
    for chosen, followed in (
        (["qwen-max"], {"qwen-max"}),
        ([], {"qwen-max", "qwen-plus", "text-embedding-v4"}),
    ):
        result = await open_options(hass, account)
        await hass.config_entries.options.async_configure(
            result["flow_id"], {CONF_ALL_MODELS: not chosen, CONF_MODELS: chosen}
        )
        await hass.async_block_till_done(wait_background_tasks=True)
        assert devices(hass, account) == followed

    gone = ["gone", "gone\u202e\nby"]
    hass.config_entries.async_update_entry(account, options={CONF_MODELS: gone})
    result = await open_options(hass, account)
    assert offered(result) == {
        "gone": "gone",
        "gone\u202e\nby": "gone by",
        "qwen-max": "qwen-max (1,000, 600 RPM, 1,000,000 TPM)",
        "qwen-plus": "qwen-plus (2,000, 15,000 RPM, 1,200,000 TPM)",
        "text-embedding-v4": "text-embedding-v4 (0)",
    }


@pytest.mark.logs("Error fetching")
async def test_options_before_anything_was_read(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> None:
    """Before the first answer, the form explains that there are no models."""
    result = await open_options(hass, entry)
    assert result["reason"] == "nothing_read"
    simulator.fail(Fault.SERVER_ERROR)
    await setup(hass, entry)
    result = await open_options(hass, entry)
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == "nothing_read"
