"""The set-up of an account, and the errors of each form."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol
from yarl import URL

from custom_components.alibaba_cloud.clients import DATA_SESSION, async_get_session
from custom_components.alibaba_cloud.const import DOMAIN
from custom_components.alibaba_cloud.model_studio import hosts
from homeassistant.config_entries import ConfigEntryDisabler, ConfigFlowResult
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, UnknownFlow
from homeassistant.helpers.translation import async_get_translations

from .common import API_KEY, answer
from .flows import (
    BEIJING,
    FIRST_VARIABLE,
    INVALID_URLS,
    KEYS,
    NEW_KEY,
    REGIONS,
    URL_VARIABLE,
    VARIABLE,
    Flows,
    all_held,
    answering_at,
    assert_aborted,
    assert_works,
    created,
    fields,
    held,
    known,
    leaks,
    placeholder,
    sent_keys,
    serve_regions,
    tls,
)
from .simulator import Fault, Simulator

pytestmark = pytest.mark.usefixtures("enable_custom_integrations")

SINGAPORE: Final = "Model Studio (ap-southeast-1)"
STEPS: Final = (
    "api_key",
    "environment",
    "url",
    "workspace",
    "region",
    "reauth_confirm",
    "reconfigure_api_key",
)
"""The steps that test an API key."""


class Failure(NamedTuple):
    """A failure, and the error that a form shows."""

    cause: object
    error: str
    words: str
    """A part of the error text, such as the service's message."""


FAILURES: Final = {
    "401": Failure(
        Fault.UNAUTHORIZED, "invalid_auth", "InvalidApiKey: Invalid API-key provided."
    ),
    "403": Failure(Fault.FORBIDDEN, "invalid_auth", "AccessDenied: Access denied."),
    "429": Failure(
        Fault.THROTTLED,
        "rate_limited",
        "Throttling.RateQuota: Requests rate limit exceeded",
    ),
    "throttling code": Failure(
        Fault.THROTTLING_CODE,
        "rate_limited",
        "Throttling.AllocationQuota: Allocated quota exceeded",
    ),
    "free tier only": Failure(
        Fault.FREE_TIER_ONLY,
        "free_quota_used_up",
        "AllocationQuota.FreeTierOnly: The free tier of the model has been exhausted.",
    ),
    "error code": Failure(
        Fault.ERROR_CODE,
        "account_unavailable",
        "SystemError: A system error has occurred",
    ),
    "error object": Failure(
        Fault.ERROR_OBJECT,
        "account_unavailable",
        "SystemError: A system error has occurred",
    ),
    "arrearage": Failure(
        Fault.ARREARAGE,
        "arrearage",
        "Arrearage: Access denied, please make sure your account is in good standing.",
    ),
    "404": Failure(
        Fault.NOT_FOUND,
        "not_found",
        "NotFound: The requested resource is not found.",
    ),
    "500": Failure(
        Fault.SERVER_ERROR,
        "account_unavailable",
        "InternalError: An internal error has occurred",
    ),
    "502 in HTML": Failure(Fault.BAD_GATEWAY, "account_unavailable", "HTTP 502"),
    "503 without body": Failure(Fault.UNAVAILABLE, "account_unavailable", "HTTP 503"),
    "redirect": Failure(Fault.REDIRECT, "account_unavailable", "HTTP 302"),
    "stopped": Failure("stopped", "cannot_connect", "Connection refused by 127.0.0.1:"),
    "reset": Failure(Fault.RESET, "cannot_connect", "The connection to 127.0.0.1"),
    "cut": Failure(Fault.CUT, "cannot_connect", "was lost"),
    "HTML": Failure(Fault.HTML, "invalid_answer", "The answer is not JSON"),
    "garbage": Failure(Fault.GARBAGE, "invalid_answer", "The answer is not JSON"),
    "empty": Failure(Fault.EMPTY, "invalid_answer", "The answer is not JSON"),
    "truncated": Failure(Fault.TRUNCATED, "invalid_answer", "The answer is not JSON"),
    "null": Failure(Fault.NULL, "invalid_answer", "The answer is not a JSON object"),
    "list": Failure(Fault.LIST, "invalid_answer", "The answer is not a JSON object"),
    "wrong shape": Failure(
        {"code": "Success", "data": []},
        "invalid_answer",
        "The answer holds neither account data nor quotas",
    ),
}


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


@asynccontextmanager
async def broken(
    hass: HomeAssistant, simulator: Simulator, cause: object
) -> AsyncIterator[None]:
    """Let all requests fail within this context."""
    match cause:
        case Fault():
            simulator.fail(cause)
        case "stopped":
            await simulator.stop()
        case "session":
            async_get_session(hass).detach()
        case _:
            simulator.body = cause
    yield
    simulator.recover()
    simulator.body = answer("account")
    await simulator.start()
    if cause == "session":
        del hass.data[DATA_SESSION]


class Step(NamedTuple):
    """A step that tests an API key, and its input."""

    form: ConfigFlowResult
    typed: dict[str, str]
    stored: dict[str, str]
    """The data of the entry at the end."""


async def open_step(
    name: str, flows: Flows, simulator: Simulator, entry: MockConfigEntry
) -> Step:
    """Return a step that tests the new key at the simulator."""
    serve_regions(flows.monkeypatch, simulator)
    url = simulator.base_url
    stored = {"api_key": NEW_KEY, "base_url": url}
    typed = {"api_key": NEW_KEY, "base_url": "cn-beijing"}
    match name:
        case "environment":
            form = await flows.environment({VARIABLE: NEW_KEY})
            stored = {"api_key_env": VARIABLE, "base_url": url}
            typed = {"base_url": "cn-beijing"}
        case "url":
            form = await flows.submit(
                await flows.begin(), api_key="sk-mistyped", base_url="url"
            )
            typed = {"api_key": NEW_KEY, "url": url}
        case "workspace":
            flows.monkeypatch.setattr(hosts, "WORKSPACE_BASE_URL", url)
            form = await flows.submit(
                await flows.begin(), api_key="sk-mistyped", base_url="workspace"
            )
            typed = {
                "api_key": NEW_KEY,
                "workspace_id": "llm-1",
                "region": "eu-central-1",
            }
        case "region":
            async with Simulator() as other:
                other.api_keys = set()
                flows.monkeypatch.setitem(hosts.REGIONS, "cn-beijing", other.base_url)
                form = await flows.submit(
                    await flows.begin(), api_key=NEW_KEY, base_url="cn-beijing"
                )
            typed = {}
        case "reauth_confirm":
            form = await flows.reauth(entry)
            del typed["base_url"]
        case "reconfigure_api_key":
            form = await flows.reconfigure(entry)
        case _:
            form = await flows.begin()
    assert form["step_id"] == name
    assert not form["errors"]
    simulator.requests.clear()
    return Step(form, typed, stored)


async def finish(
    flows: Flows, step: Step, form: ConfigFlowResult, entry: MockConfigEntry
) -> None:
    """Check that the form keeps its input and that the flow can be completed."""
    assert {k: v for k, v in all_held(form).items() if k in step.typed} == step.typed
    result = await flows.submit(form, **step.typed)
    if result["type"] is FlowResultType.CREATE_ENTRY:
        assert created(result) == step.stored
    else:
        kind = form["step_id"].partition("_")[0]
        assert_aborted(result, f"{kind}_successful")
        assert entry.data == step.stored
        assert_works(entry)
    assert flows.hass.config_entries.flow.async_progress() == []


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_failure_and_recovery(
    flows: Flows,
    simulator: Simulator,
    account: MockConfigEntry,
    name: str,
    failure: Failure,
) -> None:
    simulator.api_keys = set(KEYS)
    step = await open_step(name, flows, simulator, account)
    before = dict(account.data)
    async with broken(flows.hass, simulator, failure.cause):
        form = await flows.submit(step.form, **step.typed)
    assert form["type"] is FlowResultType.FORM
    assert form["step_id"] == name
    assert form["errors"] == {"base": failure.error}
    assert failure.words in placeholder(form, "error")
    assert flows.hass.config_entries.async_entries(DOMAIN) == [account]
    assert account.data == before
    assert simulator.redirect_target_hits == 0
    await finish(flows, step, form, account)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.logs(
    "^ERROR custom_components.alibaba_cloud Unexpected error while trying the API key$"
)
async def test_unknown_failure_and_recovery(
    flows: Flows, simulator: Simulator, account: MockConfigEntry, name: str
) -> None:
    simulator.api_keys = set(KEYS)
    step = await open_step(name, flows, simulator, account)
    async with broken(flows.hass, simulator, "session"):
        form = await flows.submit(step.form, **step.typed)
    assert form["errors"] == {"base": "unknown"}
    await finish(flows, step, form, account)


@pytest.mark.parametrize("name", STEPS)
async def test_key_that_the_service_repeats_is_not_shown(
    flows: Flows, simulator: Simulator, entry: MockConfigEntry, name: str
) -> None:
    simulator.api_keys = set(KEYS)
    step = await open_step(name, flows, simulator, entry)
    simulator.fail(Fault.ARREARAGE, code=f"Bad.{NEW_KEY}", message=f"Pay for {NEW_KEY}")
    form = await flows.submit(step.form, **step.typed)
    assert form["errors"] == {"base": "account_unavailable"}
    assert placeholder(form, "error") == "Bad.**REDACTED**: Pay for **REDACTED**"


@pytest.mark.parametrize("stored", ["api_key", "api_key_env"])
@pytest.mark.parametrize("name", STEPS)
async def test_duplicate(
    flows: Flows, simulator: Simulator, entry: MockConfigEntry, name: str, stored: str
) -> None:
    """The abort or the error names the account that has the key.

    A reauth flow stays open: Home Assistant would not ask again.
    """
    simulator.api_keys = set(KEYS)
    step = await open_step(name, flows, simulator, entry)
    flows.monkeypatch.setenv(VARIABLE, NEW_KEY)
    other = known(
        flows.hass,
        base_url=simulator.base_url,
        **{stored: VARIABLE if stored == "api_key_env" else NEW_KEY},
    )
    flows.hass.config_entries.async_update_entry(other, title="The other one")
    before = [dict(entry.data), dict(other.data)]
    result = await flows.submit(step.form, **step.typed)
    if name == "reauth_confirm":
        assert result["errors"] == {"base": "already_configured"}
    else:
        assert_aborted(result, "already_configured")
    assert placeholder(result, "account") == "The other one"
    assert [entry.data, other.data] == before
    assert sent_keys(simulator) == []
    if name == "reauth_confirm":
        await flows.hass.config_entries.async_remove(other.entry_id)
        await finish(flows, step, result, entry)


@pytest.mark.usefixtures("regions")
@pytest.mark.parametrize(
    "base_url",
    [
        f"{BEIJING}/",
        f"{BEIJING}/quotas",
        "https://dashscope.aliyuncs.com/api/v2",
        "https://DashScope.Aliyuncs.com:443/api/v1",
        "https://dashscope.aliyuncs.com./api/v1",
    ],
)
async def test_duplicate_by_another_name(
    hass: HomeAssistant, flows: Flows, simulator: Simulator, base_url: str
) -> None:
    known(hass, api_key=API_KEY, base_url=BEIJING)
    result = await flows.submit_url(await flows.begin(), base_url, api_key=API_KEY)
    assert_aborted(result, "already_configured")
    assert sent_keys(simulator) == []


@pytest.mark.parametrize("key", ["", " ", "ключ", "sk-\nother"])
async def test_what_can_be_no_key_is_not_sent(
    flows: Flows, simulator: Simulator, key: str
) -> None:
    serve_regions(flows.monkeypatch, simulator)
    form = await flows.submit(
        await flows.begin(), api_key=key, base_url="ap-southeast-1"
    )
    assert form["step_id"] == "api_key"
    assert form["errors"] == {"base": "invalid_auth"}
    assert sent_keys(simulator) == []


@pytest.mark.parametrize("forms", [1, 2], ids=["one form twice", "two flows"])
async def test_one_key_sent_twice_at_once(
    hass: HomeAssistant, flows: Flows, simulator: Simulator, forms: int
) -> None:
    serve_regions(flows.monkeypatch, simulator)
    opened = [await flows.begin() for _ in range(forms)]
    results = await asyncio.gather(
        *(
            flows.submit(form, api_key=API_KEY, base_url="cn-beijing")
            for form in (opened[0], opened[-1])
        ),
        return_exceptions=True,
    )
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert_works(entry)
    # Home Assistant does not know the flow any more.
    for result in results:
        if isinstance(result, BaseException):
            assert isinstance(result, UnknownFlow)
        elif result["type"] is not FlowResultType.CREATE_ENTRY:
            assert_aborted(result, "already_configured")


@pytest.mark.parametrize(
    "environment",
    [{}, {FIRST_VARIABLE: "", VARIABLE: " \t"}, {URL_VARIABLE: "https://127.0.0.1"}],
    ids=["none", "blank", "only a URL"],
)
@pytest.mark.parametrize(
    ("country", "region"),
    [
        (None, "cn-beijing"),
        ("CN", "cn-beijing"),
        ("DE", "ap-southeast-1"),
        ("HK", "ap-southeast-1"),
    ],
)
async def test_form(
    hass: HomeAssistant,
    flows: Flows,
    environment: dict[str, str],
    country: str | None,
    region: str,
) -> None:
    """Without a variable, there is no menu. The country sets the default region."""
    hass.config.country = country
    form = await flows.begin(environment)
    assert form["step_id"] == "api_key"
    assert all_held(form) == {
        "name": f"Model Studio ({region})",
        "api_key": None,
        "base_url": region,
    }
    markers = {field: type(marker) for field, (marker, _) in fields(form).items()}
    assert markers == {
        "name": vol.Optional,
        "api_key": vol.Required,
        "base_url": vol.Required,
    }
    assert fields(form)["api_key"][1].config["type"] == "password"
    selector = fields(form)["base_url"][1]
    assert selector.config["options"] == [*REGIONS, "workspace", "url"]
    assert not selector.config["custom_value"]
    texts = await async_get_translations(hass, "en", "selector", [DOMAIN])
    prefix = f"component.{DOMAIN}.selector.base_url.options"
    names = {texts[f"{prefix}.{option}"] for option in selector.config["options"]}
    assert len(names) == len(REGIONS) + 2


@pytest.mark.usefixtures("regions")
@pytest.mark.parametrize(("region", "url"), REGIONS.items(), ids=REGIONS)
async def test_region(
    flows: Flows, simulator: Simulator, region: str, url: str
) -> None:
    result = await flows.submit(await flows.begin(), api_key=API_KEY, base_url=region)
    assert created(result) == {"api_key": API_KEY, "base_url": url}
    assert result["title"] == f"Model Studio ({region})"
    asked = {f"https://{it.headers['host']}{it.path}" for it in simulator.requests}
    assert asked == {f"{url}/quotas"}


@pytest.mark.parametrize(
    ("taken", "typed", "title"),
    [
        ([], {}, SINGAPORE),
        ([], {"name": ""}, SINGAPORE),
        ([], {"name": "Model Studio (cn-beijing)"}, SINGAPORE),
        ([], {"name": " Kitchen "}, "Kitchen"),
        ([SINGAPORE], {}, f"{SINGAPORE} 2"),
        ([SINGAPORE, f"{SINGAPORE} 2"], {}, f"{SINGAPORE} 3"),
        (["Kitchen"], {"name": "Kitchen"}, "Kitchen"),
    ],
    ids=["none", "empty", "untouched", "own", "taken", "both taken", "own twice"],
)
async def test_name(
    hass: HomeAssistant,
    flows: Flows,
    simulator: Simulator,
    taken: list[str],
    typed: dict[str, str],
    title: str,
) -> None:
    """The suggested name follows the region; an entered name stays."""
    for name in taken:
        MockConfigEntry(
            domain=DOMAIN,
            title=name,
            data={"api_key": "sk-taken", "base_url": BEIJING},
            disabled_by=ConfigEntryDisabler.USER,
        ).add_to_hass(hass)
    flows.monkeypatch.setitem(hosts.REGIONS, "ap-southeast-1", simulator.base_url)
    result = await flows.submit(
        await flows.begin(), api_key=API_KEY, base_url="ap-southeast-1", **typed
    )
    created(result)
    assert result["title"] == title


@pytest.mark.parametrize("path", ["", "/", "/quotas", "/quotas/"])
@pytest.mark.parametrize("blanks", ["", " \t\n"], ids=["plain", "blanks"])
async def test_url(flows: Flows, simulator: Simulator, path: str, blanks: str) -> None:
    result = await flows.submit_url(
        await flows.begin(),
        f"{blanks}{simulator.base_url}{path}{blanks}",
        api_key=f"{blanks}{API_KEY}{blanks}",
    )
    assert created(result) == {"api_key": API_KEY, "base_url": simulator.base_url}
    assert result["title"] == "Model Studio (127.0.0.1)"
    assert sent_keys(simulator) == [API_KEY, API_KEY]


async def test_invalid_url_and_recovery(flows: Flows, simulator: Simulator) -> None:
    form = await flows.submit(await flows.begin(), api_key=API_KEY, base_url="url")
    for url in INVALID_URLS:
        form = await flows.submit(form, url=url)
        assert form["errors"] == {"url": "invalid_url"}, url
        assert held(form, "url") == url
    assert sent_keys(simulator) == []
    result = await flows.submit(form, url=simulator.base_url)
    assert created(result) == {"api_key": API_KEY, "base_url": simulator.base_url}


async def test_wrong_address_and_recovery(flows: Flows, simulator: Simulator) -> None:
    """The error contains the address."""
    url = f"{simulator.base_url}/v2"
    form = await flows.submit_url(await flows.begin(), f"{url}/quotas", api_key=API_KEY)
    assert form["errors"] == {"base": "not_found"}
    assert f"at {url} (NotFound: No such path.)" in await flows.error(form)
    result = await flows.submit(form, url=simulator.base_url)
    assert created(result) == {"api_key": API_KEY, "base_url": simulator.base_url}


@pytest.mark.usefixtures("regions")
async def test_url_of_a_region_is_that_region(flows: Flows) -> None:
    url = REGIONS["us-east-1"]
    result = await flows.submit_url(
        await flows.begin(), f"{url}/quotas", api_key=API_KEY
    )
    assert created(result) == {"api_key": API_KEY, "base_url": url}
    assert result["title"] == "Model Studio (us-east-1)"


@pytest.mark.usefixtures("regions")
async def test_same_key_at_another_host(
    hass: HomeAssistant, flows: Flows, account: MockConfigEntry
) -> None:
    result = await flows.submit(
        await flows.begin(), api_key=API_KEY, base_url="cn-beijing"
    )
    assert created(result) == {"api_key": API_KEY, "base_url": BEIJING}
    assert hass.config_entries.async_entries(DOMAIN) == [account, result["result"]]
