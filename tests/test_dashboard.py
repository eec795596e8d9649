"""The dashboard's modules: their URLs, resource, texts and entities."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
import json
from pathlib import Path
import re
import shutil
from typing import Any

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
from pytest_homeassistant_custom_component.typing import (
    ClientSessionGenerator,
    WebSocketGenerator,
)

from custom_components.alibaba_cloud import dashboard
from custom_components.alibaba_cloud.const import CONF_BASE_URL, DOMAIN
from custom_components.alibaba_cloud.dashboard import FRONTEND, MODULE_URL
from custom_components.alibaba_cloud.figures import (
    ACCOUNT_BINARY_SENSORS,
    ACCOUNT_SENSORS,
    MODEL_SENSORS,
    STATUS,
    STATUS_BINARY_SENSORS,
)
from homeassistant.components.lovelace.const import LOVELACE_DATA
from homeassistant.components.lovelace.resources import ResourceStorageCollection
from homeassistant.config_entries import ConfigEntryState
from homeassistant.const import CONF_API_KEY
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity import EntityDescription
from homeassistant.setup import async_setup_component

from .common import setup
from .simulator import Simulator

ANOTHER = {"id": "another", "type": "module", "url": "/local/another-card.js?v=1"}
"""A resource that does not belong to the integration."""

MODULES = {file.name: file.read_text(encoding="utf-8") for file in FRONTEND.iterdir()}
SOURCE = "\n".join(MODULES.values())
USED = ("usage_pct", "load_pct")
"""Keys of model sensors that are also keys of texts."""

type Resources = Callable[[], Awaitable[list[dict[str, Any]]]]


@pytest.fixture
def stored(hass_storage: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the resources that are stored before Home Assistant starts."""
    items = [ANOTHER]
    hass_storage["lovelace_resources"] = {"version": 1, "data": {"items": items}}
    return items


@pytest.fixture
async def resources(
    hass: HomeAssistant,
    stored: list[dict[str, Any]],
    hass_ws_client: WebSocketGenerator,
) -> Resources:
    """Return a function that returns the resources of the frontend."""
    assert await async_setup_component(hass, "lovelace", {})

    async def resources() -> list[dict[str, Any]]:
        client = await hass_ws_client(hass)
        await client.send_json_auto_id({"type": "lovelace/resources"})
        items: list[dict[str, Any]] = (await client.receive_json())["result"]
        return items

    return resources


def second_entry(hass: HomeAssistant, simulator: Simulator) -> MockConfigEntry:
    """Return another account, not yet set up."""
    entry = MockConfigEntry(
        domain=DOMAIN,
        title="Another",
        entry_id="another",
        data={CONF_API_KEY: "sk-another", CONF_BASE_URL: simulator.base_url},
    )
    entry.add_to_hass(hass)
    simulator.api_keys = {"sk-simulator", "sk-another"}
    return entry


async def test_modules_are_served(
    hass: HomeAssistant,
    resources: Resources,
    entry: MockConfigEntry,
    hass_client: ClientSessionGenerator,
) -> None:
    """The resource has the URL of the module, which loads the others of its version."""
    await setup(hass, entry)
    [another, own] = await resources()
    assert another == ANOTHER
    assert own["type"] == "module"
    assert own["url"].startswith(f"{MODULE_URL}?v=")
    client = await hass_client()
    for name, source in MODULES.items():
        answer = await client.get(own["url"].replace("dashboard.js", name))
        assert answer.status == HTTPStatus.OK
        assert answer.content_type in {"text/javascript", "application/javascript"}
        assert await answer.text() == source


def test_modules_are_loaded_with_their_version() -> None:
    """Each import has the query of the module's own URL."""
    imported = set()
    for source in MODULES.values():
        names = re.findall(r"\bimport\(`\./(\w+\.js)\$\{search\}`\)", source)
        assert len(names) == len(
            re.findall(r"^\s*import\b|\bimport\(", source, re.MULTILINE)
        )
        imported |= {*names}
    assert imported | {"dashboard.js"} == MODULES.keys()


async def test_resource_comes_and_goes_with_the_accounts(
    hass: HomeAssistant,
    resources: Resources,
    entry: MockConfigEntry,
    simulator: Simulator,
) -> None:
    """All accounts share one resource, which is removed with the last account."""
    await setup(hass, entry)
    with_account = await resources()
    assert len(with_account) == 2
    another = second_entry(hass, simulator)
    await setup(hass, another)
    await hass.config_entries.async_reload(entry.entry_id)
    assert await resources() == with_account

    await hass.config_entries.async_remove(entry.entry_id)
    assert await resources() == with_account
    await hass.config_entries.async_remove(another.entry_id)
    assert await resources() == [ANOTHER]


async def test_accounts_set_up_at_once(
    hass: HomeAssistant,
    resources: Resources,
    entry: MockConfigEntry,
    simulator: Simulator,
) -> None:
    """Accounts do not each add a resource when Home Assistant starts."""
    second_entry(hass, simulator)
    assert await async_setup_component(hass, DOMAIN, {})
    await hass.async_block_till_done(wait_background_tasks=True)
    assert len(await resources()) == 2


async def test_update(
    hass: HomeAssistant,
    stored: list[dict[str, Any]],
    resources: Resources,
    entry: MockConfigEntry,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A new version of any module changes only the URL of the resource."""
    earlier = {"id": "own", "type": "module", "url": MODULE_URL}
    stored.insert(0, earlier)
    await setup(hass, entry)
    [own, another] = await resources()
    assert own["url"] != earlier["url"]
    assert own | {"url": earlier["url"]} == earlier
    assert another == ANOTHER

    urls = {earlier["url"], own["url"]}
    update = Path(shutil.copytree(FRONTEND, tmp_path / "frontend"))
    monkeypatch.setattr(dashboard, "FRONTEND", update)
    for name in MODULES:
        (update / name).write_text("// Another version")
        await hass.config_entries.async_reload(entry.entry_id)
        [updated, another] = await resources()
        assert updated["url"] not in urls
        urls.add(updated["url"])
        assert updated | {"url": own["url"]} == own
        assert another == ANOTHER


async def test_resource_that_the_user_removed(
    hass: HomeAssistant, resources: Resources, entry: MockConfigEntry
) -> None:
    """An account can be removed after its resource."""
    await setup(hass, entry)
    [_, own] = await resources()
    collection = hass.data[LOVELACE_DATA].resources
    assert isinstance(collection, ResourceStorageCollection)
    await collection.async_delete_item(own["id"])
    await hass.config_entries.async_remove(entry.entry_id)
    assert await resources() == [ANOTHER]


async def test_resources_in_yaml(
    hass: HomeAssistant, entry: MockConfigEntry, hass_client: ClientSessionGenerator
) -> None:
    """With resources in YAML, the modules are served, but no resource is added."""
    yaml = {
        "resource_mode": "yaml",
        "resources": [{"type": "module", "url": MODULE_URL}],
    }
    assert await async_setup_component(hass, "lovelace", {"lovelace": yaml})
    await setup(hass, entry)
    client = await hass_client()
    for name in MODULES:
        url = f"{MODULE_URL.rpartition('/')[0]}/{name}?v=1"
        assert (await client.get(url)).status == HTTPStatus.OK
    assert await hass.config_entries.async_remove(entry.entry_id)


async def test_without_a_frontend(hass: HomeAssistant, entry: MockConfigEntry) -> None:
    """An account needs neither dashboards nor a web server."""
    await setup(hass, entry)
    assert not {"http", "lovelace"} & hass.config.components
    assert entry.state is ConfigEntryState.LOADED
    assert await hass.config_entries.async_remove(entry.entry_id)


def test_texts() -> None:
    """The module uses exactly the texts whose keys start with `dashboard_`."""
    asked_for = re.findall(r'(?:text\(|title: )"(\w+)"', SOURCE)
    translations = FRONTEND.parent / "translations" / "en.json"
    common = json.loads(translations.read_text(encoding="utf-8"))["common"]
    texts = {key for key in common if key.startswith("dashboard_")}
    assert texts == {f"dashboard_{key}" for key in {*asked_for, *USED}}


def test_keys() -> None:
    """All entities that the module shows exist."""
    descriptions: tuple[EntityDescription, ...] = (
        STATUS,
        *ACCOUNT_SENSORS,
        *MODEL_SENSORS,
        *ACCOUNT_BINARY_SENSORS,
        *STATUS_BINARY_SENSORS,
    )
    shown = {
        key
        for arguments in re.findall(r"(?:present|tiles)\(([^.)]+)\)", SOURCE)
        for key in re.findall(r'"(\w+)"', arguments)
    }
    shown |= {*re.findall(r"\b(?:entities|of)\.(\w+)", SOURCE), *USED}
    for keys in re.findall(r'\[("\w+"(?:, "\w+")+)\]\s*\.flatMap', SOURCE):
        shown |= {*re.findall(r"\w+", keys)}
    for keys in re.findall(r"tilesOf\(\s*\[(.+?)\]", SOURCE):
        shown |= {*re.findall(r"\w+", keys)}
    assert len(shown) >= 20
    assert shown <= {"alerts", *(description.key for description in descriptions)}
