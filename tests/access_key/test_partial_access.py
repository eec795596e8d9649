"""An AccessKey that can't read everything, and the used models that it finds."""

from collections.abc import Callable
from typing import Final

import pytest

from custom_components.alibaba_cloud.failures import escape_markdown
from homeassistant.config_entries import SOURCE_USER
from homeassistant.data_entry_flow import FlowResultType
from tests.flows import placeholder
from tests.simulator import Fault, Simulator

from .common import (
    GRANTS,
    POLICIES,
    SOURCES,
    AccessFlows,
    assert_asked_again,
    denies,
    fails,
    stored,
    stored_anew,
    without_access_key,
)

pytestmark = pytest.mark.usefixtures("enable_custom_integrations")


SPEND: Final = (
    "NoPermission: You are not authorized to perform modelstudio:GetBillingTrend."
)
BALANCE: Final = "NotAuthorized: This API is not authorized for caller."
THROTTLED: Final = "Throttling.User: Request was denied due to user flow control."
PROMETHEUS: Final = "HTTP 403"
SPEND_FAILS: Final = f"Error fetching .* spend data: .*{POLICIES['billing']}"
BALANCE_FAILS: Final = f"Error fetching .* balance data: .*{POLICIES['balance']}"
PROMETHEUS_FAILS: Final = tuple(
    f"Error fetching .* {source} data: .*{POLICIES['prometheus']}"
    for source in ("rates", "totals")
)


PARTS: Final = [
    pytest.param(
        denies("GetBillingTrend"),
        {"spend": SPEND},
        ["spend"],
        id="bill",
        marks=pytest.mark.logs(SPEND_FAILS),
    ),
    pytest.param(
        denies("QueryAccountBalance"),
        {"balance": BALANCE},
        ["balance"],
        id="balance",
        marks=pytest.mark.logs(BALANCE_FAILS),
    ),
    pytest.param(
        denies("prometheus"),
        {"rates": PROMETHEUS},
        ["rates", "totals"],
        id="Prometheus",
        marks=pytest.mark.logs(*PROMETHEUS_FAILS),
    ),
    pytest.param(
        denies("GetBillingTrend", "QueryAccountBalance"),
        {"spend": SPEND, "balance": BALANCE},
        ["spend", "balance"],
        id="money",
        marks=pytest.mark.logs(SPEND_FAILS, BALANCE_FAILS),
    ),
    pytest.param(
        denies("GetBillingTrend", "prometheus"),
        {"spend": SPEND, "rates": PROMETHEUS},
        ["spend", "rates", "totals"],
        id="all but the balance",
        marks=pytest.mark.logs(SPEND_FAILS, *PROMETHEUS_FAILS),
    ),
    pytest.param(
        fails(Fault.THROTTLED, "balance"),
        {"balance": THROTTLED},
        ["balance"],
        id="balance throttled",
        marks=pytest.mark.logs("Error fetching .* balance data"),
    ),
    pytest.param(
        fails(Fault.HTML, "prometheus"),
        {"rates": "The answer is not JSON"},
        ["rates", "totals"],
        id="no Prometheus",
        marks=pytest.mark.logs(
            "Error fetching .* rates data", "Error fetching .* totals data"
        ),
    ),
]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("cause", "failed", "failing"), PARTS)
async def test_partial_access_is_accepted(
    flows: AccessFlows,
    simulator: Simulator,
    source: str,
    cause: Callable[[Simulator], None],
    failed: dict[str, str],
    failing: list[str],
) -> None:
    form = await flows.ask(source)
    cause(simulator)
    menu = await flows.type_in(form)
    assert menu["type"] is FlowResultType.MENU
    assert menu["step_id"] == "partial_access"
    assert menu["menu_options"] == ["accept_access_key", "access_key"]
    assert {
        source: placeholder(menu, source) for source in ("spend", "balance", "rates")
    } == {
        source: f"✗ {escape_markdown(failed[source])}" if source in failed else "✓"
        for source in ("spend", "balance", "rates")
    }
    if source != SOURCE_USER:
        assert flows.entry.data == stored(simulator)
    # The same if the page is loaded again.
    again = await flows.hass.config_entries.flow.async_configure(menu["flow_id"])
    assert flows.json(again) == flows.json(menu)
    result = await flows.choose(menu, "accept_access_key")
    await flows.hass.async_block_till_done(wait_background_tasks=True)
    assert await flows.end(result, source, failing=failing) == stored_anew(simulator)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("grant", GRANTS)
async def test_partial_access_is_mended(
    flows: AccessFlows, simulator: Simulator, source: str, grant: str
) -> None:
    form = await flows.ask(source)
    simulator.denied = {grant}
    menu = await flows.type_in(form)
    assert menu["step_id"] == "partial_access"
    form = await flows.choose(menu, "access_key")
    assert not form["errors"]
    assert_asked_again(flows, form)
    # The AccessKey is tested again, without the earlier input.
    menu = await flows.fill(form)
    assert menu["step_id"] == "partial_access"
    simulator.denied.clear()
    form = await flows.choose(menu, "access_key")
    result = await flows.fill(form)
    assert await flows.end(result, source) == stored_anew(simulator)


@pytest.mark.parametrize("source", SOURCES)
async def test_partial_access_is_given_up(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    """A canceled flow leaves nothing behind."""
    form = await flows.ask(source)
    simulator.denied = {"QueryAccountBalance"}
    menu = await flows.type_in(form)
    form = await flows.choose(menu, "access_key")
    result = await flows.fill(form, access_key_id=None, access_key_secret=None)
    if source == SOURCE_USER:
        assert flows.shown(result) == {"all_models": False, "models": []}
    assert await flows.end(result, source) == without_access_key(simulator)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "cause",
    [fails(Fault.UNAUTHORIZED, "prometheus"), denies("prometheus")],
    ids=["401", "403"],
)
async def test_prometheus_does_not_let_in(
    flows: AccessFlows,
    simulator: Simulator,
    source: str,
    cause: Callable[[Simulator], None],
) -> None:
    """An AccessKey that reads bill and balance is valid, even without Prometheus."""
    form = await flows.ask(source)
    cause(simulator)
    menu = await flows.type_in(form)
    assert menu["step_id"] == "partial_access"
    assert placeholder(menu, "rates").startswith("✗ HTTP 40")
    form = await flows.choose(menu, "access_key")
    result = await flows.fill(form, {"prometheus_url": None})
    expected = stored_anew(simulator)
    del expected["prometheus_url"]
    assert await flows.end(result, source) == expected


async def test_prometheus_alone_lets_in(
    flows: AccessFlows, simulator: Simulator
) -> None:
    """An AccessKey that only Prometheus accepts is invalid."""
    form = await flows.ask(SOURCE_USER)
    fails(Fault.UNAUTHORIZED, "billing", "balance")(simulator)
    form = await flows.type_in(form)
    assert form["errors"] == {"base": "invalid_access_key"}
