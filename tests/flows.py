"""Helpers for the tests of the flows: a simulated frontend, and hosts with TLS."""

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
import socket
import ssl
from typing import Any, Final, override

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.test_utils import RawTestServer
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol

from custom_components.alibaba_cloud.clients import async_get_session
from custom_components.alibaba_cloud.const import DOMAIN
from custom_components.alibaba_cloud.model_studio import hosts
from homeassistant.config_entries import (
    SOURCE_REAUTH,
    SOURCE_USER,
    ConfigEntriesFlowManager,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlowResult,
)
from homeassistant.core import HomeAssistant, async_get_hass
from homeassistant.data_entry_flow import FlowResultType, section
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.data_entry_flow import _BaseFlowManagerView
from homeassistant.helpers.translation import async_get_translations

from .common import API_KEY, register, state
from .simulator import DEFAULT_ACCESS_KEY_SECRET, Simulator

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


def tls(tmp_path: Path, hosts: Iterable[str]) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS contexts of a server for all hosts and of its client."""
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
    """Resolves all hosts to one port of the loopback address."""

    def __init__(self, port: int) -> None:
        """Store the port."""
        self._port = port

    @override
    async def resolve(
        self,
        host: str,
        port: int = 0,
        family: socket.AddressFamily = socket.AF_INET,
    ) -> list[ResolveResult]:
        """Return the loopback address."""
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
        """Do nothing, as nothing is open."""


@asynccontextmanager
async def answering_at(
    hass: HomeAssistant,
    simulator: Simulator,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> AsyncIterator[None]:
    """Let the simulator answer at all hosts over TLS.

    All requests of Home Assistant's HTTP session stay on this machine.
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


class Flows:
    """Goes through flows like the frontend, and checks all texts of each step."""

    def __init__(self, hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch) -> None:
        """Initialize without any input."""
        self.hass = hass
        self.monkeypatch = monkeypatch
        self._manager = hass.config_entries.flow
        self._typed: list[Any] = []

    async def begin(
        self, environment: Mapping[str, str] | None = None
    ) -> ConfigFlowResult:
        """Start a flow that sets up an account, with these environment variables."""
        for name, value in (environment or {}).items():
            self.monkeypatch.setenv(name, value)
        result = await self._manager.async_init(DOMAIN, context={"source": SOURCE_USER})
        return await self._checked(result)

    async def choose(self, menu: ConfigFlowResult, option: str) -> ConfigFlowResult:
        """Choose from a menu, and wait until Home Assistant is idle."""
        assert menu["type"] is FlowResultType.MENU
        result = await self._manager.async_configure(
            menu["flow_id"], {"next_step_id": option}
        )
        await self.hass.async_block_till_done(wait_background_tasks=True)
        return await self._checked(result)

    async def submit(
        self, form: ConfigFlowResult, **user_input: Any
    ) -> ConfigFlowResult:
        """Submit a form, and wait until Home Assistant is idle."""
        assert form["type"] is FlowResultType.FORM
        self._typed += user_input.values()
        result = await self._manager.async_configure(form["flow_id"], user_input)
        await self.hass.async_block_till_done(wait_background_tasks=True)
        return await self._checked(result)

    async def submit_url(
        self, form: ConfigFlowResult, url: str, **user_input: Any
    ) -> ConfigFlowResult:
        """Select "url" as the region in a form, and then submit the URL."""
        form = await self.submit(form, base_url="url", **user_input)
        assert form["step_id"] == "url"
        assert not form["errors"]
        return await self.submit(form, url=url)

    async def environment(self, environment: Mapping[str, str]) -> ConfigFlowResult:
        """Return the form `environment`, with these environment variables."""
        return await self.choose(await self.begin(environment), "environment")

    async def reauth(self, entry: MockConfigEntry) -> ConfigFlowResult:
        """Return the form that asks for a new key of an account."""
        return await self._checked(await entry.start_reauth_flow(self.hass))

    async def reconfigure(self, entry: MockConfigEntry) -> ConfigFlowResult:
        """Return the form that changes the key or region of an account."""
        return await self.choose(await self.change(entry), "api_key")

    async def change(self, entry: MockConfigEntry) -> ConfigFlowResult:
        """Return the menu that reconfigures an account."""
        menu = await self._checked(await entry.start_reconfigure_flow(self.hass))
        assert menu["type"] is FlowResultType.MENU
        assert menu["step_id"] == "reconfigure"
        assert menu["menu_options"] == ["api_key", "access_key"]
        assert placeholder(menu, "account") == entry.title
        return menu

    async def error(self, form: ConfigFlowResult) -> str:
        """Return the error text of a form."""
        assert form["errors"]
        return await self.text(form, f"error.{next(iter(form['errors'].values()))}")

    async def description(self, form: ConfigFlowResult) -> str:
        """Return the description of a form."""
        return await self.text(form, f"step.{form['step_id']}.description")

    async def text(self, form: ConfigFlowResult, key: str) -> str:
        """Return a text of a form with its placeholders filled in."""
        texts = await async_get_translations(self.hass, "en", "config", [DOMAIN])
        text = texts[f"component.{DOMAIN}.config.{key}"]
        return text.format_map(form["description_placeholders"] or {})

    async def asked(self, entry: ConfigEntry) -> ConfigFlowResult:
        """Return the reauth form that is in progress for this account only."""
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
        """Check that no flow is in progress."""
        assert self._manager.async_progress() == []
        assert ir.async_get(self.hass).issues == {}

    def json(self, result: ConfigFlowResult) -> dict[str, Any]:
        """Return a result as the frontend receives it."""
        view: _BaseFlowManagerView[ConfigEntriesFlowManager, ConfigFlowResult]
        view = _BaseFlowManagerView(self._manager)
        return view._prepare_result_json(result)

    async def _checked(self, result: ConfigFlowResult) -> ConfigFlowResult:
        """Return the result of a step after checking its texts and secrets.

        All texts must exist. Only a password field may contain a secret, which must be
        one that was entered.
        """
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
                for option in options:
                    keys.append(f"{step}.menu_options.{option}")
                    keys.append(f"{step}.menu_option_descriptions.{option}")
            case _:
                step = f"step.{result['step_id']}"
                keys = [f"{step}.title", f"{step}.description"]
                keys += texts_of(step, fields(result))
                errors = result["errors"] or {}
                keys += [f"error.{error}" for error in errors.values()]
                for field in ("api_key", "access_key_secret"):
                    if field in fields(result) and (kept := held(result, field)):
                        assert kept in self._typed
        shown = {**self.json(result), "data_schema": None}
        assert not any(secret in str(shown) for secret in SECRETS)
        domain = result.get("translation_domain") or DOMAIN
        texts = await async_get_translations(self.hass, "en", "config", [domain])
        placeholders = result.get("description_placeholders") or {}
        for key in keys:
            # Raises if the text or one of its placeholders is missing.
            texts[f"component.{domain}.config.{key}"].format_map(placeholders)
        return result


def fields(form: ConfigFlowResult) -> dict[str, tuple[vol.Marker, Any]]:
    """Return the fields of a form, each with its marker and selector."""
    assert form["data_schema"] is not None
    return fields_of(form["data_schema"])


def fields_of(schema: vol.Schema) -> dict[str, tuple[vol.Marker, Any]]:
    """Return the fields of a schema, each with its marker and selector."""
    return {str(field): (field, it) for field, it in schema.schema.items()}


def texts_of(step: str, shown: Mapping[str, tuple[vol.Marker, Any]]) -> list[str]:
    """Return the keys of all texts that fields need, including sections."""
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
    """Return the initial value of a field."""
    marker, _ = fields(form)[field]
    assert isinstance(marker, vol.Required | vol.Optional)
    if marker.description:
        return marker.description["suggested_value"]
    return None if isinstance(marker.default, vol.Undefined) else marker.default()


def all_held(form: ConfigFlowResult) -> dict[str, Any]:
    """Return the initial values of the fields of a form."""
    return {field: held(form, field) for field in fields(form)}


def placeholder(form: ConfigFlowResult, name: str) -> str:
    """Return the value of a placeholder of a form."""
    placeholders = form["description_placeholders"]
    assert placeholders is not None
    return placeholders[name]


def assert_aborted(result: ConfigFlowResult, reason: str) -> None:
    """Check that a flow was aborted for this reason."""
    assert result["type"] is FlowResultType.ABORT
    assert result["reason"] == reason


def created(result: ConfigFlowResult) -> dict[str, Any]:
    """Return the data of the entry that a flow created, after checking the account."""
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert_works(result["result"])
    return dict(result["data"])


def assert_works(entry: ConfigEntry) -> None:
    """Check that an account is loaded and its status is ok."""
    assert entry.state is ConfigEntryState.LOADED
    assert state(async_get_hass(), "status", account=entry.entry_id) == "ok"
    assert entry.options == {}


def sent_keys(simulator: Simulator) -> list[str]:
    """Return the keys that the service received, and clear the log of requests."""
    keys = [
        request.headers["authorization"].removeprefix("Bearer ")
        for request in simulator.requests
    ]
    simulator.requests.clear()
    return keys


def known(hass: HomeAssistant, **data: str) -> MockConfigEntry:
    """Return an account with this data that is not set up."""
    entry = MockConfigEntry(domain=DOMAIN, title="Model Studio", data=data)
    entry.add_to_hass(hass)
    register(hass, entry)
    return entry


def leaks(
    hass: HomeAssistant,
    caplog: pytest.LogCaptureFixture,
    secrets: Iterable[str] = SECRETS,
) -> list[str]:
    """Return the log lines, states, issues and names that contain a secret."""
    texts = [
        caplog.handler.format(record)
        for when in ("setup", "call")
        for record in caplog.get_records(when)
    ]
    texts += [repr(current.as_dict()) for current in hass.states.async_all()]
    texts += [entry.title for entry in hass.config_entries.async_entries()]
    texts += [repr(flow) for flow in hass.config_entries.flow.async_progress()]
    texts += [repr(issue) for issue in ir.async_get(hass).issues.values()]
    return [line for line in texts if any(secret in line for secret in secrets)]


def serve_regions(monkeypatch: pytest.MonkeyPatch, simulator: Simulator) -> None:
    """Let the simulator answer for all regions."""
    for region in REGIONS:
        monkeypatch.setitem(hosts.REGIONS, region, simulator.base_url)
