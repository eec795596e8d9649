"""Keys of another region, and the hosts of workspaces."""

from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.const import (
    CONF_BASE_URL,
    CONF_WORKSPACE_ID,
    DOMAIN,
)
from custom_components.alibaba_cloud.model_studio import (
    REGIONS,
    hosts,
    workspace_base_url,
)
from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    SOURCE_USER,
    ConfigFlowResult,
)
from homeassistant.const import CONF_API_KEY, CONF_REGION, CONF_URL
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers.translation import async_get_translations

from .common import API_KEY, answer
from .simulator import Fault, Simulator


@pytest.fixture
async def regions(
    socket_enabled: None,
    enable_custom_integrations: None,
    monkeypatch: pytest.MonkeyPatch,
) -> AsyncIterator[dict[str, Simulator]]:
    """Start a service for each region; the key belongs to Singapore alone."""
    async with AsyncExitStack() as stack:
        services = {}
        for region in list(REGIONS):
            service = await stack.enter_async_context(Simulator())
            service.body = answer("account")
            service.api_keys = set()
            monkeypatch.setitem(REGIONS, region, service.base_url)
            services[region] = service
        services["ap-southeast-1"].api_keys = {API_KEY}
        yield services


async def enter(hass: HomeAssistant, base_url: str) -> ConfigFlowResult:
    """Enter the key, and a region or URL."""
    flow = await hass.config_entries.flow.async_init(
        DOMAIN, context={"source": SOURCE_USER}
    )
    assert flow["step_id"] == "api_key"
    return await hass.config_entries.flow.async_configure(
        flow["flow_id"], {CONF_API_KEY: API_KEY, CONF_BASE_URL: base_url}
    )


def asked(regions: dict[str, Simulator]) -> dict[str, int]:
    """Return the number of requests per region."""
    return {region: len(service.requests) for region, service in regions.items()}


def offered(form: Mapping[str, Any]) -> list[str]:
    """Return the regions that a form offers."""
    selector = form["data_schema"].schema[CONF_REGION]
    options: list[str] = selector.config["options"]
    return options


def suggested(form: Mapping[str, Any]) -> dict[str, Any]:
    """Return the suggested values of a form."""
    return {
        str(field): field.description["suggested_value"]
        for field in form["data_schema"].schema
        if field.description
    }


async def test_key_of_another_region(
    hass: HomeAssistant, regions: dict[str, Simulator]
) -> None:
    """The region where the key works is found with one request each, and offered."""
    result = await enter(hass, "cn-beijing")
    assert result["step_id"] == "region"
    assert result["errors"] == {}
    assert offered(result) == ["ap-southeast-1"]
    assert asked(regions) == dict.fromkeys(REGIONS, 1)

    result = await hass.config_entries.flow.async_configure(result["flow_id"], {})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["title"] == "Model Studio (ap-southeast-1)"
    assert result["data"] == {
        CONF_API_KEY: API_KEY,
        CONF_BASE_URL: regions["ap-southeast-1"].base_url,
    }
    await hass.async_block_till_done(wait_background_tasks=True)


async def test_key_of_no_region(
    hass: HomeAssistant, regions: dict[str, Simulator]
) -> None:
    """A key that works in no region is an error, and can be corrected."""
    regions["ap-southeast-1"].api_keys = set()
    regions["us-east-1"].fail(Fault.THROTTLED)
    await regions["cn-hongkong"].stop()
    result = await enter(hass, "cn-beijing")
    assert result["step_id"] == "api_key"
    assert result["errors"] == {"base": "invalid_auth"}
    assert len(regions["ap-southeast-1"].requests) == 1
    await regions["cn-hongkong"].start()

    regions["cn-beijing"].api_keys = {"sk-good"}
    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], {CONF_API_KEY: "sk-good", CONF_BASE_URL: "cn-beijing"}
    )
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done(wait_background_tasks=True)


async def test_url_typed_in_is_all_that_is_asked(
    hass: HomeAssistant, regions: dict[str, Simulator]
) -> None:
    """A key entered with a URL is sent to no other host."""
    async with Simulator() as other:
        other.api_keys = set()
        result = await enter(hass, "url")
        result = await hass.config_entries.flow.async_configure(
            result["flow_id"], {CONF_URL: other.base_url}
        )
        assert result["errors"] == {"base": "invalid_auth"}
        assert len(other.requests) == 1
    assert asked(regions) == dict.fromkeys(REGIONS, 0)


@pytest.mark.parametrize("fault", [Fault.THROTTLED, Fault.SERVER_ERROR, Fault.HTML])
async def test_other_failures_do_not_search(
    hass: HomeAssistant, regions: dict[str, Simulator], fault: Fault
) -> None:
    """Only a rejected key is tried in other regions."""
    regions["cn-beijing"].fail(fault)
    result = await enter(hass, "cn-beijing")
    assert result["step_id"] == "api_key"
    assert asked(regions) == {**dict.fromkeys(REGIONS, 0), "cn-beijing": 1}


async def test_region_that_was_offered_fails(
    hass: HomeAssistant, regions: dict[str, Simulator]
) -> None:
    """If the offered region fails, the step shows the error and can be repeated."""
    result = await enter(hass, "cn-beijing")
    regions["ap-southeast-1"].fail(Fault.THROTTLED)
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {})
    assert result["step_id"] == "region"
    assert result["errors"] == {"base": "rate_limited"}
    regions["ap-southeast-1"].recover()
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {})
    assert result["type"] is FlowResultType.CREATE_ENTRY
    await hass.async_block_till_done(wait_background_tasks=True)


async def test_reconfigure_to_the_wrong_region(
    hass: HomeAssistant, regions: dict[str, Simulator]
) -> None:
    """Reconfiguration searches other regions, too."""
    entry = MockConfigEntry(
        domain=DOMAIN,
        data={CONF_API_KEY: API_KEY, CONF_BASE_URL: regions["us-east-1"].base_url},
    )
    entry.add_to_hass(hass)
    result = await entry.start_reconfigure_flow(hass)
    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], {"next_step_id": "api_key"}
    )
    assert result["step_id"] == "reconfigure_api_key"
    result = await hass.config_entries.flow.async_configure(
        result["flow_id"], {CONF_BASE_URL: "cn-beijing"}
    )
    assert result["step_id"] == "region"
    result = await hass.config_entries.flow.async_configure(result["flow_id"], {})
    assert result["reason"] == "reconfigure_successful"
    assert entry.data[CONF_BASE_URL] == regions["ap-southeast-1"].base_url
    await hass.async_block_till_done(wait_background_tasks=True)


async def test_the_forms_say_that_they_search(hass: HomeAssistant) -> None:
    """The forms say that the key is tried in other regions."""
    texts = await async_get_translations(hass, "en", "config", [DOMAIN])
    for step in ("api_key", "environment", "reconfigure_api_key"):
        text = texts[f"component.{DOMAIN}.config.step.{step}.description"]
        assert "Home Assistant also tries it in the other public regions" in text


@pytest.mark.parametrize(
    ("workspace_id", "region", "url"),
    [
        (
            "llm-8q2v5kx0r7t1m3zc",
            "cn-beijing",
            "https://llm-8q2v5kx0r7t1m3zc.cn-beijing.maas.aliyuncs.com/api/v1",
        ),
        (
            "  LLM-8q2v ",
            "eu-central-1",
            "https://llm-8q2v.eu-central-1.maas.aliyuncs.com/api/v1",
        ),
        ("1", "ap-northeast-1", "https://1.ap-northeast-1.maas.aliyuncs.com/api/v1"),
    ],
)
def test_base_url_of_a_workspace(workspace_id: str, region: str, url: str) -> None:
    """The URL consists of the workspace ID and the region."""
    assert workspace_base_url(workspace_id, region) == url


@pytest.mark.parametrize(
    "workspace_id", ["", "-llm", "llm-", "llm_8", "evil.example", "a/b", "x" * 64, "ü"]
)
async def test_workspace(
    hass: HomeAssistant,
    regions: dict[str, Simulator],
    monkeypatch: pytest.MonkeyPatch,
    workspace_id: str,
) -> None:
    """An invalid ID sends no request; a valid one tries the workspace's host."""
    result = await enter(hass, "workspace")
    assert result["step_id"] == "workspace"
    assert result["errors"] == {}
    result = await hass.config_entries.flow.async_configure(
        result["flow_id"],
        {CONF_WORKSPACE_ID: workspace_id, CONF_REGION: "eu-central-1"},
    )
    assert result["step_id"] == "workspace"
    assert result["errors"] == {CONF_WORKSPACE_ID: "invalid_workspace_id"}

    async with Simulator() as workspace:
        workspace.body = answer("account")
        workspace.api_keys = set()
        monkeypatch.setattr(hosts, "WORKSPACE_BASE_URL", workspace.base_url)
        for keys, error in ((set(), {"base": "invalid_auth"}), ({API_KEY}, None)):
            workspace.api_keys = keys
            result = await hass.config_entries.flow.async_configure(
                result["flow_id"],
                {CONF_WORKSPACE_ID: "llm-1", CONF_REGION: "eu-central-1"},
            )
            assert result.get("errors") == error
        assert result["type"] is FlowResultType.CREATE_ENTRY
        assert result["data"][CONF_BASE_URL] == workspace.base_url
        assert asked(regions) == dict.fromkeys(REGIONS, 0)
        await hass.async_block_till_done(wait_background_tasks=True)
        await hass.config_entries.async_remove(result["result"].entry_id)


@pytest.mark.parametrize("source", [SOURCE_USER, SOURCE_RECONFIGURE])
@pytest.mark.parametrize("place", ["workspace", "url"])
@pytest.mark.parametrize(
    ("key", "sent"), [(" sk-other ", "sk-other"), (" ", API_KEY)], ids=["other", "none"]
)
async def test_host_rejects_the_key(
    hass: HomeAssistant,
    enable_custom_integrations: None,
    simulator: Simulator,
    monkeypatch: pytest.MonkeyPatch,
    source: str,
    place: str,
    key: str,
    sent: str,
) -> None:
    """A new key can be entered in the step, and stays through an error."""
    monkeypatch.setattr(hosts, "WORKSPACE_BASE_URL", simulator.base_url)
    simulator.api_keys = set()
    flows = hass.config_entries.flow
    if source == SOURCE_USER:
        result = await enter(hass, place)
    else:
        known = MockConfigEntry(
            domain=DOMAIN,
            data={CONF_API_KEY: API_KEY, CONF_BASE_URL: "https://localhost"},
        )
        known.add_to_hass(hass)
        menu = await known.start_reconfigure_flow(hass)
        form = await flows.async_configure(
            menu["flow_id"], {"next_step_id": CONF_API_KEY}
        )
        result = await flows.async_configure(form["flow_id"], {CONF_BASE_URL: place})
    assert result["step_id"] == place
    # The key entered before, or the stored one, is not shown.
    assert suggested(result).get(CONF_API_KEY) is None
    typed = {CONF_URL: simulator.base_url}
    if place == "workspace":
        typed = {CONF_WORKSPACE_ID: "llm-1", CONF_REGION: "eu-central-1"}
    result = await flows.async_configure(result["flow_id"], typed)
    assert result["errors"] == {"base": "invalid_auth"}
    assert suggested(result) == typed

    simulator.fail(Fault.THROTTLED)
    typed[CONF_API_KEY] = key
    result = await flows.async_configure(result["flow_id"], typed)
    assert result["errors"] == {"base": "rate_limited"}
    assert suggested(result) == typed
    simulator.recover()
    simulator.api_keys = {sent}
    result = await flows.async_configure(result["flow_id"], typed)
    assert result["type"] is not FlowResultType.FORM
    await hass.async_block_till_done(wait_background_tasks=True)
    [entry] = hass.config_entries.async_entries(DOMAIN)
    assert entry.data == {CONF_API_KEY: sent, CONF_BASE_URL: simulator.base_url}
