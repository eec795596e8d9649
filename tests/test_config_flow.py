"""The flows: how an account is set up, gets another key, and moves elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
import socket
import ssl
from typing import Any, Final, NamedTuple, override

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import RawTestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol
from yarl import URL

from custom_components.alibaba_cloud.const import DOMAIN
from custom_components.alibaba_cloud.sources import DATA_SESSION, async_get_session
from homeassistant.config_entries import (
    SOURCE_REAUTH,
    SOURCE_RECONFIGURE,
    SOURCE_USER,
    ConfigEntriesFlowManager,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlowResult,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType, UnknownFlow, section
from homeassistant.helpers import (
    device_registry as dr,
    entity_registry as er,
    issue_registry as ir,
)
from homeassistant.helpers.data_entry_flow import _BaseFlowManagerView
from homeassistant.helpers.translation import async_get_translations

from .conftest import API_KEY, Poll, answer, setup, state
from .simulator import DEFAULT_ACCESS_KEY_SECRET, Fault, Simulator

pytestmark = pytest.mark.usefixtures("enable_custom_integrations")

NEW_KEY: Final = "sk-another"
KEYS: Final = (API_KEY, NEW_KEY)
NEW_ACCESS_KEY_SECRET: Final = "another-secret"
SECRETS: Final = (*KEYS, DEFAULT_ACCESS_KEY_SECRET, NEW_ACCESS_KEY_SECRET)

FIRST_VARIABLE: Final = "ALIBABA_CLOUD_API_KEY"
VARIABLE: Final = "DASHSCOPE_API_KEY"
URL_VARIABLE: Final = "DASHSCOPE_HTTP_BASE_URL"

REGIONS: Final = {
    "cn-beijing": "https://dashscope.aliyuncs.com/api/v1",
    "ap-southeast-1": "https://dashscope-intl.aliyuncs.com/api/v1",
    "us-east-1": "https://dashscope-us.aliyuncs.com/api/v1",
    "cn-hongkong": "https://cn-hongkong.dashscope.aliyuncs.com/api/v1",
}
BEIJING: Final = REGIONS["cn-beijing"]

# What is typed in at each step that tries a key. Reconfiguring leads to that of the
# first set-up, where the key may stay.
STEPS: Final = {
    "api_key": ("api_key", "base_url"),
    "environment": ("base_url",),
    "reauth_confirm": ("api_key",),
    "reconfigure": ("api_key", "base_url"),
}
WITH_URL: Final = [step for step, fields in STEPS.items() if "base_url" in fields]
FORMS: Final = {step: step for step in STEPS} | {"reconfigure": "api_key"}


class Failure(NamedTuple):
    """What goes wrong, and what a form says of it."""

    cause: object
    error: str
    words: str
    """Part of the text: the service's own words, where it has any."""


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

INVALID_URLS: Final = (
    "",
    " ",
    "cn-nowhere",
    "127.0.0.1",
    "https://",
    "https:///api/v1",
    "https://[::1",
    "https://127.0.0.1:99999",
    "ftp://127.0.0.1",
    "http://dashscope.aliyuncs.com/api/v1",
    "http://8.8.8.8/api/v1",
    "https://user@127.0.0.1",
    "https://user:password@127.0.0.1",
    "https://127.0.0.1/api/v1?region=cn-beijing",
    "https://127.0.0.1/api/v1#quotas",
)


@pytest.fixture(autouse=True)
def secret(hass: HomeAssistant, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that lets a key into the log, a state or the name of anything."""
    yield
    told = [
        caplog.handler.format(record)
        for when in ("setup", "call")
        for record in caplog.get_records(when)
    ]
    told += [repr(current.as_dict()) for current in hass.states.async_all()]
    told += [entry.title for entry in hass.config_entries.async_entries()]
    told += [repr(flow) for flow in hass.config_entries.flow.async_progress()]
    assert [line for line in told if any(it in line for it in SECRETS)] == []


def tls(tmp_path: Path, hosts: Iterable[str]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return how a server is all hosts at once, and how a client believes it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "regions")])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2120, 1, 1, tzinfo=UTC))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(host) for host in hosts]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    file = tmp_path / "regions.pem"
    file.write_bytes(
        certificate
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(file)
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.load_verify_locations(file)
    return server, client


class Resolver(AbstractResolver):
    """Finds all hosts at one port of the loopback."""

    def __init__(self, port: int) -> None:
        """Remember the port."""
        self._port = port

    @override
    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> list[ResolveResult]:
        """Return the one address there is."""
        return [
            ResolveResult(
                hostname=host,
                host="127.0.0.1",
                port=self._port,
                family=socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
        ]

    @override
    async def close(self) -> None:
        """Do nothing: nothing is open."""


@pytest.fixture
async def regions(
    hass: HomeAssistant, simulator: Simulator, tmp_path: Path
) -> AsyncIterator[None]:
    """Have the simulator answer at the hosts of all regions too."""
    hosts = [str(URL(url).host) for url in REGIONS.values()]
    async with answering_at(hass, simulator, tls(tmp_path, hosts)):
        yield


@asynccontextmanager
async def answering_at(
    hass: HomeAssistant,
    simulator: Simulator,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> AsyncIterator[None]:
    """Have the simulator answer at other hosts too, over TLS.

    Nothing leaves this machine: Home Assistant's HTTP session finds no other host.
    """
    server_tls, client_tls = contexts
    server = RawTestServer(simulator._handle, host="127.0.0.1")
    await server.start_server(ssl=server_tls)
    connector = aiohttp.TCPConnector(
        resolver=Resolver(server.port or 0), ssl=client_tls
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(async_get_session(hass), "_connector", connector)
        yield
    await connector.close()
    await server.close()


@asynccontextmanager
async def broken(
    hass: HomeAssistant, simulator: Simulator, cause: object
) -> AsyncIterator[None]:
    """Let all requests fail for a while."""
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


class Flows:
    """Goes through flows as a frontend does, and checks all that they show."""

    def __init__(self, hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> None:
        """Keep what flows run in."""
        self.hass = hass
        self.monkeypatch = monkeypatch
        self._manager = hass.config_entries.flow

    async def begin(
        self, environment: Mapping[str, str] | None = None
    ) -> ConfigFlowResult:
        """Start to set an account up, in this environment."""
        for name, value in (environment or {}).items():
            self.monkeypatch.setenv(name, value)
        result = await self._manager.async_init(DOMAIN, context={"source": SOURCE_USER})
        return await self._checked(result)

    async def choose(self, menu: ConfigFlowResult, option: str) -> ConfigFlowResult:
        """Choose from a menu."""
        assert menu["type"] is FlowResultType.MENU
        result = await self._manager.async_configure(
            menu["flow_id"], {"next_step_id": option}
        )
        return await self._checked(result)

    async def submit(
        self, form: ConfigFlowResult, **user_input: Any
    ) -> ConfigFlowResult:
        """Fill in a form, and let what comes of it settle."""
        assert form["type"] is FlowResultType.FORM
        result = await self._manager.async_configure(form["flow_id"], user_input)
        await self.hass.async_block_till_done(wait_background_tasks=True)
        return await self._checked(result)

    async def environment(self, environment: Mapping[str, str]) -> ConfigFlowResult:
        """Return the form for the key in this environment."""
        return await self.choose(await self.begin(environment), "environment")

    async def reauth(self, entry: MockConfigEntry) -> ConfigFlowResult:
        """Return the form for another key of an account."""
        return await self._checked(await entry.start_reauth_flow(self.hass))

    async def reconfigure(self, entry: MockConfigEntry) -> ConfigFlowResult:
        """Return the form that changes an account's key or region."""
        return await self.choose(await self.change(entry), "api_key")

    async def change(self, entry: MockConfigEntry) -> ConfigFlowResult:
        """Return the menu of what can be changed of an account."""
        menu = await self._checked(await entry.start_reconfigure_flow(self.hass))
        assert menu["type"] is FlowResultType.MENU
        assert menu["step_id"] == "reconfigure"
        assert menu["menu_options"] == ["api_key", "access_key"]
        return menu

    async def open(self, step: str, entry: MockConfigEntry) -> ConfigFlowResult:
        """Return the form of a step, for the new key."""
        match step:
            case "api_key":
                form = await self.begin()
            case "environment":
                form = await self.environment({VARIABLE: NEW_KEY})
            case "reauth_confirm":
                form = await self.reauth(entry)
            case _:
                form = await self.reconfigure(entry)
        assert form["type"] is FlowResultType.FORM
        assert form["step_id"] == FORMS[step]
        assert not form["errors"]
        assert set(fields(form)) == set(STEPS[step])
        return form

    async def finish(
        self, form: ConfigFlowResult, simulator: Simulator, entry: MockConfigEntry
    ) -> None:
        """Check that a flow comes to its end after all, once nothing is wrong."""
        step = form["step_id"]
        flow = self._manager.async_get(form["flow_id"])
        if flow["context"]["source"] == SOURCE_RECONFIGURE:
            step = "reconfigure"
        expected = {"api_key": NEW_KEY, "base_url": simulator.base_url}
        result = await self.submit(form, **typed(step, simulator.base_url))
        match step:
            case "api_key":
                assert created(result) == expected
            case "environment":
                del expected["api_key"]
                assert created(result) == {"api_key_env": VARIABLE, **expected}
            case _:
                assert_aborted(result, f"{step.removesuffix('_confirm')}_successful")
                assert entry.data == expected
                assert_works(entry)
        assert self._manager.async_progress() == []

    async def error(self, form: ConfigFlowResult) -> str:
        """Return what a form says is wrong."""
        assert form["errors"] is not None
        return await self.text(form, f"error.{form['errors']['base']}")

    async def description(self, form: ConfigFlowResult) -> str:
        """Return what a form says of itself."""
        return await self.text(form, f"step.{form['step_id']}.description")

    async def text(self, form: ConfigFlowResult, key: str) -> str:
        """Return a text of a form, filled in."""
        texts = await async_get_translations(self.hass, "en", "config", [DOMAIN])
        text = texts[f"component.{DOMAIN}.config.{key}"]
        return text.format_map(form["description_placeholders"] or {})

    async def asked(self, entry: ConfigEntry) -> ConfigFlowResult:
        """Return the form in which another key is asked for, of no other account."""
        (flow,) = self._manager.async_progress()
        assert flow["context"]["source"] == SOURCE_REAUTH
        assert flow["context"]["entry_id"] == entry.entry_id
        (issue,) = (
            issue
            for issue in ir.async_get(self.hass).issues.values()
            if issue.translation_key == "config_entry_reauth"
        )
        assert issue.translation_placeholders == {"name": entry.title}
        form = await self._manager.async_configure(flow["flow_id"])
        assert form["step_id"] == "reauth_confirm"
        assert not form["errors"]
        assert set(fields(form)) == {"api_key"}
        return await self._checked(form)

    def assert_nothing_asked(self) -> None:
        """Check that nothing waits for the user any more."""
        assert self._manager.async_progress() == []
        assert ir.async_get(self.hass).issues == {}

    def json(self, result: ConfigFlowResult) -> dict[str, Any]:
        """Return a result as the frontend gets it."""
        view: _BaseFlowManagerView[ConfigEntriesFlowManager, ConfigFlowResult]
        view = _BaseFlowManagerView(self._manager)
        return view._prepare_result_json(result)

    async def _checked(self, result: ConfigFlowResult) -> ConfigFlowResult:
        """Return a result that shows no key, and has a text for all that it shows."""
        match result["type"]:
            case FlowResultType.CREATE_ENTRY:
                return result
            case FlowResultType.ABORT:
                keys = [f"abort.{result['reason']}"]
            case FlowResultType.MENU:
                step = f"step.{result['step_id']}"
                keys = [f"{step}.title", f"{step}.description"]
                options = result["menu_options"]
                assert isinstance(options, list)
                keys += [f"{step}.menu_options.{option}" for option in options]
            case _:
                step = f"step.{result['step_id']}"
                keys = [f"{step}.title", f"{step}.description"]
                keys += texts_of(step, fields(result))
                errors = result["errors"] or {}
                keys += [f"error.{error}" for error in errors.values()]
        assert not any(secret in f"{result} {self.json(result)}" for secret in SECRETS)
        domain = result.get("translation_domain") or DOMAIN
        texts = await async_get_translations(self.hass, "en", "config", [domain])
        placeholders = result.get("description_placeholders") or {}
        for key in keys:
            # Raises where the text or a placeholder of it is missing.
            texts[f"component.{domain}.config.{key}"].format_map(placeholders)
        return result


@pytest.fixture
def flows(hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> Flows:
    """Return what goes through flows."""
    return Flows(hass, monkeypatch)


def typed(step: str, base_url: str, api_key: str = NEW_KEY) -> dict[str, str]:
    """Return what is typed in at a step."""
    values = {"api_key": api_key, "base_url": base_url}
    return {field: values[field] for field in STEPS[step]}


def fields(form: ConfigFlowResult) -> dict[str, tuple[vol.Marker, Any]]:
    """Return the fields of a form: what is known of each, and its selector."""
    assert form["data_schema"] is not None
    return fields_of(form["data_schema"])


def fields_of(schema: vol.Schema) -> dict[str, tuple[vol.Marker, Any]]:
    """Return the fields of a schema: what is known of each, and its selector."""
    return {str(field): (field, it) for field, it in schema.schema.items()}


def texts_of(step: str, shown: Mapping[str, tuple[vol.Marker, Any]]) -> list[str]:
    """Return the keys of all texts that fields need, and those in their sections."""
    keys = []
    for field, (_, it) in shown.items():
        if isinstance(it, section):
            part = f"{step}.sections.{field}"
            keys += [f"{part}.name", f"{part}.description"]
            keys += texts_of(part, fields_of(it.schema))
        else:
            keys += [f"{step}.data.{field}", f"{step}.data_description.{field}"]
    return keys


def held(form: ConfigFlowResult, field: str) -> Any:
    """Return what a field of a form holds when it is shown."""
    marker, _ = fields(form)[field]
    return held_by(marker)


def held_by(marker: vol.Marker) -> Any:
    """Return what the field of a marker holds when it is shown."""
    assert isinstance(marker, vol.Required | vol.Optional)
    if marker.description:
        return marker.description["suggested_value"]
    return None if isinstance(marker.default, vol.Undefined) else marker.default()


def placeholder(form: ConfigFlowResult, name: str) -> str:
    """Return what stands in the texts of a form under this name."""
    placeholders = form["description_placeholders"]
    assert placeholders is not None
    return placeholders[name]


def assert_held(form: ConfigFlowResult, step: str, base_url: str) -> None:
    """Check that a form with an error still holds the URL, and no longer the key."""
    assert form["step_id"] == FORMS[step]
    assert {field: held(form, field) for field in fields(form)} == {
        field: base_url if field == "base_url" else None for field in STEPS[step]
    }


def assert_aborted(result: ConfigFlowResult, reason: str) -> None:
    """Check that a flow has ended so."""
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == reason


def created(result: ConfigFlowResult) -> dict[str, Any]:
    """Return the data of the entry that a flow has created and that works."""
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert_works(result["result"])
    return dict(result["data"])


def assert_works(entry: ConfigEntry) -> None:
    """Check that an account is set up and read."""
    assert entry.state is ConfigEntryState.LOADED
    assert entry.runtime_data.status == "ok"
    assert entry.options == {}


def registered(hass: HomeAssistant, entry: ConfigEntry) -> set[tuple[str, ...]]:
    """Return what identifies an account's devices and entities, for its lifetime."""
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


def sent_keys(simulator: Simulator) -> list[str]:
    """Return the keys that the service was sent, and forget them."""
    keys = [
        request.headers["authorization"].removeprefix("Bearer ")
        for request in simulator.requests
    ]
    simulator.requests.clear()
    return keys


def known(hass: HomeAssistant, **data: str) -> MockConfigEntry:
    """Return an account with this data that is known, but not set up."""
    entry = MockConfigEntry(domain=DOMAIN, title="Model Studio", data=data)
    entry.add_to_hass(hass)
    return entry


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="none"),
        pytest.param({FIRST_VARIABLE: "", VARIABLE: " \t"}, id="blank"),
        pytest.param({URL_VARIABLE: "https://127.0.0.1"}, id="only a URL"),
    ],
)
async def test_without_variable_there_is_no_menu(
    flows: Flows, environment: dict[str, str]
) -> None:
    form = await flows.begin(environment)
    assert form["type"] is FlowResultType.FORM
    assert form["step_id"] == "api_key"
    assert not form["errors"]
    assert {field: held(form, field) for field in fields(form)} == {
        "api_key": None,
        "base_url": "cn-beijing",
    }


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
    flows: Flows, simulator: Simulator, environment: dict[str, str], variable: str
) -> None:
    simulator.api_keys = {NEW_KEY}
    menu = await flows.begin(environment)
    assert menu["type"] is FlowResultType.MENU
    assert menu["step_id"] == "user"
    assert menu["menu_options"] == ["environment", "api_key"]
    assert placeholder(menu, "variable") == variable

    form = await flows.choose(menu, "environment")
    assert form["step_id"] == "environment"
    assert placeholder(form, "variable") == variable
    assert held(form, "base_url") == "cn-beijing"

    result = await flows.submit(form, base_url=simulator.base_url)
    assert created(result) == {"api_key_env": variable, "base_url": simulator.base_url}
    assert result["title"] == "Model Studio (127.0.0.1)"
    assert NEW_KEY not in repr(result["result"].as_dict())
    assert sent_keys(simulator) == [NEW_KEY, NEW_KEY]


async def test_variable_is_read_at_every_start(
    hass: HomeAssistant, flows: Flows, simulator: Simulator
) -> None:
    form = await flows.environment({VARIABLE: API_KEY})
    result = await flows.submit(form, base_url=simulator.base_url)
    assert created(result)["api_key_env"] == VARIABLE
    sent_keys(simulator)

    simulator.api_keys = {NEW_KEY}
    flows.monkeypatch.setenv(VARIABLE, f"\t{NEW_KEY}\n")
    assert await hass.config_entries.async_reload(result["result"].entry_id)
    assert_works(result["result"])
    assert sent_keys(simulator) == [NEW_KEY]


async def test_menu_leads_to_a_typed_key_too(
    flows: Flows, simulator: Simulator
) -> None:
    form = await flows.choose(await flows.begin({VARIABLE: NEW_KEY}), "api_key")
    assert form["step_id"] == "api_key"
    assert not form["errors"]
    result = await flows.submit(form, api_key=API_KEY, base_url=simulator.base_url)
    assert created(result) == {"api_key": API_KEY, "base_url": simulator.base_url}
    assert sent_keys(simulator) == [API_KEY, API_KEY]


@pytest.mark.parametrize(
    ("first", "second", "default"),
    [
        (None, None, "cn-beijing"),
        ("https://one.example", None, "https://one.example"),
        (None, "https://two.example", "https://two.example"),
        ("https://one.example", "https://two.example", "https://one.example"),
        (" ", "https://two.example", "https://two.example"),
        ("", " ", "cn-beijing"),
    ],
)
async def test_environment_names_the_url(
    flows: Flows, first: str | None, second: str | None, default: str
) -> None:
    urls = {URL_VARIABLE: first, "DASHSCOPE_BASE_URL": second}
    form = await flows.environment(
        {VARIABLE: NEW_KEY}
        | {name: url for name, url in urls.items() if url is not None}
    )
    assert held(form, "base_url") == default


async def test_url_in_the_environment_is_taken_as_offered(
    flows: Flows, simulator: Simulator
) -> None:
    form = await flows.environment(
        {VARIABLE: API_KEY, URL_VARIABLE: f"{simulator.base_url}/"}
    )
    result = await flows.submit(form, base_url=held(form, "base_url"))
    assert created(result) == {"api_key_env": VARIABLE, "base_url": simulator.base_url}


@pytest.mark.parametrize("failed_before", [False, True], ids=["at once", "after error"])
async def test_variable_vanishes(
    flows: Flows, simulator: Simulator, failed_before: bool
) -> None:
    form = await flows.environment({VARIABLE: NEW_KEY})
    if failed_before:
        form = await flows.submit(form, base_url=simulator.base_url)
        assert form["errors"] == {"base": "invalid_auth"}
    sent_keys(simulator)

    flows.monkeypatch.delenv(VARIABLE)
    form = await flows.submit(form, base_url=simulator.base_url)
    assert form["step_id"] == "api_key"
    # The form is a new one, in which nothing has been tried yet.
    assert not form["errors"]
    assert sent_keys(simulator) == []
    result = await flows.submit(form, api_key=API_KEY, base_url=simulator.base_url)
    assert created(result) == {"api_key": API_KEY, "base_url": simulator.base_url}


async def test_variable_vanishes_before_the_choice(flows: Flows) -> None:
    menu = await flows.begin({VARIABLE: NEW_KEY})
    flows.monkeypatch.delenv(VARIABLE)
    form = await flows.choose(menu, "environment")
    assert form["type"] is FlowResultType.FORM
    assert form["step_id"] == "api_key"
    assert not form["errors"]


@pytest.mark.parametrize("path", ["", "/", "/quotas", "/quotas/"])
@pytest.mark.parametrize("blanks", ["", " \t\n"], ids=["plain", "blanks"])
async def test_api_key(
    flows: Flows, simulator: Simulator, path: str, blanks: str
) -> None:
    result = await flows.submit(
        await flows.begin(),
        api_key=f"{blanks}{API_KEY}{blanks}",
        base_url=f"{blanks}{simulator.base_url}{path}{blanks}",
    )
    assert created(result) == {"api_key": API_KEY, "base_url": simulator.base_url}
    assert result["title"] == "Model Studio (127.0.0.1)"
    assert sent_keys(simulator) == [API_KEY, API_KEY]


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


@pytest.mark.usefixtures("regions")
async def test_url_of_a_region_is_that_region(flows: Flows) -> None:
    url = REGIONS["us-east-1"]
    result = await flows.submit(
        await flows.begin(), api_key=API_KEY, base_url=f"{url}/quotas"
    )
    assert created(result) == {"api_key": API_KEY, "base_url": url}
    assert result["title"] == "Model Studio (us-east-1)"


@pytest.mark.parametrize("step", WITH_URL)
async def test_regions_are_offered_by_name(
    hass: HomeAssistant, flows: Flows, entry: MockConfigEntry, step: str
) -> None:
    _, selector = fields(await flows.open(step, entry))["base_url"]
    assert selector.config["options"] == [*REGIONS, "workspace"]
    assert selector.config["custom_value"] is True
    texts = await async_get_translations(hass, "en", "selector", [DOMAIN])
    prefix = f"component.{DOMAIN}.selector.{selector.config['translation_key']}.options"
    assert len({texts[f"{prefix}.{region}"] for region in REGIONS}) == len(REGIONS)


@pytest.mark.parametrize("step", [step for step in STEPS if "api_key" in STEPS[step]])
async def test_key_is_typed_in_unseen(
    flows: Flows, entry: MockConfigEntry, step: str
) -> None:
    _, selector = fields(await flows.open(step, entry))["api_key"]
    assert selector.config["type"] == "password"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_failure_and_recovery(
    flows: Flows,
    simulator: Simulator,
    account: MockConfigEntry,
    step: str,
    failure: Failure,
) -> None:
    simulator.api_keys = set(KEYS)
    form = await flows.open(step, account)
    before = dict(account.data)
    base_url = f"{simulator.base_url}/"
    async with broken(flows.hass, simulator, failure.cause):
        form = await flows.submit(form, **typed(step, base_url))
    assert form["type"] is FlowResultType.FORM
    assert form["errors"] == {"base": failure.error}
    assert failure.words in placeholder(form, "error")
    assert_held(form, step, base_url)
    assert flows.hass.config_entries.async_entries(DOMAIN) == [account]
    assert account.data == before
    assert simulator.redirect_target_hits == 0
    await flows.finish(form, simulator, account)


@pytest.mark.parametrize("step", WITH_URL)
async def test_wrong_address_and_recovery(
    flows: Flows, simulator: Simulator, account: MockConfigEntry, step: str
) -> None:
    """It is named, as it was asked."""
    simulator.api_keys = set(KEYS)
    form = await flows.open(step, account)
    form = await flows.submit(form, **typed(step, f"{simulator.base_url}/v2/quotas"))
    assert form["errors"] == {"base": "not_found"}
    assert placeholder(form, "error") == "NotFound: No such path."
    assert placeholder(form, "url") == f"{simulator.base_url}/v2"
    assert f"{simulator.base_url}/v2 (NotFound" in await flows.error(form)
    await flows.finish(form, simulator, account)


@pytest.mark.parametrize("fault", [Fault.REDIRECT, Fault.BAD_GATEWAY, Fault.HTML])
async def test_what_may_be_a_wrong_address_is_said_to_be_one(
    flows: Flows, simulator: Simulator, fault: Fault
) -> None:
    form = await flows.begin()
    simulator.fail(fault)
    form = await flows.submit(form, api_key=API_KEY, base_url=simulator.base_url)
    assert "Check the region or URL" in await flows.error(form)
    simulator.recover()
    result = await flows.submit(form, api_key=API_KEY, base_url=simulator.base_url)
    created(result)


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.logs(
    "^ERROR custom_components.alibaba_cloud Unexpected error while trying the API key$"
)
async def test_unknown_failure_and_recovery(
    flows: Flows, simulator: Simulator, account: MockConfigEntry, step: str
) -> None:
    simulator.api_keys = set(KEYS)
    form = await flows.open(step, account)
    async with broken(flows.hass, simulator, "session"):
        form = await flows.submit(form, **typed(step, simulator.base_url))
    assert form["errors"] == {"base": "unknown"}
    assert_held(form, step, simulator.base_url)
    await flows.finish(form, simulator, account)


@pytest.mark.parametrize("step", WITH_URL)
async def test_invalid_url_and_recovery(
    flows: Flows, simulator: Simulator, account: MockConfigEntry, step: str
) -> None:
    simulator.api_keys = set(KEYS)
    form = await flows.open(step, account)
    sent_keys(simulator)
    for url in INVALID_URLS:
        form = await flows.submit(form, **typed(step, url))
        assert form["errors"] == {"base_url": "invalid_url"}, url
        assert_held(form, step, url)
    assert sent_keys(simulator) == []
    await flows.finish(form, simulator, account)


async def test_one_error_takes_the_place_of_another(
    flows: Flows, simulator: Simulator
) -> None:
    form = await flows.begin()
    simulator.fail(Fault.ARREARAGE)
    form = await flows.submit(form, api_key=API_KEY, base_url=simulator.base_url)
    assert form["errors"] == {"base": "arrearage"}
    form = await flows.submit(form, api_key=API_KEY, base_url="nowhere")
    assert form["errors"] == {"base_url": "invalid_url"}
    assert placeholder(form, "error") == ""
    simulator.recover()
    form = await flows.submit(form, api_key=NEW_KEY, base_url=simulator.base_url)
    assert form["errors"] == {"base": "invalid_auth"}


@pytest.mark.parametrize(
    "key", ["", " ", "ключ", "sk-\nother"], ids=["empty", "blank", "letters", "break"]
)
@pytest.mark.parametrize("step", ["api_key", "reauth_confirm"])
async def test_what_can_be_no_key_is_not_sent(
    flows: Flows, simulator: Simulator, entry: MockConfigEntry, step: str, key: str
) -> None:
    form = await flows.open(step, entry)
    form = await flows.submit(form, **typed(step, simulator.base_url, key))
    assert form["errors"] == {"base": "invalid_auth"}
    assert sent_keys(simulator) == []


@pytest.mark.parametrize("step", STEPS)
async def test_key_that_the_service_repeats_is_not_shown(
    flows: Flows, simulator: Simulator, entry: MockConfigEntry, step: str
) -> None:
    form = await flows.open(step, entry)
    simulator.fail(Fault.ARREARAGE, code=f"Bad.{NEW_KEY}", message=f"Pay for {NEW_KEY}")
    form = await flows.submit(form, **typed(step, simulator.base_url))
    assert form["errors"] == {"base": "account_unavailable"}
    assert placeholder(form, "error") == "Bad.**REDACTED**: Pay for **REDACTED**"


@pytest.mark.parametrize("stored", ["api_key", "api_key_env"])
@pytest.mark.parametrize("step", STEPS)
async def test_duplicate(
    flows: Flows, simulator: Simulator, entry: MockConfigEntry, step: str, stored: str
) -> None:
    form = await flows.open(step, entry)
    flows.monkeypatch.setenv(VARIABLE, NEW_KEY)
    other = known(
        flows.hass,
        base_url=simulator.base_url,
        **{stored: VARIABLE if stored == "api_key_env" else NEW_KEY},
    )
    before = [dict(entry.data), dict(other.data)]
    result = await flows.submit(form, **typed(step, simulator.base_url, f" {NEW_KEY} "))
    assert_aborted(result, "already_configured")
    assert flows.hass.config_entries.async_entries(DOMAIN) == [entry, other]
    assert [entry.data, other.data] == before
    assert sent_keys(simulator) == []


@pytest.mark.usefixtures("regions")
@pytest.mark.parametrize(
    "base_url",
    [
        "cn-beijing",
        f"{BEIJING}/",
        f"{BEIJING}/quotas",
        "https://dashscope.aliyuncs.com/api/v2",
        "https://DashScope.Aliyuncs.com:443/api/v1",
    ],
)
async def test_duplicate_by_another_name(
    hass: HomeAssistant, flows: Flows, simulator: Simulator, base_url: str
) -> None:
    known(hass, api_key=API_KEY, base_url=BEIJING)
    result = await flows.submit(await flows.begin(), api_key=API_KEY, base_url=base_url)
    assert_aborted(result, "already_configured")
    assert sent_keys(simulator) == []


@pytest.mark.usefixtures("regions")
async def test_reconfigure_onto_the_host_of_a_duplicate(
    hass: HomeAssistant, flows: Flows, simulator: Simulator, entry: MockConfigEntry
) -> None:
    known(hass, api_key=API_KEY, base_url=BEIJING)
    result = await flows.submit(await flows.reconfigure(entry), base_url="cn-beijing")
    assert_aborted(result, "already_configured")
    assert entry.data == {"api_key": API_KEY, "base_url": simulator.base_url}
    assert sent_keys(simulator) == []


@pytest.mark.parametrize(
    ("step", "errors"),
    [
        ("api_key", {"base": "invalid_auth"}),
        ("reconfigure", {"api_key": "environment_variable_missing"}),
    ],
)
async def test_no_key_is_no_duplicate_of_a_vanished_variable(
    hass: HomeAssistant,
    flows: Flows,
    simulator: Simulator,
    step: str,
    errors: dict[str, str],
) -> None:
    known(hass, api_key_env=FIRST_VARIABLE, base_url=simulator.base_url)
    entry = known(hass, api_key_env=VARIABLE, base_url=simulator.base_url)
    form = await flows.open(step, entry)
    form = await flows.submit(form, **typed(step, simulator.base_url, " "))
    assert form["type"] is FlowResultType.FORM
    assert form["errors"] == errors
    assert sent_keys(simulator) == []


@pytest.mark.parametrize("forms", [1, 2], ids=["one form twice", "two flows"])
async def test_one_key_sent_twice_at_once(
    hass: HomeAssistant, flows: Flows, simulator: Simulator, forms: int
) -> None:
    opened = [await flows.begin() for _ in range(forms)]
    results = await asyncio.gather(
        *(
            flows.submit(form, api_key=API_KEY, base_url=simulator.base_url)
            for form in (opened[0], opened[-1])
        ),
        return_exceptions=True,
    )
    (entry,) = hass.config_entries.async_entries(DOMAIN)
    assert_works(entry)
    # Home Assistant itself knows no more of a flow that has ended.
    for result in results:
        if isinstance(result, BaseException):
            assert isinstance(result, UnknownFlow)
        elif result["type"] is not FlowResultType.CREATE_ENTRY:
            assert_aborted(result, "already_configured")


async def test_one_new_key_for_two_accounts_at_once(
    hass: HomeAssistant, flows: Flows, simulator: Simulator, entry: MockConfigEntry
) -> None:
    simulator.api_keys = {*KEYS, "sk-third"}
    other = known(hass, api_key="sk-third", base_url=simulator.base_url)
    forms = [await flows.reauth(entry), await flows.reauth(other)]
    results = await asyncio.gather(
        *(flows.submit(form, api_key=NEW_KEY) for form in forms)
    )
    assert {result["reason"] for result in results} == {
        "reauth_successful",
        "already_configured",
    }
    assert entry.data != other.data


@pytest.mark.usefixtures("regions")
async def test_same_key_at_another_host(
    hass: HomeAssistant, flows: Flows, account: MockConfigEntry
) -> None:
    result = await flows.submit(
        await flows.begin(), api_key=API_KEY, base_url="cn-beijing"
    )
    assert created(result) == {"api_key": API_KEY, "base_url": BEIJING}
    assert hass.config_entries.async_entries(DOMAIN) == [account, result["result"]]


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
    result = await flows.submit(
        await flows.begin(), api_key=NEW_KEY, base_url=simulator.base_url
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

    # Each has a key of its own, and failures of its own.
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
    # The form has no field for it.
    assert "another region is set with **Reconfigure**" in await flows.description(form)
    sent_keys(simulator)

    form = await flows.submit(form, api_key="sk-wrong")
    assert form["errors"] == {"base": "invalid_auth"}
    result = await flows.submit(form, api_key=f" {NEW_KEY} ")
    assert_aborted(result, "reauth_successful")
    assert account.data == {"api_key": NEW_KEY, "base_url": simulator.base_url}
    # What is wrong, what is right, and the reload.
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
    assert entry.runtime_data.status == "auth"
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
    ("base_url", "shown"),
    [*((url, region) for region, url in REGIONS.items()), (f"{BEIJING}/x",) * 2],
    ids=[*REGIONS, "a URL"],
)
async def test_reconfigure_shows_what_is_set(
    hass: HomeAssistant, flows: Flows, base_url: str, shown: str
) -> None:
    entry = known(hass, api_key=API_KEY, base_url=base_url)
    form = await flows.reconfigure(entry)
    assert_held(form, "reconfigure", shown)
    assert {field: type(marker) for field, (marker, _) in fields(form).items()} == {
        "api_key": vol.Optional,
        "base_url": vol.Required,
    }


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
    result = await flows.submit(form, base_url=region or simulator.base_url, **key)
    assert_aborted(result, "reconfigure_successful")
    base_url = BEIJING if region else simulator.base_url
    is_new = NEW_KEY in key.values()
    assert entry.data == {"base_url": base_url, **(key if is_new else stored)}
    assert_works(entry)
    # Once by the flow, and once by the reload.
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
    """Unless somebody gave it another."""
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
    # Also where a step comes next that could not ask for a key.
    for base_url in (simulator.base_url, "workspace"):
        form = await flows.submit(form, base_url=base_url)
        assert_held(form, "reconfigure", base_url)
        assert form["errors"] == {"api_key": "environment_variable_missing"}
        assert placeholder(form, "variable") == VARIABLE
        assert sent_keys(simulator) == []

    simulator.fail(Fault.ARREARAGE)
    form = await flows.submit(form, api_key=API_KEY, base_url=simulator.base_url)
    assert form["errors"] == {"base": "arrearage"}
    form = await flows.submit(form, base_url=simulator.base_url)
    assert form["errors"] == {"api_key": "environment_variable_missing"}
    assert placeholder(form, "error") == ""
    simulator.recover()

    result = await flows.submit(form, api_key=API_KEY, base_url=simulator.base_url)
    assert_aborted(result, "reconfigure_successful")
    assert entry.data == {"api_key": API_KEY, "base_url": simulator.base_url}
    assert_works(entry)
    # With it, what was asked for when the account was set up has been given.
    flows.assert_nothing_asked()
