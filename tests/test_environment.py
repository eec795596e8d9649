"""Set-up with the API key of an environment variable, which is not stored."""

from collections.abc import Iterator

import pytest

from custom_components.alibaba_cloud.model_studio import hosts
from homeassistant.core import HomeAssistant

from .common import API_KEY
from .flows import (
    FIRST_VARIABLE,
    NEW_KEY,
    REGIONS,
    URL_VARIABLE,
    VARIABLE,
    Flows,
    assert_works,
    created,
    fields,
    held,
    leaks,
    placeholder,
    sent_keys,
    serve_regions,
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


@pytest.mark.parametrize(
    ("environment", "variable"),
    [
        ({FIRST_VARIABLE: NEW_KEY}, FIRST_VARIABLE),
        ({VARIABLE: NEW_KEY}, VARIABLE),
        ({FIRST_VARIABLE: NEW_KEY, VARIABLE: "sk-unused"}, FIRST_VARIABLE),
        ({FIRST_VARIABLE: " ", VARIABLE: NEW_KEY}, VARIABLE),
    ],
    ids=["first", "second", "both", "first is blank"],
)
async def test_environment(
    hass: HomeAssistant,
    flows: Flows,
    simulator: Simulator,
    environment: dict[str, str],
    variable: str,
) -> None:
    """The key is read from the variable at every start, and is not stored."""
    simulator.api_keys = {NEW_KEY}
    menu = await flows.begin(environment)
    assert menu["step_id"] == "user"
    assert menu["menu_options"] == ["environment", "api_key"]
    assert placeholder(menu, "variable") == variable

    form = await flows.choose(menu, "environment")
    assert form["step_id"] == "environment"
    assert placeholder(form, "variable") == variable
    assert set(fields(form)) == {"name", "base_url"}
    result = await flows.submit_url(form, simulator.base_url)
    assert created(result) == {"api_key_env": variable, "base_url": simulator.base_url}
    assert NEW_KEY not in repr(result["result"].as_dict())
    assert sent_keys(simulator) == [NEW_KEY, NEW_KEY]

    simulator.api_keys = {API_KEY}
    flows.monkeypatch.setenv(variable, f"\t{API_KEY}\n")
    assert await hass.config_entries.async_reload(result["result"].entry_id)
    assert_works(result["result"])
    assert sent_keys(simulator) == [API_KEY]


async def test_menu_leads_to_a_typed_key_too(
    flows: Flows, simulator: Simulator
) -> None:
    form = await flows.choose(await flows.begin({VARIABLE: NEW_KEY}), "api_key")
    result = await flows.submit_url(form, simulator.base_url, api_key=API_KEY)
    assert created(result) == {"api_key": API_KEY, "base_url": simulator.base_url}


@pytest.mark.parametrize(
    ("first", "second", "suggested"),
    [
        (None, None, "cn-beijing"),
        ("https://one.example", None, "https://one.example"),
        (None, "https://two.example/", "https://two.example"),
        ("https://one.example", "https://two.example", "https://one.example"),
        (" ", "https://two.example", "https://two.example"),
        ("", " ", "cn-beijing"),
        ("https://[::1", None, "cn-beijing"),
        (f"{REGIONS['us-east-1']}/", None, "us-east-1"),
    ],
)
async def test_environment_names_the_url(
    flows: Flows, first: str | None, second: str | None, suggested: str
) -> None:
    """The URL in the SDK's variable is suggested, as a region if it belongs to one."""
    urls = {URL_VARIABLE: first, "DASHSCOPE_BASE_URL": second}
    form = await flows.environment(
        {VARIABLE: NEW_KEY}
        | {name: url for name, url in urls.items() if url is not None}
    )
    if suggested in REGIONS:
        assert held(form, "base_url") == suggested
    else:
        assert held(form, "base_url") == "url"
        form = await flows.submit(form, base_url="url")
        assert held(form, "url") == suggested


@pytest.mark.parametrize("failed_before", [False, True], ids=["at once", "after error"])
async def test_variable_vanishes(
    flows: Flows, simulator: Simulator, failed_before: bool
) -> None:
    serve_regions(flows.monkeypatch, simulator)
    form = await flows.environment({VARIABLE: NEW_KEY})
    if failed_before:
        form = await flows.submit(form, base_url="cn-beijing")
        assert form["errors"] == {"base": "invalid_auth"}
    sent_keys(simulator)
    flows.monkeypatch.delenv(VARIABLE)
    form = await flows.submit(form, base_url="cn-beijing")
    assert form["step_id"] == "api_key"
    # The form is new, without an error.
    assert not form["errors"]
    assert sent_keys(simulator) == []
    result = await flows.submit(form, api_key=API_KEY, base_url="cn-beijing")
    assert created(result) == {"api_key": API_KEY, "base_url": simulator.base_url}


@pytest.mark.parametrize("place", ["url", "workspace"])
async def test_variable_vanishes_before_the_next_step(
    flows: Flows, simulator: Simulator, place: str
) -> None:
    flows.monkeypatch.setattr(hosts, "WORKSPACE_BASE_URL", simulator.base_url)
    form = await flows.environment({VARIABLE: NEW_KEY})
    form = await flows.submit(form, base_url=place)
    flows.monkeypatch.delenv(VARIABLE)
    typed = {"url": simulator.base_url}
    if place == "workspace":
        typed = {"workspace_id": "llm-1", "region": "cn-beijing"}
    form = await flows.submit(form, **typed)
    assert form["errors"] == {"api_key": "environment_variable_missing"}
    assert VARIABLE in await flows.error(form)
    assert sent_keys(simulator) == []
    result = await flows.submit(form, **typed, api_key=API_KEY)
    assert created(result) == {"api_key": API_KEY, "base_url": simulator.base_url}
