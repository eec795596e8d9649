"""The effect of each fault of the AccessKey's services on their figures.

The expected effects are in docs/faults.md. `UPDATE_FAULT_MATRIX=1 scripts/test
tests/test_source_faults.py` updates them.
"""

from collections.abc import Iterator
import logging
import os
import re
from typing import Final

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import DOMAIN
from custom_components.alibaba_cloud.model_studio import http
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.helpers.translation import async_get_translations

from .common import Poll, attributes, give_access_key, reauth_flows, setup, state
from .faults import PAGE
from .simulator import Fault, Simulator
from .simulator.account import WORKSPACE_ID
from .simulator.server import Service

SECTION: Final = re.compile(
    r"(?<=<!-- fault matrix of the AccessKey -->\n).*"
    r"(?=<!-- /fault matrix of the AccessKey -->\n)",
    re.DOTALL,
)
LONG: Final = 6 * 3600 + 1
"""Seconds after which every poll is due, but that of the prices."""
DAY: Final = 25 * 3600
SLOW: Final = (Fault.HANG, Fault.HANG_BODY, Fault.TRICKLE)
COLUMNS: Final[dict[str, tuple[Service, str, str]]] = {
    "Bill": ("billing", "spend", "monthly_spend"),
    "Workspaces": ("billing", "workspaces", "other_workspaces_monthly_spend"),
    "API keys": ("billing", "api_keys", "other_api_keys_monthly_spend"),
    "Balance": ("balance", "balance", "available_balance"),
    "Assets": ("assets", "assets", "coupons_balance"),
    "Token Plan": ("token_plan", "token_plan", "plan_credits"),
    "Prometheus": ("prometheus", "totals", "tokens_used"),
}
"""Each service, a source that reads it, and a figure that only it reports."""
PRICES: Final = ("prices", "estimated_daily_spend")
"""A source that is read with the API key, and a figure that depends on it."""


def rows() -> dict[str, list[str]]:
    """Return the rows of the page's table by fault."""
    section = SECTION.search(PAGE.read_text())
    assert section
    cells = [line.strip("| ").split(" | ") for line in section.group().split("\n")]
    return {name.strip("`"): rest for name, *rest in cells[3:] if rest}


@pytest.fixture(scope="session")
def seen() -> Iterator[dict[Fault, list[str]]]:
    """Collect the observed cells, and update the page if requested."""
    seen: dict[Fault, list[str]] = {}
    yield seen
    if os.environ.get("UPDATE_FAULT_MATRIX"):
        lines = [["Fault", *COLUMNS, "Prices"], ["---"] * (2 + len(COLUMNS))]
        lines += [[f"`{fault}`", *seen[fault]] for fault in Fault if fault in seen]
        table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        PAGE.write_text(SECTION.sub(lambda _: f"\n{table}\n", PAGE.read_text()))


@pytest.fixture
def entry(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> MockConfigEntry:
    """Return an account whose API key reads limits only, with an AccessKey."""
    give_access_key(
        hass, entry, simulator, workspaces=[WORKSPACE_ID], api_keys=["1280413"]
    )
    simulator.account.catalogue_rows = 10
    simulator.account.has_assets = True
    simulator.account.has_token_plan = True
    return entry


async def cell(hass: HomeAssistant, source: str, key: str) -> str:
    """Return the cell for a source and its figure."""
    figure = state(hass, key) or "none"
    words = figure if figure in ("unknown", STATE_UNAVAILABLE, "none") else "read"
    message = attributes(hass, "status")["failed_sources"].get(source)
    if message is None:
        return words
    texts = await async_get_translations(hass, "en", "exceptions", [DOMAIN])
    [error] = [
        path.split(".")[-2]
        for path, text in texts.items()
        if re.match(re.sub(r"\\{\w+\\}", ".*", re.escape(text.rstrip("."))), message)
    ]
    return f"`{error}`, {words}"


@pytest.mark.parametrize("fault", Fault)
async def test_fault_at_each_service(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    real_time_poll: Poll,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    seen: dict[Fault, list[str]],
    fault: Fault,
) -> None:
    """During a fault, `/quotas` is still read; all sources recover afterwards.

    The prices fail alone, because the estimate also needs Prometheus.
    """
    await setup(hass, entry)
    good = [state(hass, key) for _, _, key in COLUMNS.values()]
    assert not {"unknown", STATE_UNAVAILABLE, None}.intersection(good)
    with monkeypatch.context() as patch, caplog.at_level(logging.CRITICAL):
        if fault in SLOW:
            patch.setattr(http, "TIMEOUT", 0.3)
        simulator.fail(fault, at="prices")
        await real_time_poll(DAY)
        prices = await cell(hass, *PRICES)
        simulator.recover()
        await real_time_poll(DAY)
        for service, _, _ in COLUMNS.values():
            simulator.fail(fault, at=service)
        await real_time_poll(LONG)
        seen[fault] = [
            *[await cell(hass, source, key) for _, source, key in COLUMNS.values()],
            prices,
        ]
    assert state(hass, "status") == "ok"
    rejected = "`invalid_access_key`" in "".join(seen[fault][:-2])
    assert len(reauth_flows(hass)) == rejected
    if not os.environ.get("UPDATE_FAULT_MATRIX"):
        assert seen[fault] == rows()[fault]
    simulator.recover()
    await real_time_poll(LONG)
    await real_time_poll(LONG)
    good = [state(hass, key) for _, _, key in COLUMNS.values()]
    assert not {"unknown", STATE_UNAVAILABLE, None}.intersection(good)
    assert len(reauth_flows(hass)) == 0


def test_readme_shows_all_faults() -> None:
    assert rows().keys() == set(Fault)
