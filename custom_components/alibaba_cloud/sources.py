"""The optional sources: money and usage, read with an AccessKey.

Each is polled at its own pace and fails by itself.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, override

from aiohttp import ClientSession, DummyCookieJar

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import CONF_REGION, EVENT_HOMEASSISTANT_CLOSE
from homeassistant.core import Event, HomeAssistant, callback
from homeassistant.helpers.aiohttp_client import async_create_clientsession
from homeassistant.helpers.debounce import Debouncer
from homeassistant.helpers.update_coordinator import (
    REQUEST_REFRESH_DEFAULT_COOLDOWN,
    REQUEST_REFRESH_DEFAULT_IMMEDIATE,
    DataUpdateCoordinator,
)
from homeassistant.util import dt as dt_util
from homeassistant.util.hass_dict import HassKey

from .const import (
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_BALANCE_ENDPOINT,
    CONF_BILLING_ENDPOINT,
    CONF_PROMETHEUS_URL,
    DOMAIN,
    LOGGER,
)
from .failures import (
    FAILURES,
    REJECTED_KEY_INTERVAL,
    Backoff,
    PollFailed,
    Status,
    poll_error,
)
from .ledger import billing_day
from .model_studio import (
    BILLING_ENDPOINT,
    DEFAULT_REGION,
    AccessKey,
    AuthenticationError,
    BalanceClient,
    BillingClient,
    ModelStudioError,
    RateLimitError,
    TelemetryClient,
    balance_endpoints,
)

DATA_SESSION: HassKey[ClientSession] = HassKey(f"{DOMAIN}_session")
DATA_BALANCE_ENDPOINTS: HassKey[dict[tuple[str, tuple[str, ...]], list[str]]] = HassKey(
    f"{DOMAIN}_balance_endpoints"
)
"""Where an AccessKey's balance may be asked for, of the endpoints there are.

The service blocks accounts that keep asking at the wrong site, so reloads keep this.
"""
INVALID_ACCESS_KEY = "invalid_access_key"


class Source(StrEnum):
    """Whatever brings part of an account's figures."""

    QUOTAS = "quotas"
    SPEND = "spend"
    BALANCE = "balance"
    RATES = "rates"
    TOTALS = "totals"
    HISTORY = "history"


SIGNED = (Source.SPEND, Source.BALANCE, Source.HISTORY)
"""What tells whether an AccessKey is good: some Prometheus instances want a token."""

INTERVALS: Mapping[Source, timedelta] = {
    Source.SPEND: timedelta(minutes=15),
    Source.BALANCE: timedelta(minutes=15),
    Source.RATES: timedelta(minutes=1),
    Source.TOTALS: timedelta(minutes=15),
    Source.HISTORY: timedelta(days=1),
}
"""How often each is read; bills lag by minutes to hours."""
HISTORY_RETRY_INTERVAL = timedelta(hours=1)

PERMISSIONS: Mapping[Source, str] = {
    Source.SPEND: "modelstudio:GetBillingTrend",
    Source.BALANCE: "AliyunBSSReadOnlyAccess",
    Source.RATES: "AliyunPrometheusMetricReadAccess",
    Source.TOTALS: "AliyunPrometheusMetricReadAccess",
    Source.HISTORY: "modelstudio:GetBillingTrend",
}
"""The RAM action or policy that lets each be read.

The vendor's read-only policy for Model Studio would also list API keys with their values.
"""


@dataclass(frozen=True, kw_only=True)
class Clients:
    """What reads with an AccessKey."""

    billing: BillingClient
    balance: BalanceClient
    telemetry: TelemetryClient | None
    """None where no Prometheus is named."""


@callback
def async_get_session(hass: HomeAssistant) -> ClientSession:
    """Return the HTTP session of all accounts, which neither sends nor keeps cookies.

    It lasts as long as Home Assistant runs, as flows need it too.
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


def clients_of(hass: HomeAssistant, data: Mapping[str, Any]) -> Clients | None:
    """Return the clients of an entry, None without an AccessKey."""
    if not data.get(CONF_ACCESS_KEY_ID):
        return None
    session = async_get_session(hass)
    access_key = AccessKey(
        id=data[CONF_ACCESS_KEY_ID], secret=data[CONF_ACCESS_KEY_SECRET]
    )
    region = data.get(CONF_REGION, DEFAULT_REGION)
    endpoint = data.get(CONF_BALANCE_ENDPOINT)
    endpoints = (endpoint,) if endpoint else balance_endpoints(region)
    url = data.get(CONF_PROMETHEUS_URL)
    return Clients(
        billing=BillingClient(
            session,
            endpoint=data.get(CONF_BILLING_ENDPOINT)
            or BILLING_ENDPOINT.format(region=region),
            access_key=access_key,
        ),
        balance=BalanceClient(
            session,
            endpoints=hass.data.setdefault(DATA_BALANCE_ENDPOINTS, {}).setdefault(
                (access_key.id, endpoints), list(endpoints)
            ),
            access_key=access_key,
        ),
        telemetry=TelemetryClient(session, url=url, access_key=access_key)
        if url
        else None,
    )


def billing_today() -> date:
    """Return the present day of the billing time zone."""
    return billing_day(dt_util.utcnow())


async def async_try_clients(
    clients: Clients,
) -> dict[Source, object | ModelStudioError]:
    """Read each source once; return what it reported, or what went wrong.

    Raises whatever is no `ModelStudioError`.
    """
    reads: dict[Source, Awaitable[object]] = {
        Source.SPEND: clients.billing.get_month(billing_today()),
        Source.BALANCE: clients.balance.get_balance(),
    }
    if clients.telemetry:
        reads[Source.RATES] = clients.telemetry.get_rates(dt_util.utcnow())

    async def attempt(read: Awaitable[object]) -> object | ModelStudioError:
        try:
            return await read
        except ModelStudioError as err:
            return err

    results = await asyncio.gather(*map(attempt, reads.values()))
    return dict(zip(reads, results, strict=True))


def permissions(sources: Mapping[Source, object]) -> str:
    """Return the RAM actions and policies that let these be read."""
    return ", ".join(dict.fromkeys(PERMISSIONS[source] for source in sources))


def refresh_debouncer(hass: HomeAssistant) -> Debouncer[Coroutine[Any, Any, None]]:
    """Return Home Assistant's own debouncer, but with its polls in the background.

    A poll that somebody asked for must not hold up Home Assistant's start or stop.
    """
    return Debouncer(
        hass,
        LOGGER,
        cooldown=REQUEST_REFRESH_DEFAULT_COOLDOWN,
        immediate=REQUEST_REFRESH_DEFAULT_IMMEDIATE,
        background=True,
    )


class SourceCoordinator[ReportT](DataUpdateCoordinator[ReportT | None]):
    """One optional source: what it reported last, and how the last poll ended."""

    config_entry: ConfigEntry

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        source: Source,
        read: Callable[[], Awaitable[ReportT]],
        *,
        on_rejected: Callable[[], None],
        on_polled: Callable[[], Awaitable[None]],
    ) -> None:
        """Prepare to read.

        `on_rejected` hears of an AccessKey that is not accepted; for `on_polled`, the
        poll waits.
        """
        super().__init__(
            hass,
            LOGGER,
            config_entry=entry,
            name=f"{entry.title} {source}",
            update_interval=INTERVALS[source],
            request_refresh_debouncer=refresh_debouncer(hass),
        )
        self.source = source
        self._read = read
        self._on_rejected = on_rejected
        self._on_polled = on_polled
        self._backoff = Backoff()
        self.failing_since: datetime | None = None

    @property
    def rejected(self) -> bool:
        """Whether the service says that the AccessKey is not good."""
        return self.source in SIGNED and isinstance(self.error, AuthenticationError)

    @property
    def report(self) -> ReportT | None:
        """What the source says now."""
        return self.data if self.last_update_success else None

    @property
    def error(self) -> BaseException | None:
        """What the last poll failed with, None if it did not."""
        if self.last_update_success or self.last_exception is None:
            return None
        return self.last_exception.__cause__ or self.last_exception

    @override
    async def _async_refresh(self, *args: Any, **kwargs: Any) -> None:
        """Poll, and wait for what follows from it."""
        await super()._async_refresh(*args, **kwargs)
        await self._on_polled()

    @override
    async def _async_update_data(self) -> ReportT:
        """Read the source. Raises `PollFailed` for every error of the clients'."""
        try:
            report = await self._read()
        except ModelStudioError as err:
            raise self._failed(err) from err
        self._backoff.reset()
        return report

    def _failed(self, err: ModelStudioError) -> PollFailed:
        """Return what an error means, and when to poll next."""
        status = FAILURES[type(err)][0]
        translation_key, placeholders = poll_error(err)
        retry_after = None
        if isinstance(err, RateLimitError):
            retry_after = self._backoff.wait(err.retry_after)
        elif self.source is Source.HISTORY:
            retry_after = HISTORY_RETRY_INTERVAL
        if status is Status.AUTH:
            translation_key = INVALID_ACCESS_KEY
            retry_after = max(
                retry_after or INTERVALS[self.source], REJECTED_KEY_INTERVAL
            )
            if self.source in SIGNED and not self._shutdown_requested:
                self._on_rejected()
        return PollFailed(
            status,
            translation_key,
            {**placeholders, "permission": PERMISSIONS[self.source]},
            retry_after,
        )

    @callback
    @override
    def _async_refresh_finished(self) -> None:
        """Note since when it fails, and tell of each failure.

        The base class tells its listeners of the first failure alone.
        """
        if self.last_update_success:
            self.failing_since = None
            return
        self.failing_since = self.failing_since or dt_util.utcnow()
        self.async_update_listeners()
