"""An account: its sources, and the one snapshot of figures that they add up to."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from datetime import date, datetime
from functools import partial
from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.const import EVENT_HOMEASSISTANT_STOP
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers.event import async_track_utc_time_change
from homeassistant.util import dt as dt_util

from .clients import access_key_clients, api_key_client
from .const import CONF_BASE_URL, CONF_MODELS
from .failures import Status, describe, setup_error
from .ledger import Reports, build_snapshot, current_reports, with_windows, without_past
from .listeners import Listeners
from .model_studio import CURRENCY, AccountSnapshot, Money, PriceList, QuotasKind
from .options import alert_options, followed_groups
from .owners import Figures, Owner, changed_owners, devices_of, figures_of, identifier
from .reads import create_sources
from .sources import GROUP_SOURCES, Source, SourceCoordinator
from .storage import AccountStore

type AlibabaCloudConfigEntry = ConfigEntry[Account]


class Account:
    """An account, as the `runtime_data` of its config entry.

    It listens to its sources, builds one snapshot from their reports and notifies its
    own listeners. Its store keeps state across restarts.
    """

    def __init__(self, hass: HomeAssistant, entry: AlibabaCloudConfigEntry) -> None:
        """Create the clients and the sources of an entry."""
        self.hass = hass
        self.entry = entry
        self.options = alert_options(entry.options)
        self.groups = followed_groups(entry.options)
        """The workspaces and API keys that the user follows."""
        self.store = AccountStore(hass, entry.entry_id, entry.data[CONF_BASE_URL])
        self.client = api_key_client(hass, entry.data)
        self.clients = access_key_clients(hass, entry.data)
        """The clients of the AccessKey, None without one."""
        self.sources = create_sources(
            hass,
            entry,
            client=self.client,
            clients=self.clients,
            store=self.store,
            models=self._models_to_import,
        )
        self.quotas: SourceCoordinator[AccountSnapshot] = self.sources[Source.QUOTAS]
        self.snapshot = AccountSnapshot()
        """The current figures of all sources."""
        self.missing_sources: frozenset[Source] = frozenset()
        """The sources without a current report: they fail or were not read yet."""
        self.changed: Collection[Owner] = ()
        """The models and groups whose figures changed with the last update."""
        self.last_quotas: AccountSnapshot | None = None
        """The last figures of the API key, None before the first.

        While the service throttles after a restart, those of the previous run.
        """
        self.read_at: datetime | None = None
        """When the API key's figures were last read in this run."""
        self._inputs: tuple[Reports, Mapping[date, Money], datetime] | None = None
        """What the snapshot was built from."""
        self._health: tuple[set[Source], Status, dict[str, str]] | None = None
        """What failed at the last update, and why."""
        self._are_prices_requested = False
        self._listeners = Listeners(hass, entry)

    @property
    def status(self) -> Status:
        """The result of the last poll with the API key."""
        return self.quotas.status

    @property
    def message(self) -> str | None:
        """Why the last poll with the API key failed, None if it did not."""
        if self.quotas.error is None or self.quotas.last_exception is None:
            return None
        return describe(self.hass, self.quotas.last_exception)

    @property
    def access_key_sources(self) -> list[SourceCoordinator[Any]]:
        """The sources that are read with the AccessKey."""
        return [s for s in self.other_sources if s.description.permission]

    @property
    def other_sources(self) -> list[SourceCoordinator[Any]]:
        """All sources but the API key's figures."""
        return [s for s in self.sources.values() if s is not self.quotas]

    @property
    def prices(self) -> PriceList | None:
        """The last prices, None if they were never read in this run."""
        prices: PriceList | None = self.sources[Source.PRICES].data
        return prices

    @property
    def failed_sources(self) -> dict[str, str]:
        """The error text of each failing source, without the API key's figures."""
        return {
            source.source: describe(self.hass, source.last_exception)
            for source in self.other_sources
            if source.error and source.last_exception
        }

    @property
    def chosen_models(self) -> list[str]:
        """The models that the user chose. Empty if nobody chose any."""
        chosen: list[str] = self.entry.options.get(CONF_MODELS, [])
        return chosen

    @property
    def models(self) -> Collection[str]:
        """The models that have a device: the listed ones that the user chose.

        Without a choice, all models that report usage.
        """
        if self.last_quotas is None:
            return set()
        if self.chosen_models:
            return self.last_quotas.models.keys() & self.chosen_models
        if self.last_quotas.quotas_kind is QuotasKind.LIMITS:
            return set()
        return self.last_quotas.models.keys()

    @property
    def followed(self) -> Collection[str]:
        """The models whose spend and usage are read one by one.

        If not all models are listed, or none is chosen or reports usage, these include all
        that have a device: what they cost is not the spend of other models.
        """
        names = self.chosen_models if self.last_quotas is None else self.models
        if names and self.last_quotas is not None and self.last_quotas.models_complete:
            return names
        known = devices_of(self.hass, self.entry.entry_id)
        return {*names, *(owner for owner in known if isinstance(owner, str))}

    def identifier(self, owner: Owner) -> str:
        """Return the identifier of an owner's device. Unique IDs start with it."""
        return identifier(self.entry.entry_id, owner)

    def figures(self, owner: Owner) -> Figures | None:
        """Return the current figures of an owner, None without any."""
        return figures_of(self.snapshot, owner)

    @property
    def figures_of_this_run(self) -> AccountSnapshot:
        """The current figures, without those of the API key if the previous run read them."""
        is_restored = self.read_at is None and self.last_quotas is not None
        if self._inputs is None or not is_restored or self.status is not Status.LIMITED:
            return self.snapshot
        reports, daily, hour = self._inputs
        return self._build(replace(reports, account=None), daily, hour)

    async def async_start(self, *, is_new: bool) -> None:
        """Load what is stored, poll with the API key once, and start to listen.

        Raises `ConfigEntryNotReady` or `ConfigEntryAuthFailed` if the poll fails and the
        account `is_new`: nothing was ever read. Raises as `AccountStore.async_load`.
        """
        await self.store.async_load()
        await self.quotas.async_refresh()
        if (
            is_new
            and not self.quotas.last_update_success
            and not self.entry.disabled_by
        ):
            raise setup_error(self.status, self.quotas.last_exception)
        self.entry.async_on_unload(self._async_save)
        self.entry.async_on_unload(
            self.hass.bus.async_listen(
                EVENT_HOMEASSISTANT_STOP, self.store.async_save_at_stop
            )
        )
        for source in self.sources.values():
            self.entry.async_on_unload(
                source.async_add_listener(partial(self._source_updated, source))
            )
        self.entry.async_on_unload(
            async_track_utc_time_change(
                self.hass, self._hour_begins, minute=0, second=0
            )
        )
        self._source_updated(self.quotas)

    async def _async_save(self) -> None:
        """Store the account before a reload reads it.

        The time of the last poll is stored too: the next run needs it to know what it
        may have missed.
        """
        if self.client.body or self.store.has_changed:
            await self.store.async_save_last()

    def _models_to_import(self) -> list[str]:
        """Return the models whose past spend is imported.

        Only a complete answer shows that a model is no longer followed.
        """
        models = self.followed
        if self.last_quotas is None:
            models = self.store.history or models
        elif not self.last_quotas.models_complete:
            models = {*models, *self.store.history}
        return sorted(models)

    @callback
    def _source_updated(self, source: SourceCoordinator[Any]) -> None:
        """Handle the result of a poll."""
        if source is self.quotas:
            self._record_quotas()
        else:
            self._record_bills_of(source)
        self._update()

    @callback
    def _hour_begins(self, _: datetime) -> None:
        """Drop the figures of a day that is over, and forecast again."""
        self._update()

    def _record_quotas(self) -> None:
        """Record the result of a poll with the API key.

        The first answer also starts the first poll of the prices.
        """
        if self.status is Status.LIMITED and self.last_quotas is None:
            self.last_quotas = self.store.account
        if (report := self.quotas.report) is None:
            return
        changed = report != self.last_quotas
        self.last_quotas = report
        self.read_at = dt_util.utcnow()
        self.store.record(report, self.client.body, changed=changed)
        if not self._are_prices_requested:
            # After the first answer, so that a rejected key is logged once.
            self._are_prices_requested = True
            prices = self.sources[Source.PRICES]
            self.entry.async_create_background_task(
                self.hass, prices.async_refresh(), prices.name
            )

    def _record_bills_of(self, source: SourceCoordinator[Any]) -> None:
        """Record the bills in a source's report, if it has any."""
        if source.report is None:
            return
        if source.source is Source.SPEND:
            self._record_bills(source.report.days)
        elif source.source is Source.HISTORY:
            self._record_bills(source.report)

    def _record_bills(self, days: Mapping[date, Money]) -> None:
        """Record the billed spend of some days, in the account's currency.

        If the API key reports limits only, that is the currency of the last day.
        """
        if days:
            last = days[max(days)].currency
            currency = CURRENCY if self._reports_usage else last
            self.store.record_bills(days, currency)

    @property
    def _reports_usage(self) -> bool:
        """Whether the API key reports money and usage, or did so in the last run."""
        if self.last_quotas is None:
            return self.store.answer is not None
        return self.last_quotas.quotas_kind is not QuotasKind.LIMITS

    @callback
    def _update(self) -> None:
        """Build the snapshot again if a report changed, and notify the listeners.

        A poll that brings nothing new notifies nobody. While something fails, each poll
        does: alerts and repairs depend on how often and for how long it fails.
        """
        has_figures = self.status in (Status.OK, Status.LIMITED)
        quotas = self._kept_quotas() if has_figures else None
        missing = {s.source for s in self.access_key_sources if s.report is None}
        if quotas is None:
            missing.add(Source.QUOTAS)
        if self.clients is not None and self.prices is None:
            missing.add(Source.PRICES)
        before = self.snapshot
        reports = self._reports(
            quotas, [s for s in self.other_sources if s.report is not None]
        )
        # The forecast changes once an hour, and with each new figure.
        hour = dt_util.utcnow().replace(minute=0, second=0, microsecond=0)
        inputs = reports, self.store.days.totals(hour), hour
        is_new = inputs != self._inputs
        if is_new:
            self._inputs = inputs
            self.snapshot = self._build(*inputs)
            self.store.record_shown(self.snapshot)
        # Nothing but figures depends on prices.
        is_failing = bool(missing - {Source.PRICES}) or self.status is not Status.OK
        health = missing, self.status, self.failed_sources
        if is_new or is_failing or health != self._health:
            self.changed = self._changes(before, missing)
            self.missing_sources = frozenset(missing)
            self._health = health
            self._listeners.async_notify(self.changed)

    def _changes(
        self, before: AccountSnapshot, missing: Collection[Source]
    ) -> Collection[Owner]:
        """Return the models and groups whose figures or availability changed."""
        if missing != self.missing_sources:
            return self._listeners.owners | changed_owners(before, self.snapshot)
        return changed_owners(before, self.snapshot)

    def last_read(self) -> AccountSnapshot | None:
        """Return the last figures of all sources, also of those that fail now.

        Left out: figures of a day that is over, and those of a period or a minute that was
        over when they could no longer be read. None if nothing was read.
        """
        read = [s for s in self.other_sources if s.data is not None]
        if self.last_quotas is None and not read:
            return None
        now = dt_util.utcnow()
        kept = self._reports(self._kept_quotas(), read)
        is_live = Source.RATES not in self.missing_sources
        reports = current_reports(
            kept, periods=self.store.periods, now=now, is_live=is_live
        )
        return self._build(reports, self.store.days.totals(now), now)

    def _kept_quotas(self) -> AccountSnapshot | None:
        """Return the API key's last figures without those that are out of date."""
        if self.last_quotas is None or self.quotas.last_update_success:
            return self.last_quotas
        return without_past(
            self.last_quotas,
            periods=self.store.periods,
            read=self.read_at or self.store.periods.time,
            now=dt_util.utcnow(),
        )

    def _reports(
        self, quotas: AccountSnapshot | None, sources: Iterable[SourceCoordinator[Any]]
    ) -> Reports:
        """Return the last reports of some sources, and the API key's figures.

        Prices seldom change, so the last ones are used even while they can't be read.
        """
        data: dict[Source, Any] = {source.source: source.data for source in sources}
        return Reports(
            account=None
            if quotas is None
            else with_windows(quotas, self.store.periods),
            spend=data.get(Source.SPEND),
            balance=data.get(Source.BALANCE),
            rates=data.get(Source.RATES),
            totals=data.get(Source.TOTALS),
            groups={d: data[s] for d, s in GROUP_SOURCES.items() if s in data},
            assets=data.get(Source.ASSETS),
            token_plan=data.get(Source.TOKEN_PLAN),
            prices=self.prices,
        )

    def _build(
        self, reports: Reports, daily: Mapping[date, Money], now: datetime
    ) -> AccountSnapshot:
        """Return the figures of some reports.

        Their outlook is as of `now`, from the `daily` spend of the days before.
        """
        return build_snapshot(
            reports,
            followed=() if self.clients is None else self.followed,
            groups=() if self.clients is None else self.groups,
            reports_usage=self._reports_usage,
            periods=self.store.periods,
            shown=self.store.shown,
            daily=daily,
            until_hour=self.store.days.until_hour(now),
            at_least=self.store.days.at_least(now),
            budget=self.options.monthly_budget,
            now=now,
        )

    @callback
    def async_add_listener(
        self, update: Callable[[], None], owner: Owner = None
    ) -> Callable[[], None]:
        """Call `update` when the figures of an owner change.

        While a source fails, the account's listeners are called after each poll. Return
        a function that removes the listener.
        """
        return self._listeners.async_add(update, owner)
