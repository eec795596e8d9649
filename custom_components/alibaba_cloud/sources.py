"""The sources of an account's figures: how often each is read, and what its errors mean."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from enum import StrEnum
from typing import Any, override

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.debounce import Debouncer
from homeassistant.helpers.update_coordinator import (
    REQUEST_REFRESH_DEFAULT_COOLDOWN,
    REQUEST_REFRESH_DEFAULT_IMMEDIATE,
    DataUpdateCoordinator,
)
from homeassistant.util import dt as dt_util

from .clients import Clients, read_token_plan
from .const import LOGGER
from .failures import Backoff, PollFailed, Status, poll_failure
from .ledger import billing_day
from .model_studio import (
    AuthenticationError,
    BudgetExhaustedError,
    Dimension,
    ModelStudioError,
)


class Source(StrEnum):
    """A service that reports part of an account's figures."""

    QUOTAS = "quotas"
    PRICES = "prices"
    SPEND = "spend"
    BALANCE = "balance"
    RATES = "rates"
    TOTALS = "totals"
    HISTORY = "history"
    WORKSPACES = "workspaces"
    API_KEYS = "api_keys"
    ASSETS = "assets"
    TOKEN_PLAN = "token_plan"  # noqa: S105 - a name


@dataclass(frozen=True, kw_only=True)
class SourceDescription:
    """How a source is read."""

    interval: timedelta
    """Time between polls. Bills lag by minutes to hours, so they are read seldom."""
    permission: str | None = None
    """The RAM action or policy that the AccessKey needs. None for the API key."""
    checks_access_key: bool = False
    """Whether a rejection means that the AccessKey is invalid.

    Some Prometheus instances want a token instead.
    """
    retry_interval: timedelta | None = None
    """Time until the next poll after an error, if it is not `interval`."""


BILLING_PERMISSION = "modelstudio:GetBillingTrend"
"""The single action. The vendor's read-only policy would also list API keys with values."""
BALANCE_PERMISSION = "AliyunBSSReadOnlyAccess"
PROMETHEUS_PERMISSION = "AliyunPrometheusMetricReadAccess"

_BILL = SourceDescription(
    interval=timedelta(minutes=15),
    permission=BILLING_PERMISSION,
    checks_access_key=True,
)
"""A bill of this month, by any dimension."""

SOURCES: Mapping[Source, SourceDescription] = {
    Source.QUOTAS: SourceDescription(interval=timedelta(seconds=30)),
    Source.PRICES: SourceDescription(
        interval=timedelta(days=1), retry_interval=timedelta(hours=1)
    ),
    Source.SPEND: _BILL,
    Source.BALANCE: SourceDescription(
        interval=timedelta(minutes=15),
        permission=BALANCE_PERMISSION,
        checks_access_key=True,
    ),
    Source.RATES: SourceDescription(
        interval=timedelta(minutes=1), permission=PROMETHEUS_PERMISSION
    ),
    Source.TOTALS: SourceDescription(
        interval=timedelta(minutes=15), permission=PROMETHEUS_PERMISSION
    ),
    Source.HISTORY: SourceDescription(
        interval=timedelta(days=1),
        permission=BILLING_PERMISSION,
        checks_access_key=True,
        retry_interval=timedelta(hours=1),
    ),
    Source.WORKSPACES: _BILL,
    Source.API_KEYS: _BILL,
    Source.ASSETS: SourceDescription(
        interval=timedelta(hours=6),
        permission=BALANCE_PERMISSION,
        checks_access_key=True,
        retry_interval=timedelta(hours=1),
    ),
    Source.TOKEN_PLAN: SourceDescription(
        interval=timedelta(hours=6),
        permission="modelstudio:GetSubscriptionStats",
        checks_access_key=True,
        retry_interval=timedelta(hours=1),
    ),
}

GROUP_SOURCES: Mapping[Dimension, Source] = {
    Dimension.WORKSPACE: Source.WORKSPACES,
    Dimension.API_KEY: Source.API_KEYS,
}
"""The source of the spend of groups. It is read only if such a group is followed."""
TRIED = (Source.SPEND, Source.BALANCE, Source.RATES)
"""The sources that show whether an AccessKey works."""


class SourceCoordinator[ReportT](DataUpdateCoordinator[ReportT | None]):
    """Polls one source. `data` is its last report, None before the first."""

    config_entry: ConfigEntry

    def __init__(
        self,
        hass: HomeAssistant,
        entry: ConfigEntry,
        source: Source,
        read: Callable[[], Awaitable[ReportT]],
    ) -> None:
        """Prepare to poll a source with `read`, which raises `ModelStudioError`."""
        self.source = source
        self.description = SOURCES[source]
        super().__init__(
            hass,
            LOGGER,
            config_entry=entry,
            name=entry.title if source is Source.QUOTAS else f"{entry.title} {source}",
            update_interval=self.description.interval,
            request_refresh_debouncer=_debouncer(hass),
        )
        self._read = read
        self._backoff = Backoff()
        self.failing_since: datetime | None = None
        """When the current series of failed polls began. None after a success."""
        self.polls = 0
        """The number of polls so far."""

    @property
    def report(self) -> ReportT | None:
        """The last report, None while the source can't be read."""
        return self.data if self.last_update_success else None

    @property
    def error(self) -> BaseException | None:
        """The error of the last poll, None if it succeeded."""
        if self.last_update_success or self.last_exception is None:
            return None
        return self.last_exception.__cause__ or self.last_exception

    @property
    def status(self) -> Status:
        """The result of the last poll."""
        if self.last_update_success:
            return Status.OK
        if isinstance(self.last_exception, PollFailed):
            return self.last_exception.status
        return Status.ERROR

    @property
    def is_budget_exhausted(self) -> bool:
        """Whether the last poll failed because the console's budget is used up."""
        return isinstance(self.error, BudgetExhaustedError)

    @property
    def rejects_access_key(self) -> bool:
        """Whether the last poll failed because the AccessKey is invalid."""
        return self.description.checks_access_key and isinstance(
            self.error, AuthenticationError
        )

    @override
    async def _async_update_data(self) -> ReportT:
        """Read the source. Return the last report if the new one equals it.

        Raises `PollFailed` for every error of the client.
        """
        try:
            report = await self._read()
        except ModelStudioError as err:
            raise poll_failure(
                err,
                interval=self.description.interval,
                retry_interval=self.description.retry_interval,
                permission=self.description.permission,
                backoff=self._backoff,
            ) from err
        self._backoff.reset()
        if self.data is not None and report == self.data:
            # Reports are large, and comparing an object with itself is fast.
            return self.data
        return report

    @callback
    @override
    def _async_refresh_finished(self) -> None:
        """Record how long the source has failed, and notify of each failed poll.

        The base class notifies of the first failed poll only, but the next one can fail
        with another error.
        """
        self.polls += 1
        if self.last_update_success:
            self.failing_since = None
        elif self.failing_since is None:
            self.failing_since = dt_util.utcnow()
        else:
            self.async_update_listeners()


def _debouncer(hass: HomeAssistant) -> Debouncer[Coroutine[Any, Any, None]]:
    """Return Home Assistant's default debouncer, but with its polls in the background.

    A requested poll must not delay Home Assistant's start or stop.
    """
    return Debouncer(
        hass,
        LOGGER,
        cooldown=REQUEST_REFRESH_DEFAULT_COOLDOWN,
        immediate=REQUEST_REFRESH_DEFAULT_IMMEDIATE,
        background=True,
    )


def billing_today() -> date:
    """Return the current day in the billing time zone."""
    return billing_day(dt_util.utcnow())


def access_key_reads(
    clients: Clients,
) -> dict[Source, Callable[[], Awaitable[object]]]:
    """Return a function for each source of an AccessKey that can be read by itself."""
    reads: dict[Source, Callable[[], Awaitable[object]]] = {
        Source.SPEND: lambda: clients.billing.get_month(billing_today()),
        Source.BALANCE: clients.balance.get_balance,
        Source.ASSETS: clients.assets.get_assets,
    }
    if (plan := clients.token_plan) is not None:
        reads[Source.TOKEN_PLAN] = lambda: read_token_plan(plan)
    if (telemetry := clients.telemetry) is not None:
        reads[Source.RATES] = lambda: telemetry.get_rates(dt_util.utcnow())
    return reads


async def async_read_first(sources: Iterable[SourceCoordinator[Any]]) -> None:
    """Read the sources of an AccessKey for the first time.

    The assets come after the balance, because reading it finds the site of the account.
    The history comes last, because it takes one request for each month.
    """
    later = (Source.ASSETS, Source.HISTORY)
    by_source = {source.source: source for source in sources}
    await asyncio.gather(
        *(source.async_refresh() for s, source in by_source.items() if s not in later)
    )
    for each in later:
        if source := by_source.get(each):
            await source.async_refresh()


async def async_try_clients(
    clients: Clients,
) -> dict[Source, object | ModelStudioError]:
    """Read each of `TRIED` once. Return its report, or the error if it can't be read.

    Raises every error that is not a `ModelStudioError`.
    """
    reads = {s: read for s, read in access_key_reads(clients).items() if s in TRIED}

    async def attempt(
        read: Callable[[], Awaitable[object]],
    ) -> object | ModelStudioError:
        try:
            return await read()
        except ModelStudioError as err:
            return err

    results = await asyncio.gather(*map(attempt, reads.values()))
    return dict(zip(reads, results, strict=True))


def permissions(sources: Iterable[Source]) -> str:
    """Return the RAM actions and policies that these sources need, as a list in text."""
    needed = (SOURCES[source].permission for source in sources)
    return ", ".join(filter(None, needed))
