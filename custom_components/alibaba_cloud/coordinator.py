"""Polls an account, and says what its failures mean."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, KeysView, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from functools import partial
from itertools import batched
import os
from typing import Any, override

from homeassistant.config_entries import ConfigEntry, ConfigEntryState
from homeassistant.const import CONF_API_KEY
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.event import async_track_utc_time_change
from homeassistant.helpers.update_coordinator import DataUpdateCoordinator
from homeassistant.util import dt as dt_util

from .alerting import Alerts
from .const import (
    CONF_ACCESS_KEY_ID,
    CONF_API_KEY_ENV,
    CONF_BASE_URL,
    CONF_MODELS,
    DOMAIN,
    LOGGER,
)
from .failures import (
    FAILURES,
    REJECTED_KEY_INTERVAL,
    Backoff,
    PollFailed,
    Status,
    describe,
    poll_error,
    setup_error,
)
from .history import Past, async_import_spend
from .ledger import Reports, merge, midnight, outlook, with_windows, without_past
from .model_studio import (
    AccountSnapshot,
    ConnectionFailedError,
    ConnectionFailure,
    ModelStudioClient,
    ModelStudioError,
    ModelUsage,
    Money,
    QuotasKind,
    RateLimitError,
    SpendReport,
    http,
)
from .reauth import Reauth
from .sources import (
    SIGNED,
    Source,
    SourceCoordinator,
    async_get_session,
    billing_today,
    clients_of,
    refresh_debouncer,
)
from .storage import AccountStore

UPDATE_INTERVAL = timedelta(seconds=30)

MIDNIGHT = 16
"""The hour in UTC in which a day begins in the billing time zone."""
_DAY = timedelta(days=1)
_PORTION = 50
"""Listeners that are told at once; each may write a state."""
_REMOVALS = 5
"""Devices that are removed at once; with each go its entities."""

type AlibabaCloudConfigEntry = ConfigEntry[AlibabaCloudCoordinator]


def api_key_of(data: Mapping[str, Any]) -> str:
    """Return the API key of an entry, empty where its environment variable is gone."""
    if variable := data.get(CONF_API_KEY_ENV):
        return os.environ.get(variable, "").strip()
    return str(data[CONF_API_KEY])


class AlibabaCloudCoordinator(DataUpdateCoordinator[AccountSnapshot | None]):
    """One account: its figures, and how the last poll ended.

    `data` holds the last figures that were read, None before the first.
    """

    config_entry: AlibabaCloudConfigEntry
    device_id: str
    """The account's device, which those of its models hang on."""

    def __init__(self, hass: HomeAssistant, entry: AlibabaCloudConfigEntry) -> None:
        """Prepare the client with the entry's key."""
        self._api_key = api_key_of(entry.data)
        self.client = ModelStudioClient(
            async_get_session(hass),
            base_url=entry.data[CONF_BASE_URL],
            api_key=self._api_key,
        )
        self.store = AccountStore(hass, entry.entry_id, entry.data[CONF_BASE_URL])
        super().__init__(
            hass,
            LOGGER,
            config_entry=entry,
            name=entry.title,
            update_interval=UPDATE_INTERVAL,
            request_refresh_debouncer=refresh_debouncer(hass),
            always_update=False,
        )
        self._backoff = Backoff()
        self._reauth = Reauth(hass, entry, CONF_API_KEY)
        self._access_key_reauth = Reauth(hass, entry, CONF_ACCESS_KEY_ID)
        self._notified: tuple[Any, ...] = ()
        self._models: KeysView[str] | None = None
        self._removing: asyncio.Task[None] | None = None
        self._merged: tuple[Any, ...] = ()
        self._merged_by: tuple[Any, ...] = ()
        self._restored = False
        self._past = Past()
        self.read_at: datetime | None = None
        """When the API key's figures were last read, None before this run did."""
        self.alerts = Alerts(self)
        self.account = AccountSnapshot()
        """The figures that stand now, of all sources."""
        self.failing: frozenset[Source] = frozenset()
        """The sources that can't be read now, or have not been yet."""
        self._told = self.account, self.failing
        self._telling: asyncio.Task[None] | None = None
        self.clients = clients_of(hass, entry.data)
        """What reads with the AccessKey, None without one."""
        self.sources: dict[Source, SourceCoordinator[Any]] = self._create_sources()
        """The optional sources that are set up."""

    def _create_sources(self) -> dict[Source, SourceCoordinator[Any]]:
        """Return the sources that the AccessKey opens."""
        if (clients := self.clients) is None:
            return {}
        telemetry = clients.telemetry
        reads: dict[Source, Callable[[], Awaitable[Any]]] = {
            Source.SPEND: self._read_spend,
            Source.BALANCE: clients.balance.get_balance,
        }
        if telemetry:
            reads[Source.RATES] = lambda: telemetry.get_rates(dt_util.utcnow())
            reads[Source.TOTALS] = lambda: telemetry.get_totals(
                self._cycle_start(), dt_util.utcnow()
            )
        if "recorder" in self.hass.config.components:
            reads[Source.HISTORY] = self._import_spend
        return {
            source: SourceCoordinator(
                self.hass,
                self.config_entry,
                source,
                read,
                on_rejected=self._access_key_reauth.ask,
                on_polled=self.alerts.async_judge,
            )
            for source, read in reads.items()
        }

    @property
    def status(self) -> Status:
        """How the last poll ended."""
        if self.last_update_success:
            return Status.OK
        return getattr(self.last_exception, "status", Status.ERROR)

    @property
    def message(self) -> str | None:
        """What went wrong with the last poll."""
        if self.last_update_success or self.last_exception is None:
            return None
        return describe(self.hass, self.last_exception)

    @property
    def error(self) -> BaseException | None:
        """What the last poll failed with, None if it did not."""
        if self.last_update_success or self.last_exception is None:
            return None
        return self.last_exception.__cause__ or self.last_exception

    @property
    def missing_variable(self) -> str | None:
        """The environment variable that should hold the key and does not."""
        if self._api_key:
            return None
        return self.config_entry.data.get(CONF_API_KEY_ENV)

    @property
    def chosen_models(self) -> list[str]:
        """The models that the user chose; none, where nobody chose."""
        chosen: list[str] = self.config_entry.options.get(CONF_MODELS, [])
        return chosen

    @property
    def models(self) -> Collection[str]:
        """The models that are to have a device: the chosen ones that are listed.

        Where nobody chose, all that report usage.
        """
        if self.data is None:
            return set()
        if self.chosen_models:
            return self.data.models.keys() & self.chosen_models
        if self.data.quotas_kind is QuotasKind.LIMITS:
            return set()
        return self.data.models.keys()

    @property
    def _reports_usage(self) -> bool:
        """Whether the API key alone reads money and usage."""
        if self.data is None:
            return self.store.answer is not None
        return self.data.quotas_kind is not QuotasKind.LIMITS

    @property
    def _by_month(self) -> bool:
        """Whether the monthly spend is of a month of the calendar, as the bill's is."""
        month = self.store.periods.monthly
        return month is None or month.start.day == 1

    @property
    def followed(self) -> Collection[str]:
        """The models that are told apart in the bill and in what is used."""
        return self.chosen_models if self.data is None else self.models

    @property
    def failed_sources(self) -> dict[str, Any]:
        """What the optional sources that can't be read fail with; nothing without any."""
        if not self.sources:
            return {}
        return {
            "failed_sources": {
                source: describe(self.hass, s.last_exception)
                for source, s in self.sources.items()
                if not s.last_update_success and s.last_exception
            }
        }

    @property
    def account_read(self) -> AccountSnapshot:
        """The figures that stand now, without those of an earlier run."""
        if self._restored and self.status is Status.LIMITED:
            return AccountSnapshot()
        return self.account

    @property
    def _standing(self) -> AccountSnapshot | None:
        """The API key's last figures; if kept, without those of the past."""
        if self.data is None or self.last_update_success:
            return self.data
        return without_past(
            self.data,
            read=self.read_at or self.store.periods.time,
            now=dt_util.utcnow(),
        )

    @property
    def last_read(self) -> AccountSnapshot | None:
        """The figures of all sources as last read, whether or not they still stand."""
        if self.data is None and not any(s.data for s in self.sources.values()):
            return None
        return self._with_outlook(
            self._merge(
                self._standing, {source: s.data for source, s in self.sources.items()}
            )
        )

    def identifier(self, model: str | None) -> str:
        """Return what identifies the account's device, or that of a model.

        The unique ids of its entities start with it.
        """
        entry_id = self.config_entry.entry_id
        return entry_id if model is None else f"{entry_id}_model_{model}"

    def figures(self, model: str | None) -> AccountSnapshot | ModelUsage | None:
        """Return the account's figures, or those of a model; None without any."""
        return self.account if model is None else self.account.models.get(model)

    async def async_first_refresh(self, *, known: bool) -> None:
        """Poll for the first time, and have the next one come when it is this one's turn.

        Accounts that are set up at once, as at a start, would be polled at once ever after.
        Raises `ConfigEntryAuthFailed` or `ConfigEntryNotReady` if the poll fails and the
        account is not `known`, which is one that was read in an earlier run.
        """
        await self.async_refresh()
        if not (known or self.last_update_success or self.config_entry.disabled_by):
            # Home Assistant asks for another key when a setup fails, and only once.
            self._reauth.withdraw()
            raise setup_error(self.status, self.last_exception)
        accounts = [
            entry.entry_id
            for entry in self.hass.config_entries.async_entries(
                DOMAIN, include_ignore=False
            )
            # This one may have been disabled meanwhile.
            if entry is self.config_entry or not entry.disabled_by
        ]
        place = accounts.index(self.config_entry.entry_id)
        self.update_interval = UPDATE_INTERVAL * (1 - place / len(accounts))

    async def async_start_sources(self) -> None:
        """Read the optional sources, and go on reading each at its own pace.

        The past comes last: it takes a request for every month of it.
        """
        self.config_entry.async_on_unload(
            async_track_utc_time_change(
                self.hass, self._day_begins, hour=MIDNIGHT, minute=0, second=0
            )
        )
        for source in self.sources.values():
            self.config_entry.async_on_unload(
                source.async_add_listener(partial(self._source_told, source))
            )
        await asyncio.gather(
            *(
                source.async_refresh()
                for source in self.sources.values()
                if source.source is not Source.HISTORY
            )
        )
        if history := self.sources.get(Source.HISTORY):
            await history.async_refresh()

    @callback
    def _day_begins(self, _: datetime) -> None:
        """Drop what is over with the day: a service that throttles is not asked soon."""
        self._update_account()
        self.async_update_listeners()

    @callback
    def _source_told(self, source: SourceCoordinator[Any]) -> None:
        """Tell what a source reported, or that it can't be read."""
        if source.source in SIGNED and source.report is not None:
            # The AccessKey is accepted, perhaps by those too that rejected it before.
            rejected = [other for other in self.sources.values() if other.rejected]
            if not rejected:
                self._access_key_reauth.withdraw()
            for other in rejected:
                self.config_entry.async_create_background_task(
                    self.hass, other.async_request_refresh(), other.name
                )
        self._update_account()
        self.async_update_listeners()

    def _cycle_start(self) -> datetime:
        """Return when the billing cycle began: as last reported, else with the month."""
        periods, today = self.store.periods, billing_today()
        if periods.monthly is None or periods.period.start is None:
            return midnight(today.replace(day=1))
        start, last = periods.monthly.start, periods.last_day
        return midnight(last + _DAY if last and last < today else start)

    async def _read_spend(self) -> SpendReport:
        """Read this month's bill, and remember its days."""
        assert self.clients is not None
        report = await self.clients.billing.get_month(billing_today())
        self._remember(report.days)
        return report

    def _remember(self, days: Mapping[date, Money]) -> None:
        """Remember what was billed on some days in the account's currency.

        Where the API key does not tell it, it is that of the last of them.
        """
        if self._shutdown_requested:
            return
        account = self.data or self.store.account
        spend = account.monthly_spend if account else None
        if days:
            self.store.bill(days, (spend or days[max(days)]).currency)

    async def _import_spend(self) -> Mapping[date, Money]:
        """Write the past spend to the statistics, and remember it, and whose it is.

        Returns what was billed on the days that were read.
        """
        assert self.clients is not None
        # Only a complete answer says which models are no longer followed.
        models = self.followed
        if self.data is None:
            models = self.store.history or models
        elif not self.data.models_complete:
            models = {*models, *self.store.history}
        models = sorted(models)
        days = await async_import_spend(
            self.hass,
            self.clients.billing,
            entry_id=self.config_entry.entry_id,
            title=self.config_entry.title,
            models=models,
            imported=self.store.history,
            past=self._past,
        )
        self._remember(days)
        if models != self.store.history:
            self.store.history = models
            await self.store.async_save()
        return days

    @callback
    def _update_account(self) -> None:
        """Take up what the sources say now."""
        kept = self.status in (Status.OK, Status.LIMITED)
        account = self._standing if kept else None
        reports = {source: s.report for source, s in self.sources.items()}
        failing = {source for source, report in reports.items() if report is None}
        if account is None:
            failing.add(Source.QUOTAS)
        if failing != self.failing:
            self.failing = frozenset(failing)
        placed = account and with_windows(account, self.store.periods)
        spends = (placed.daily_spend, placed.monthly_spend) if placed else ()
        said, by = (account, *reports.values()), (billing_today(), spends)
        if (
            by != self._merged_by
            or len(said) != len(self._merged)
            or any(new is not old for new, old in zip(said, self._merged, strict=True))
        ):
            self._merged, self._merged_by = said, by
            self.account = self._with_outlook(self._merge(account, reports))
            self.store.show(self.account)

    def _with_outlook(self, account: AccountSnapshot) -> AccountSnapshot:
        """Return the figures with what the days before say of the days to come.

        As of the hour: within it, nothing but another figure changes the forecast.
        """
        now = dt_util.utcnow().replace(minute=0, second=0, microsecond=0)
        return replace(
            account,
            outlook=outlook(
                account,
                budget=self.alerts.options.monthly_budget,
                daily=self.store.days.totals(now),
                periods=self.store.periods,
                now=now,
            ),
        )

    def _merge(
        self, account: AccountSnapshot | None, reports: Mapping[Source, Any]
    ) -> AccountSnapshot:
        """Return the figures that these reports make up."""
        return merge(
            Reports(
                account=account and with_windows(account, self.store.periods),
                spend=reports.get(Source.SPEND),
                balance=reports.get(Source.BALANCE),
                rates=reports.get(Source.RATES),
                totals=reports.get(Source.TOTALS),
            ),
            followed=self.followed if reports else (),
            reports_usage=self._reports_usage,
            shown=self.store.shown,
            by_month=self._by_month,
            before=self.account,
        )

    @override
    async def _async_refresh(self, *args: Any, **kwargs: Any) -> None:
        """Poll, and tell what is worth an alert.

        The base class tells of nothing but other figures of the API key's: the outlook
        changes with the day, too.
        """
        await super()._async_refresh(*args, **kwargs)
        if self.account is not self._told[0]:
            self.async_update_listeners()
        if self._telling:
            # An alert of a model that has returned is for its device, which comes first.
            await asyncio.wait([self._telling])
        await self.alerts.async_judge()

    @override
    async def _async_update_data(self) -> AccountSnapshot:
        """Read the account.

        Raises `PollFailed` for every error of the client's.
        """
        self.update_interval = UPDATE_INTERVAL
        try:
            snapshot = await self._read()
        except ModelStudioError as err:
            raise self._failed(err) from err
        if self._shutdown_requested:
            return snapshot
        self._restored = False
        self.read_at = dt_util.utcnow()
        self._backoff.reset()
        self._reauth.withdraw()
        self.store.follow(snapshot, self.client.body, changed=snapshot != self.data)
        return snapshot

    async def _read(self) -> AccountSnapshot:
        """Read the account. Raises every error of the client's.

        Set-up, and with it Home Assistant's start, waits one time-out at most, however
        many requests there are to make.
        """
        limit = None
        if self.config_entry.state is ConfigEntryState.SETUP_IN_PROGRESS:
            # Less than a request's own: aiohttp may swallow one that ends with its own.
            limit = 0.9 * http.TIMEOUT
        try:
            async with asyncio.timeout(limit):
                return await self.client.get_account()
        except TimeoutError:
            raise ConnectionFailedError(
                ConnectionFailure.TIMED_OUT, self.client.host
            ) from None

    def _failed(self, err: ModelStudioError) -> PollFailed:
        """Return what an error means, and when to poll next."""
        status = FAILURES[type(err)][0]
        translation_key, placeholders = poll_error(err)
        retry_after = None
        if isinstance(err, RateLimitError):
            retry_after = self._backoff.wait(err.retry_after)
            if self.data is None:
                # Go on with the figures of the last run.
                self.data = self.store.account
                self._restored = self.data is not None
        else:
            self._backoff.reset()
        if status is Status.AUTH:
            retry_after = REJECTED_KEY_INTERVAL
            if variable := self.missing_variable:
                translation_key = "environment_variable_missing"
                placeholders = {"variable": variable}
            if not self._shutdown_requested:
                self._reauth.ask()
        return PollFailed(status, translation_key, placeholders, retry_after)

    @callback
    @override
    def _async_refresh_finished(self) -> None:
        """Remove models that are gone, and tell of a failure that became another.

        The base class tells its listeners of the first failure alone.
        """
        self.alerts.polled = True
        if self.last_update_success and self.data:
            self._follow_models(self.data)
        self._update_account()
        error = self.error
        told = (self.status, self.message, type(error), getattr(error, "status", None))
        notified, self._notified = self._notified, told
        if not self.last_update_success and notified != self._notified:
            self.async_update_listeners()

    @callback
    @override
    def async_update_listeners(self) -> None:
        """Tell whoever shows something new; of many models by and by.

        Of hundreds of models most are the same object as when they were told of last. If
        all are new, as in an outage, to tell of them at once would hold up all else.
        """
        (account, failing), self._told = self._told, (self.account, self.failing)
        old, new = account.models, self.account.models
        changed: set[object] = {
            name for name, model in new.items() if model is not old.get(name)
        }
        changed |= old.keys() - new.keys()
        due = [
            number
            for number, (_, model) in self._listeners.items()
            if model is None or model in changed or failing is not self.failing
        ]
        if len(due) <= _PORTION:
            self._tell(due)
        else:
            self._telling = self.config_entry.async_create_task(
                self.hass, self._tell_later(due), f"{self.name} listeners"
            )

    async def _tell_later(self, listeners: Sequence[int]) -> None:
        """Tell listeners, and let others have their turn in between."""
        for portion in batched(listeners, _PORTION, strict=False):
            await asyncio.sleep(0)
            self._tell(portion)

    @callback
    def _tell(self, listeners: Sequence[int]) -> None:
        """Tell those of these listeners who still listen."""
        for number in listeners:
            if listener := self._listeners.get(number):
                try:
                    listener[0]()
                except Exception:
                    LOGGER.exception("Unexpected error in a listener of %s", self.name)

    @callback
    def _follow_models(self, account: AccountSnapshot) -> None:
        """Remove the devices of models that are gone, if there may be other ones now."""
        if account.models_complete and account.models.keys() == self._models:
            return
        self._models = account.models.keys() if account.models_complete else None
        if self._removing:
            self._removing.cancel()
        self._removing = self.config_entry.async_create_background_task(
            self.hass, self._remove_gone_models(), f"{self.name} models"
        )

    async def _remove_gone_models(self) -> None:
        """Remove the devices of models that are gone, and let others have their turn.

        What is not removed before an unload is removed after the next set-up.
        """
        registry = dr.async_get(self.hass)
        prefix = self.identifier("")
        removed = 0
        for device in dr.async_child_entries_for_config_entry(
            registry, self.config_entry.entry_id
        ):
            if registry.async_get(device.id) and any(
                self._is_gone(identifier.removeprefix(prefix))
                for _, identifier in device.identifiers
            ):
                registry.async_remove_device(device.id)
                removed += 1
                if removed % _REMOVALS == 0:
                    await asyncio.sleep(0)

    def _is_gone(self, model: str) -> bool:
        """Return whether a model is gone by now, or not among those chosen.

        Only a complete answer says that a model is gone.
        """
        assert self.data is not None
        if self.data.models_complete and model not in self.data.models:
            return True
        # An empty choice is one of all models that report usage.
        by_choice = self.chosen_models or (
            self.data.quotas_kind is QuotasKind.LIMITS
            and CONF_MODELS in self.config_entry.options
        )
        return bool(by_choice) and model not in self.chosen_models

    @override
    async def async_shutdown(self) -> None:
        """Stop polling; what is to be stored is stored before a reload reads it."""
        await super().async_shutdown()
        # When the figures were last seen is kept too: it tells what may have been missed.
        if self.client.body or self.store.unsaved:
            await self.store.async_save_last()
