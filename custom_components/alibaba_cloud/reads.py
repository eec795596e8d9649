"""What is read from each source of an account."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import date, datetime
from typing import Any

from homeassistant.config_entries import ConfigEntry
from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util

from .clients import Clients, prices_client, read_quotas
from .ledger import cycle_start, last_settled_day, midnight
from .model_studio import (
    BillingClient,
    Dimension,
    ModelStudioClient,
    Money,
    SpendGroup,
    SpendReport,
)
from .options import followed_groups
from .sources import (
    GROUP_SOURCES,
    Source,
    SourceCoordinator,
    access_key_reads,
    billing_today,
)
from .statistics import SpendImport
from .storage import AccountStore


def create_sources(
    hass: HomeAssistant,
    entry: ConfigEntry,
    *,
    client: ModelStudioClient,
    clients: Clients | None,
    store: AccountStore,
    models: Callable[[], list[str]],
) -> dict[Source, SourceCoordinator[Any]]:
    """Return the sources that the entry's credentials can read.

    `models` returns the models whose past spend is imported.
    """
    reads: dict[Source, Callable[[], Any]] = {
        Source.QUOTAS: lambda: read_quotas(client, entry),
        Source.PRICES: prices_client(hass, entry.data).get_prices,
    }
    if clients is not None:
        reads |= access_key_reads(clients)
        groups = followed_groups(entry.options)
        for group in groups:
            reads[GROUP_SOURCES[group.dimension]] = _month_by(
                clients.billing, group.dimension
            )
        if (telemetry := clients.telemetry) is not None:
            reads[Source.RATES] = lambda: telemetry.get_rates(
                dt_util.utcnow(), day_start=_start_if_priced(billing_today(), sources)
            )
            reads[Source.TOTALS] = lambda: telemetry.get_totals(
                cycle_start(store.periods, billing_today()),
                dt_util.utcnow(),
                closed_day=_start_if_priced(
                    last_settled_day(dt_util.utcnow()), sources
                ),
            )
        if "recorder" in hass.config.components:
            spend_import = SpendImport(hass, clients.billing, entry)
            reads[Source.HISTORY] = lambda: _import_spend(
                spend_import, store, models(), groups
            )
    sources: dict[Source, SourceCoordinator[Any]] = {
        source: SourceCoordinator(hass, entry, source, read)
        for source, read in reads.items()
    }
    return sources


def _start_if_priced(
    day: date, sources: Mapping[Source, SourceCoordinator[Any]]
) -> datetime | None:
    """Return the start of a day whose usage is read in order to price it.

    None if the host has no prices, or if they were never read and the last attempt
    failed. Before the first attempt, it may have some.
    """
    prices = sources[Source.PRICES]
    if prices.data is None:
        # True before the first attempt.
        has_prices = prices.last_update_success
    else:
        has_prices = bool(prices.data.models)
    return midnight(day) if has_prices else None


def _month_by(
    billing: BillingClient, dimension: Dimension
) -> Callable[[], Awaitable[SpendReport]]:
    """Return a function that reads the bill of the month, grouped by a dimension."""
    return lambda: billing.get_month(billing_today(), group_by=dimension)


async def _import_spend(
    spend_import: SpendImport,
    store: AccountStore,
    models: list[str],
    groups: Collection[SpendGroup],
) -> Mapping[date, Money]:
    """Import past spend into the statistics. Return the billed days that were read.

    Raises as `SpendImport.async_run`.
    """
    imported = {group for group in groups if group.key in store.history_groups}
    days = await spend_import.async_run(
        [*models, *groups], imported={*store.history, *imported}
    )
    known = models, [group.key for group in groups]
    if known != (store.history, store.history_groups):
        store.history, store.history_groups = known
        await store.async_save()
    return days
