"""Reauth and reconfiguration: a new API key or region for an account."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol
from yarl import URL

from custom_components.alibaba_cloud.const import DOMAIN
from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import device_registry as dr, entity_registry as er

from .common import API_KEY, Poll, setup, state
from .flows import (
    BEIJING,
    FIRST_VARIABLE,
    KEYS,
    NEW_KEY,
    REGIONS,
    VARIABLE,
    Flows,
    all_held,
    answering_at,
    assert_aborted,
    assert_works,
    created,
    fields,
    known,
    leaks,
    placeholder,
    sent_keys,
    serve_regions,
    tls,
)
from .simulator import Simulator

pytestmark = pytest.mark.usefixtures("enable_custom_integrations")


@pytest.fixture
def flows(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> Flows:
    """Return the helper that goes through flows."""
    return Flows(hass, monkeypatch)


@pytest.fixture(autouse=True)
def no_leaks(hass: HomeAssistant, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that shows a secret in the log, a state or a name."""
    yield
    assert leaks(hass, caplog) == []


@pytest.fixture
async def regions(
    hass: HomeAssistant, simulator: Simulator, tmp_path: Path
) -> AsyncIterator[None]:
    """Let the simulator answer at the hosts of all regions, too."""
    hosts = [str(URL(url).host) for url in REGIONS.values()]
    async with answering_at(hass, simulator, tls(tmp_path, hosts)):
        yield


def registered(hass: HomeAssistant, entry: ConfigEntry) -> set[tuple[str, ...]]:
    """Return the IDs of an account's devices and entities."""
    entities = er.async_entries_for_config_entry(er.async_get(hass), entry.entry_id)
    found: set[tuple[str, ...]] = set()
    for entity in entities:
        assert entity.device_id is not None
        device = dr.async_get(hass).async_get(entity.device_id)
        assert device is not None
        found.add((entity.id, entity.unique_id, entity.entity_id, device.id))
        found |= {(device.id, *identifier) for identifier in device.identifiers}
    assert len(found) > 20
    return found


@pytest.mark.usefixtures("regions")
async def test_reconfigure_onto_the_host_of_a_duplicate(
    hass: HomeAssistant, flows: Flows, simulator: Simulator, entry: MockConfigEntry
) -> None:
    known(hass, api_key=API_KEY, base_url=BEIJING)
    result = await flows.submit(await flows.reconfigure(entry), base_url="cn-beijing")
    assert_aborted(result, "already_configured")
    assert entry.data == {"api_key": API_KEY, "base_url": simulator.base_url}
    assert sent_keys(simulator) == []


async def test_one_new_key_for_two_accounts_at_once(
    hass: HomeAssistant, flows: Flows, simulator: Simulator, entry: MockConfigEntry
) -> None:
    simulator.api_keys = {*KEYS, "sk-third"}
    other = known(hass, api_key="sk-third", base_url=simulator.base_url)
    forms = [await flows.reauth(entry), await flows.reauth(other)]
    results = await asyncio.gather(
        *(flows.submit(form, api_key=NEW_KEY) for form in forms)
    )
    (form,) = (r for r in results if r["type"] is FlowResultType.FORM)
    assert form["errors"] == {"base": "already_configured"}
    (done,) = (r for r in results if r is not form)
    assert_aborted(done, "reauth_successful")
    assert entry.data != other.data


@pytest.mark.logs("^ERROR .* Error fetching Model Studio data")
async def test_two_accounts_side_by_side(
    hass: HomeAssistant,
    flows: Flows,
    simulator: Simulator,
    account: MockConfigEntry,
    poll: Poll,
) -> None:
    simulator.api_keys = set(KEYS)
    before = registered(hass, account)
    simulator.body = {"code": "Success", "data": {"credits": 7}}
    result = await flows.submit_url(
        await flows.begin(), simulator.base_url, api_key=NEW_KEY
    )
    assert created(result) == {"api_key": NEW_KEY, "base_url": simulator.base_url}
    other = result["result"]

    def balance_of_other() -> str:
        entity_id = er.async_get(hass).async_get_entity_id(
            "sensor", DOMAIN, f"{other.entry_id}_credit_balance"
        )
        current = hass.states.get(entity_id or "")
        assert current is not None
        return current.state

    assert registered(hass, account) == before
    assert state(hass, "credit_balance") == "120.5"
    assert balance_of_other() == "7"

    # Each account has its own key and failures.
    simulator.api_keys = {NEW_KEY}
    sent_keys(simulator)
    await poll()
    assert sorted(sent_keys(simulator)) == sorted(KEYS)
    assert state(hass, "status") == "auth"
    assert state(hass, "credit_balance") == "unavailable"
    assert_works(other)
    assert balance_of_other() == "7"
    await flows.asked(account)


@pytest.mark.logs("^ERROR .* Error fetching Model Studio data")
async def test_reauth(
    hass: HomeAssistant,
    flows: Flows,
    simulator: Simulator,
    account: MockConfigEntry,
    poll: Poll,
) -> None:
    before = registered(hass, account)
    simulator.api_keys = {NEW_KEY}
    await poll()
    assert state(hass, "status") == "auth"
    form = await flows.asked(account)
    assert placeholder(form, "name") == "Model Studio"
    # The form has no field for the region.
    assert "To change the region, open" in await flows.description(form)
    sent_keys(simulator)

    form = await flows.submit(form, api_key="sk-wrong")
    assert form["errors"] == {"base": "invalid_auth"}
    result = await flows.submit(form, api_key=f" {NEW_KEY} ")
    assert_aborted(result, "reauth_successful")
    assert account.data == {"api_key": NEW_KEY, "base_url": simulator.base_url}
    # The wrong key, the right key, and the reload.
    assert sent_keys(simulator) == ["sk-wrong", NEW_KEY, NEW_KEY]
    assert_works(account)
    assert state(hass, "status") == "ok"
    assert state(hass, "credit_balance") == "120.5"
    assert registered(hass, account) == before
    flows.assert_nothing_asked()
    await poll()
    assert sent_keys(simulator) == [NEW_KEY]


@pytest.mark.parametrize(
    ("value", "sent"),
    [(API_KEY, [API_KEY]), (None, []), (" ", [])],
    ids=["revoked", "gone", "blank"],
)
@pytest.mark.logs("^ERROR .* Error fetching Model Studio data")
async def test_reauth_stores_the_key_of_a_variable(
    flows: Flows, simulator: Simulator, value: str | None, sent: list[str]
) -> None:
    simulator.api_keys = {NEW_KEY}
    if value is not None:
        flows.monkeypatch.setenv(VARIABLE, value)
    entry = known(flows.hass, api_key_env=VARIABLE, base_url=simulator.base_url)
    await setup(flows.hass, entry)
    assert state(flows.hass, "status", account=entry.entry_id) == "auth"
    assert sent_keys(simulator) == sent

    result = await flows.submit(await flows.asked(entry), api_key=NEW_KEY)
    assert_aborted(result, "reauth_successful")
    assert entry.data == {"api_key": NEW_KEY, "base_url": simulator.base_url}
    assert_works(entry)
    assert sent_keys(simulator) == [NEW_KEY, NEW_KEY]
    flows.assert_nothing_asked()


async def test_reauth_takes_the_same_key_again(
    flows: Flows, simulator: Simulator, account: MockConfigEntry
) -> None:
    result = await flows.submit(await flows.reauth(account), api_key=API_KEY)
    assert_aborted(result, "reauth_successful")
    assert account.data == {"api_key": API_KEY, "base_url": simulator.base_url}
    assert_works(account)


@pytest.mark.parametrize(
    ("base_url", "place", "then"),
    [
        *((url, region, {}) for region, url in REGIONS.items()),
        (f"{BEIJING}/x", "url", {"url": f"{BEIJING}/x"}),
        (
            "https://llm-1.eu-central-1.maas.aliyuncs.com/api/v1",
            "workspace",
            {"workspace_id": "llm-1", "region": "eu-central-1"},
        ),
    ],
    ids=[*REGIONS, "a URL", "a workspace"],
)
async def test_reconfigure_shows_what_is_set(
    hass: HomeAssistant,
    flows: Flows,
    base_url: str,
    place: str,
    then: dict[str, str],
) -> None:
    """The form does not show the key; an empty field keeps it."""
    entry = known(hass, api_key=API_KEY, base_url=base_url)
    form = await flows.reconfigure(entry)
    assert form["step_id"] == "reconfigure_api_key"
    assert all_held(form) == {"api_key": None, "base_url": place}
    assert {field: type(marker) for field, (marker, _) in fields(form).items()} == {
        "api_key": vol.Optional,
        "base_url": vol.Required,
    }
    if then:
        form = await flows.submit(form, base_url=place)
        assert form["step_id"] == place
        assert all_held(form) == {**then, "api_key": None}


@pytest.mark.usefixtures("regions")
@pytest.mark.parametrize(
    "stored", [{"api_key": API_KEY}, {"api_key_env": VARIABLE}], ids=["key", "variable"]
)
@pytest.mark.parametrize(
    "key",
    [{}, {"api_key": ""}, {"api_key": " "}, {"api_key": NEW_KEY}],
    ids=["no key", "empty key", "blank key", "new key"],
)
@pytest.mark.parametrize("region", [None, "cn-beijing"], ids=["same URL", "new URL"])
async def test_reconfigure(
    flows: Flows,
    simulator: Simulator,
    stored: dict[str, str],
    key: dict[str, str],
    region: str | None,
) -> None:
    simulator.api_keys = set(KEYS)
    flows.monkeypatch.setenv(VARIABLE, API_KEY)
    entry = known(flows.hass, base_url=simulator.base_url, **stored)
    await setup(flows.hass, entry)
    before = registered(flows.hass, entry)
    simulator.requests.clear()

    form = await flows.reconfigure(entry)
    result = await (
        flows.submit(form, base_url=region, **key)
        if region
        else flows.submit_url(form, simulator.base_url, **key)
    )
    assert_aborted(result, "reconfigure_successful")
    base_url = BEIJING if region else simulator.base_url
    is_new = NEW_KEY in key.values()
    assert entry.data == {"base_url": base_url, **(key if is_new else stored)}
    assert_works(entry)
    # One request by the flow, and one by the reload.
    assert [
        (request.headers["host"], request.headers["authorization"])
        for request in simulator.requests
    ] == [
        (
            URL(base_url).host_port_subcomponent,
            f"Bearer {NEW_KEY if is_new else API_KEY}",
        )
    ] * 2
    assert registered(flows.hass, entry) == before
    assert flows.hass.config_entries.flow.async_progress() == []


@pytest.mark.usefixtures("regions")
@pytest.mark.parametrize(
    ("title", "after"),
    [
        ("Model Studio (us-east-1)", "Model Studio (cn-beijing)"),
        ("Model Studio (cn-hongkong)", "Model Studio (cn-hongkong)"),
        ("Kitchen", "Kitchen"),
    ],
    ids=["its region", "another region", "its own name"],
)
async def test_title_follows_the_region(
    hass: HomeAssistant, flows: Flows, title: str, after: str
) -> None:
    """The title follows the region unless the user has changed it."""
    entry = known(hass, api_key=API_KEY, base_url=REGIONS["us-east-1"])
    hass.config_entries.async_update_entry(entry, title=title)
    await setup(hass, entry)
    form = await flows.reconfigure(entry)
    result = await flows.submit(form, base_url="cn-beijing")
    assert_aborted(result, "reconfigure_successful")
    assert entry.data["base_url"] == BEIJING
    assert entry.title == after
    (device,) = dr.async_entries_for_config_entry(dr.async_get(hass), entry.entry_id)
    assert device.name == after


@pytest.mark.logs("^ERROR .* Error fetching Model Studio data")
async def test_reconfigure_where_the_variable_is_gone(
    flows: Flows, simulator: Simulator
) -> None:
    entry = known(flows.hass, api_key_env=VARIABLE, base_url=simulator.base_url)
    await setup(flows.hass, entry)
    await flows.asked(entry)
    form = await flows.reconfigure(entry)
    # The error appears even before a step that could ask for a key.
    for place in ("url", "workspace"):
        form = await flows.submit(form, base_url=place)
        assert form["step_id"] == "reconfigure_api_key"
        assert form["errors"] == {"api_key": "environment_variable_missing"}
        assert placeholder(form, "variable") == VARIABLE
        assert sent_keys(simulator) == []

    result = await flows.submit_url(form, simulator.base_url, api_key=API_KEY)
    assert_aborted(result, "reconfigure_successful")
    assert entry.data == {"api_key": API_KEY, "base_url": simulator.base_url}
    assert_works(entry)
    # The new key also ends the reauth flow from the set-up.
    flows.assert_nothing_asked()


async def test_no_key_is_no_duplicate_of_a_vanished_variable(
    hass: HomeAssistant, flows: Flows, simulator: Simulator
) -> None:
    known(hass, api_key_env=FIRST_VARIABLE, base_url=simulator.base_url)
    entry = known(hass, api_key_env=VARIABLE, base_url=simulator.base_url)
    form = await flows.submit(await flows.reconfigure(entry), base_url="url")
    assert form["errors"] == {"api_key": "environment_variable_missing"}
    serve_regions(flows.monkeypatch, simulator)
    form = await flows.submit(await flows.begin(), api_key=" ", base_url="cn-beijing")
    assert form["errors"] == {"base": "invalid_auth"}


def report_models(simulator: Simulator, *models: str) -> None:
    """Let the service list these models only."""
    simulator.body["data"]["models"] = [
        {"model": model, "used": 1, "limit": 2} for model in models
    ]


@pytest.mark.parametrize(
    ("models", "accepted"),
    [
        (["another"], False),
        (["another", "qwen-max"], True),
        ([], True),
    ],
    ids=["none in common", "one in common", "none"],
)
async def test_reauth_with_a_key_of_another_account(
    flows: Flows,
    simulator: Simulator,
    account: MockConfigEntry,
    models: list[str],
    accepted: bool,
) -> None:
    """Reauth asks again for a key whose models are all different, once."""
    simulator.api_keys = set(KEYS)
    before = dict(account.data)
    report_models(simulator, *models)
    form = await flows.reauth(account)
    result = await flows.submit(form, api_key=NEW_KEY)
    if accepted:
        assert_aborted(result, "reauth_successful")
        return
    assert result["errors"] == {"base": "other_models"}
    assert "Add that one as a new account" in await flows.error(result)
    assert account.data == before
    result = await flows.submit(result, api_key=NEW_KEY)
    assert_aborted(result, "reauth_successful")


@pytest.mark.usefixtures("regions")
async def test_reconfigure_with_a_key_of_another_account(
    flows: Flows, simulator: Simulator, account: MockConfigEntry
) -> None:
    """A key whose models are all different is accepted at another host, or again.

    It may be of another workspace of the account.
    """
    simulator.api_keys = set(KEYS)
    before = dict(account.data)
    report_models(simulator, "another")
    form = await flows.reconfigure(account)
    form = await flows.submit_url(form, simulator.base_url, api_key=NEW_KEY)
    assert form["errors"] == {"base": "other_models"}
    assert account.data == before
    result = await flows.submit(form, api_key=NEW_KEY, url=simulator.base_url)
    assert_aborted(result, "reconfigure_successful")
    assert account.data == before | {"api_key": NEW_KEY}

    form = await flows.reconfigure(account)
    result = await flows.submit(form, api_key=NEW_KEY, base_url="cn-beijing")
    assert_aborted(result, "reconfigure_successful")
    assert account.data == {"api_key": NEW_KEY, "base_url": BEIJING}


async def test_reauth_where_no_model_is_known(
    flows: Flows, simulator: Simulator, entry: MockConfigEntry
) -> None:
    simulator.api_keys = set(KEYS)
    result = await flows.submit(await flows.reauth(entry), api_key=NEW_KEY)
    assert_aborted(result, "reauth_successful")
