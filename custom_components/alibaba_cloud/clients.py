"""The HTTP session and the clients that read an account."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
import os
from typing import Any

from aiohttp import ClientSession, DummyCookieJar

from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.const import CONF_API_KEY, CONF_REGION, EVENT_HOMEASSISTANT_CLOSE
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers.aiohttp_client import async_create_clientsession
from homeassistant.util.hass_dict import HassKey

from .const import (
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_API_KEY_ENV,
    CONF_BALANCE_ENDPOINT,
    CONF_BASE_URL,
    CONF_BILLING_ENDPOINT,
    CONF_PROMETHEUS_URL,
    DOMAIN,
    LOGGER,
)
from .failures import MissingVariableError
from .model_studio import (
    BILLING_ENDPOINT,
    CLOUDMONITOR_ENDPOINT,
    DEFAULT_REGION,
    TOKEN_PLAN_REGIONS,
    AccessKey,
    AccountSnapshot,
    AssetsClient,
    BalanceClient,
    BillingClient,
    ConnectionFailedError,
    ConnectionFailure,
    InstancesClient,
    ModelStudioClient,
    ModelStudioError,
    PermissionDeniedError,
    PricesClient,
    TelemetryClient,
    TokenPlan,
    TokenPlanClient,
    WorkspacesClient,
    balance_endpoints,
    http,
)

DATA_SESSION: HassKey[ClientSession] = HassKey(f"{DOMAIN}_session")
DATA_BALANCE_ENDPOINTS: HassKey[dict[tuple[str, tuple[str, ...]], list[str]]] = HassKey(
    f"{DOMAIN}_balance_endpoints"
)
"""The endpoints that may have the balance, by AccessKey ID and configured endpoints.

The service blocks accounts that keep asking at the wrong site, so reloads keep this.
"""
DATA_REFUSED_OPERATIONS: HassKey[dict[str, set[tuple[str, str]]]] = HassKey(
    f"{DOMAIN}_refused_operations"
)
"""The endpoints and operations that are not applicable, by AccessKey ID.

Reloads keep this for the same reason.
"""


@dataclass(frozen=True, kw_only=True)
class Clients:
    """The clients that need an AccessKey."""

    billing: BillingClient
    balance: BalanceClient
    assets: AssetsClient
    token_plan: TokenPlanClient | None
    """None in regions without a Token Plan."""
    workspaces: WorkspacesClient
    telemetry: TelemetryClient | None
    """None without a Prometheus URL."""


@callback
def async_get_session(hass: HomeAssistant) -> ClientSession:
    """Return the HTTP session of all accounts, which neither sends nor keeps cookies.

    It lasts as long as Home Assistant runs, because flows need it too.
    """
    if session := hass.data.get(DATA_SESSION):
        return session
    session = hass.data[DATA_SESSION] = async_create_clientsession(
        hass, auto_cleanup=False, cookie_jar=DummyCookieJar()
    )

    @callback
    def detach(event: Event) -> None:
        session.detach()

    hass.bus.async_listen_once(EVENT_HOMEASSISTANT_CLOSE, detach)
    return session


def api_key_of(data: Mapping[str, Any]) -> str:
    """Return the API key of an entry, empty if its environment variable is not set."""
    if variable := data.get(CONF_API_KEY_ENV):
        return os.environ.get(variable, "").strip()
    return str(data[CONF_API_KEY])


def missing_variable(data: Mapping[str, Any]) -> str | None:
    """Return the environment variable of the API key, if it is not set."""
    return None if api_key_of(data) else data.get(CONF_API_KEY_ENV)


def api_key_client(hass: HomeAssistant, data: Mapping[str, Any]) -> ModelStudioClient:
    """Return the client of an entry's API key."""
    return ModelStudioClient(
        async_get_session(hass),
        base_url=data[CONF_BASE_URL],
        api_key=api_key_of(data),
    )


def prices_client(hass: HomeAssistant, data: Mapping[str, Any]) -> PricesClient:
    """Return the client for the prices at the host of an entry's API key."""
    return PricesClient(
        async_get_session(hass),
        base_url=data[CONF_BASE_URL],
        api_key=api_key_of(data),
    )


async def read_quotas(client: ModelStudioClient, entry: ConfigEntry) -> AccountSnapshot:
    """Read the figures of an entry's API key.

    Setup, and with it Home Assistant's start, waits for one time-out at most, however
    many requests are needed. Raises as `ModelStudioClient.get_account`.
    """
    if variable := missing_variable(entry.data):
        raise MissingVariableError(variable)
    limit = None
    if entry.state is ConfigEntryState.SETUP_IN_PROGRESS:
        # aiohttp may swallow a time-out that ends together with its own.
        limit = 0.9 * http.TIMEOUT
    try:
        async with asyncio.timeout(limit):
            return await client.get_account()
    except TimeoutError:
        raise ConnectionFailedError(ConnectionFailure.TIMED_OUT, client.host) from None


def access_key_clients(hass: HomeAssistant, data: Mapping[str, Any]) -> Clients | None:
    """Return the clients of an entry's AccessKey, None without one."""
    if not data.get(CONF_ACCESS_KEY_ID):
        return None
    session = async_get_session(hass)
    access_key = AccessKey(
        id=data[CONF_ACCESS_KEY_ID], secret=data[CONF_ACCESS_KEY_SECRET]
    )
    region = data.get(CONF_REGION, DEFAULT_REGION)
    endpoint = data.get(CONF_BALANCE_ENDPOINT)
    sites = (endpoint,) if endpoint else balance_endpoints(region)
    endpoints = hass.data.setdefault(DATA_BALANCE_ENDPOINTS, {}).setdefault(
        (access_key.id, sites), list(sites)
    )
    openapi = data.get(CONF_BILLING_ENDPOINT) or BILLING_ENDPOINT.format(region=region)
    url = data.get(CONF_PROMETHEUS_URL)
    return Clients(
        billing=BillingClient(session, endpoint=openapi, access_key=access_key),
        balance=BalanceClient(session, endpoints=endpoints, access_key=access_key),
        assets=AssetsClient(
            session,
            endpoints=endpoints,
            refused=hass.data.setdefault(DATA_REFUSED_OPERATIONS, {}).setdefault(
                access_key.id, set()
            ),
            access_key=access_key,
        ),
        token_plan=TokenPlanClient(session, endpoint=openapi, access_key=access_key)
        if region in TOKEN_PLAN_REGIONS
        else None,
        workspaces=WorkspacesClient(session, endpoint=openapi, access_key=access_key),
        telemetry=TelemetryClient(session, url=url, access_key=access_key)
        if url
        else None,
    )


def instances_client(hass: HomeAssistant, data: Mapping[str, Any]) -> InstancesClient:
    """Return the client that finds the Prometheus of an AccessKey.

    If the user entered an endpoint, the AccessKey is sent to no other one.
    """
    return InstancesClient(
        async_get_session(hass),
        endpoint=data.get(CONF_BILLING_ENDPOINT)
        or CLOUDMONITOR_ENDPOINT.format(region=data[CONF_REGION]),
        access_key=AccessKey(
            id=data[CONF_ACCESS_KEY_ID], secret=data[CONF_ACCESS_KEY_SECRET]
        ),
    )


async def read_token_plan(client: TokenPlanClient) -> TokenPlan:
    """Read the Token Plan. Without the permission for it, the plan is empty.

    Few accounts have a plan, so a missing permission is not reported as an error. Raises
    as `TokenPlanClient.get_plan`.
    """
    try:
        return await client.get_plan()
    except PermissionDeniedError:
        return TokenPlan()


async def read_workspace_names(client: WorkspacesClient) -> Mapping[str, str]:
    """Read the names of workspaces by ID. Empty if they can't be read.

    Names are optional. Without them, IDs are shown.
    """
    try:
        return await client.get_names()
    except ModelStudioError as err:
        LOGGER.debug("The names of workspaces can't be read: %s", err)
        return {}
