"""What each fault of the AccessKey's services makes of what they report.

docs/faults.md shows it, which is what is expected here. `UPDATE_FAULT_MATRIX=1 scripts/test
tests/test_source_faults.py` brings it up to date there.
"""

from collections.abc import Iterator
import logging
import os
import re
from typing import Final

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.model_studio import http
from custom_components.alibaba_cloud.sources import Source
from homeassistant.const import STATE_UNAVAILABLE
from homeassistant.core import HomeAssistant
from homeassistant.exceptions import HomeAssistantError

from .common import Poll, give_access_key, reauth_flows, setup, state
from .faults import LONG, PAGE
from .simulator import Fault, Simulator
from .simulator.server import Service

SECTION: Final = re.compile(
    r"(?<=<!-- fault matrix of the AccessKey -->\n).*"
    r"(?=<!-- /fault matrix of the AccessKey -->\n)",
    re.DOTALL,
)
SLOW: Final = (Fault.HANG, Fault.HANG_BODY, Fault.TRICKLE)
COLUMNS: Final[dict[str, tuple[Service, Source, str]]] = {
    "Bill": ("billing", Source.SPEND, "monthly_spend"),
    "Balance": ("balance", Source.BALANCE, "available_balance"),
    "Prometheus": ("prometheus", Source.TOTALS, "tokens_used"),
}
"""Each service, a source that reads it, and a figure that it alone reports."""


def rows() -> dict[str, list[str]]:
    """Return the rows of the page's table by fault."""
    section = SECTION.search(PAGE.read_text())
    assert section
    cells = [line.strip("| ").split(" | ") for line in section.group().split("\n")]
    return {name.strip("`"): rest for name, *rest in cells[3:] if rest}


@pytest.fixture(scope="session")
def seen() -> Iterator[dict[Fault, list[str]]]:
    """Collect what was seen, and put it into the page if that is wanted."""
    seen: dict[Fault, list[str]] = {}
    yield seen
    if os.environ.get("UPDATE_FAULT_MATRIX"):
        lines = [["Fault", *COLUMNS], ["---"] * (1 + len(COLUMNS))]
        lines += [[f"`{fault}`", *seen[fault]] for fault in Fault if fault in seen]
        table = "".join(f"| {' | '.join(line)} |\n" for line in lines)
        PAGE.write_text(SECTION.sub(lambda _: f"\n{table}\n", PAGE.read_text()))


@pytest.fixture
def entry(
    hass: HomeAssistant, entry: MockConfigEntry, simulator: Simulator
) -> MockConfigEntry:
    """Return an account whose API key reads limits only, with an AccessKey."""
    give_access_key(hass, entry, simulator)
    simulator.account.catalogue_rows = 10
    return entry


def cell(hass: HomeAssistant, entry: MockConfigEntry, source: Source, key: str) -> str:
    """Return what became of a source and its figure, in a few words."""
    figure = state(hass, key) or "none"
    words = figure if figure in ("unknown", STATE_UNAVAILABLE, "none") else "read"
    polled = entry.runtime_data.sources[source]
    if polled.last_update_success:
        return words
    assert isinstance(polled.last_exception, HomeAssistantError)
    return f"`{polled.last_exception.translation_key}`, {words}"


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
    """The account itself is read all the while; all is well once the fault is gone."""
    await setup(hass, entry)
    good = [state(hass, key) for _, _, key in COLUMNS.values()]
    assert not {"unknown", STATE_UNAVAILABLE, None}.intersection(good)
    with monkeypatch.context() as patch, caplog.at_level(logging.CRITICAL):
        if fault in SLOW:
            patch.setattr(http, "TIMEOUT", 0.3)
        for service, _, _ in COLUMNS.values():
            simulator.fail(fault, at=service)
        await real_time_poll(LONG)
        seen[fault] = [
            cell(hass, entry, source, key) for _, source, key in COLUMNS.values()
        ]
    assert state(hass, "status") == "ok"
    rejected = "`invalid_access_key`" in "".join(seen[fault][:2])
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
