"""The diagnostics of an account."""

import json
from typing import Any

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from syrupy.assertion import SnapshotAssertion

from custom_components.alibaba_cloud.diagnostics import (
    async_get_config_entry_diagnostics,
)
from homeassistant.core import HomeAssistant
from homeassistant.helpers.json import json_dumps

from .common import API_KEY, NOW, Poll, give_access_key, setup
from .simulator import (
    DEFAULT_ACCESS_KEY_ID,
    DEFAULT_ACCESS_KEY_SECRET,
    Account,
    Fault,
    Simulator,
)


async def diagnostics(hass: HomeAssistant, entry: MockConfigEntry) -> dict[str, object]:
    """Return the diagnostics as they are downloaded."""
    text = json_dumps(await async_get_config_entry_diagnostics(hass, entry))
    for secret in (API_KEY, DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET):
        assert secret not in text
    downloaded: dict[str, object] = json.loads(text)
    downloaded["entry"]["base_url"] = "the simulator's"  # type: ignore[index]
    return downloaded


async def test_diagnostics(
    hass: HomeAssistant,
    account: MockConfigEntry,
    simulator: Simulator,
    snapshot: SnapshotAssertion,
) -> None:
    """Diagnostics contain all figures and no key, and send no request."""
    simulator.requests.clear()
    assert await diagnostics(hass, account) == snapshot
    assert simulator.requests == []


@pytest.mark.logs("Error fetching")
async def test_diagnostics_of_a_failure(
    hass: HomeAssistant, account: MockConfigEntry, simulator: Simulator, poll: Poll
) -> None:
    """Diagnostics contain the service's message, without the key."""
    simulator.fail(Fault.ARREARAGE, message=f"{API_KEY} owes us money")
    await poll()
    downloaded = await diagnostics(hass, account)
    assert downloaded["status"] == "error"
    assert "Arrearage: **REDACTED** owes us money" in str(downloaded["message"])
    assert downloaded["account"] is not None


@pytest.mark.logs("Error fetching .* balance data")
async def test_diagnostics_with_an_access_key(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
) -> None:
    """Diagnostics contain the figures and errors of each source, but no AccessKey."""
    freezer.move_to(NOW)
    simulator.body = None
    simulator.account = Account(answer="limits", catalogue_rows=0)
    simulator.fail(
        Fault.ARREARAGE,
        message=f"{DEFAULT_ACCESS_KEY_SECRET} of {DEFAULT_ACCESS_KEY_ID} is overdue",
        at="balance",
    )
    access = {
        "access_key_id": DEFAULT_ACCESS_KEY_ID,
        "access_key_secret": DEFAULT_ACCESS_KEY_SECRET,
        "region": "cn-beijing",
        "billing_endpoint": simulator.openapi_url,
        "balance_endpoint": simulator.openapi_url,
    }
    hass.config_entries.async_update_entry(entry, data={**entry.data, **access})
    await setup(hass, entry)
    downloaded: Any = await diagnostics(hass, entry)
    assert downloaded["entry"].keys() == entry.data.keys()
    assert downloaded["entry"]["access_key_id"] == "**REDACTED**"
    assert downloaded["entry"]["access_key_secret"] == "**REDACTED**"
    assert downloaded["entry"]["region"] == "cn-beijing"
    assert downloaded["failed_sources"].keys() == {"balance"}
    redacted = "**REDACTED** of **REDACTED** is overdue"
    assert redacted in downloaded["failed_sources"]["balance"]
    assert downloaded["account"]["monthly_spend"]["currency"] == "CNY"


@pytest.mark.logs("Error fetching Model Studio data", "Error fetching .* balance data")
async def test_diagnostics_without_ids(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
    poll: Poll,
    snapshot: SnapshotAssertion,
) -> None:
    """The IDs of the account and its workspaces are redacted in all places."""
    freezer.move_to(NOW)
    give_access_key(hass, entry, simulator)
    simulator.account = Account(answer="limits", catalogue_rows=0)
    simulator.fail(
        Fault.ERROR_CODE,
        code="NoSuchWorkspace",
        message="Workspace Home-1 of account 1234567890123456 is not on"
        " home-1.cn-beijing.maas.aliyuncs.com",
    )
    simulator.fail(
        Fault.ARREARAGE,
        message="Workspace llm-8q2v5kx0r7t1m3zc is overdue at prometheus.example",
        at="balance",
    )
    await setup(hass, entry)
    hass.config_entries.async_update_entry(
        entry,
        data={
            **entry.data,
            "base_url": "https://home-1.cn-beijing.maas.aliyuncs.com/api/v1",
            "billing_endpoint": "https://modelstudio.cn-beijing.aliyuncs.com",
            "balance_endpoint": "https://business.aliyuncs.com",
            "prometheus_url": "https://prometheus.example/secret/path",
        },
    )
    text = json_dumps(await async_get_config_entry_diagnostics(hass, entry))
    for secret in (
        "home-1",
        "1234567890123456",
        "llm-8q2v5kx0r7t1m3zc",
        "prometheus.example",
        "secret/path",
        API_KEY,
        DEFAULT_ACCESS_KEY_ID,
        DEFAULT_ACCESS_KEY_SECRET,
    ):
        assert secret.lower() not in text.lower()
    assert json.loads(text) == snapshot


async def test_diagnostics_of_groups(
    hass: HomeAssistant,
    freezer: FrozenDateTimeFactory,
    entry: MockConfigEntry,
    simulator: Simulator,
) -> None:
    """Spend is there. IDs and names of workspaces and API keys are not."""
    freezer.move_to(NOW)
    give_access_key(
        hass,
        entry,
        simulator,
        workspaces=["llm-8q2v5kx0r7t1m3zc"],
        workspace_names={"llm-8q2v5kx0r7t1m3zc": "Production"},
        api_keys=["1280413", "1280977"],
        group_budgets={"workspace_llm-8q2v5kx0r7t1m3zc": 10, "api_key_1280413": 20},
    )
    await setup(hass, entry)
    downloaded: Any = await diagnostics(hass, entry)
    groups = downloaded["account"]["groups"]
    assert [group for group, _ in groups] == [
        {"dimension": dimension, "id": "**REDACTED**"}
        for dimension in ("WORKSPACE_ID", "API_KEY_ID", "API_KEY_ID")
    ]
    for _, spend in groups:
        assert float(spend["monthly_spend"]["amount"]) > 0
    others = downloaded["account"]["other_groups"]
    assert others.keys() == {"WORKSPACE_ID", "API_KEY_ID"}
    assert downloaded["options"]["models"] == ["qwen-max", "qwen-plus"]
    assert downloaded["options"]["group_budgets"] == [10, 20]
    assert [group["budget"] for group in downloaded["alerts"]["groups"]] == ["10", "20"]
    text = json_dumps(downloaded)
    for secret in ("llm-8q2v5kx0r7t1m3zc", "Production", "1280413", "1280977"):
        assert secret not in text
