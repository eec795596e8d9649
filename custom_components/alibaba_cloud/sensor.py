"""Sensors of an account and its models."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, override

from homeassistant.components.sensor import (
    SensorDeviceClass,
    SensorEntity,
    SensorEntityDescription,
    SensorStateClass,
)
from homeassistant.const import EntityCategory, UnitOfRatio
from homeassistant.core import HomeAssistant
from homeassistant.helpers.entity_platform import AddConfigEntryEntitiesCallback

from .coordinator import AlibabaCloudConfigEntry, AlibabaCloudCoordinator
from .entity import (
    AlibabaCloudEntity,
    FigureDescription,
    StatusEntity,
    async_setup_figures,
)
from .failures import Status
from .model_studio import (
    AccountSnapshot,
    AvailableData,
    BillingPeriod,
    ModelUsage,
    Money,
    Spend,
)
from .sources import Source

PARALLEL_UPDATES = 0


@dataclass(frozen=True, kw_only=True)
class FigureSensorDescription[SourceT](
    FigureDescription[SourceT], SensorEntityDescription
):
    """A figure that is a sensor."""

    attributes_fn: Callable[[SourceT], dict[str, Any]] | None = None


def _billing_cycle(account: AccountSnapshot | None) -> dict[str, Any]:
    """Return the billing cycle's first and last day, as ISO dates."""
    period = account.billing_period if account else BillingPeriod()
    return {
        "billing_cycle_start": period.start and period.start.isoformat(),
        "billing_cycle_end": period.end and period.end.isoformat(),
    }


def projected_range(account: AccountSnapshot) -> dict[str, Any]:
    """Return what the projected spend is between, as numbers that JSON knows."""
    low, high = account.outlook.low, account.outlook.high
    return {
        "low": None if low is None else float(low),
        "high": None if high is None else float(high),
    }


_SPEND = (Source.QUOTAS, Source.SPEND)
"""What reports spend."""
_money = partial(
    FigureSensorDescription[Any],
    device_class=SensorDeviceClass.MONETARY,
    suggested_display_precision=2,
)
_total = partial(_money, state_class=SensorStateClass.TOTAL)
_diagnostic = partial(
    FigureSensorDescription[AccountSnapshot],
    entity_category=EntityCategory.DIAGNOSTIC,
)

ACCOUNT_SENSORS: tuple[FigureSensorDescription[AccountSnapshot], ...] = (
    _total(
        key="daily_spend",
        translation_key="daily_spend",
        sources=_SPEND,
        attributes_fn=_billing_cycle,
        value_fn=lambda account: account.daily_spend,
    ),
    _total(
        key="monthly_spend",
        translation_key="monthly_spend",
        sources=_SPEND,
        attributes_fn=_billing_cycle,
        value_fn=lambda account: account.monthly_spend,
    ),
    _total(
        key="available_balance",
        translation_key="available_balance",
        sources=(Source.QUOTAS, Source.BALANCE),
        value_fn=lambda account: account.available_balance,
    ),
    _total(
        key="credit_balance",
        translation_key="credit_balance",
        sources=(Source.QUOTAS, Source.BALANCE),
        value_fn=lambda account: account.credit_balance,
    ),
    _total(
        key="spend_limit",
        translation_key="spend_limit",
        value_fn=lambda account: account.spend_limit,
    ),
    _money(
        key="budget",
        translation_key="budget",
        sources=_SPEND,
        value_fn=lambda account: account.outlook.budget,
    ),
    FigureSensorDescription(
        key="budget_usage_pct",
        translation_key="budget_usage_pct",
        sources=_SPEND,
        native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=1,
        value_fn=lambda account: account.outlook.usage_pct,
    ),
    _money(
        key="remaining_budget",
        translation_key="remaining_budget",
        sources=_SPEND,
        value_fn=lambda account: account.outlook.remaining,
    ),
    _money(
        key="projected_monthly_spend",
        translation_key="projected_monthly_spend",
        sources=_SPEND,
        exists_fn=lambda account: account.monthly_spend is not None,
        value_fn=lambda account: account.outlook.projected,
        attributes_fn=projected_range,
    ),
    FigureSensorDescription(
        key="budget_exhausted_on",
        translation_key="budget_exhausted_on",
        sources=_SPEND,
        device_class=SensorDeviceClass.DATE,
        exists_fn=lambda account: account.outlook.remaining is not None,
        value_fn=lambda account: account.outlook.budget_exhausted_on,
    ),
    FigureSensorDescription(
        key="balance_lasts_until",
        translation_key="balance_lasts_until",
        sources=(*_SPEND, Source.BALANCE),
        device_class=SensorDeviceClass.DATE,
        exists_fn=lambda account: (
            None not in (account.monthly_spend, account.available_balance)
        ),
        value_fn=lambda account: account.outlook.balance_lasts_until,
    ),
    FigureSensorDescription(
        key="tokens_used",
        translation_key="tokens_used",
        sources=(Source.QUOTAS, Source.TOTALS),
        state_class=SensorStateClass.TOTAL_INCREASING,
        suggested_display_precision=0,
        value_fn=lambda account: account.tokens_used,
    ),
    FigureSensorDescription(
        key="requests_used",
        translation_key="requests_used",
        sources=(Source.QUOTAS, Source.TOTALS),
        state_class=SensorStateClass.TOTAL_INCREASING,
        suggested_display_precision=0,
        value_fn=lambda account: account.requests_used,
    ),
    _total(
        key="other_models_daily_spend",
        translation_key="other_models_daily_spend",
        sources=(Source.SPEND,),
        value_fn=lambda account: account.other_models_daily_spend,
    ),
    _total(
        key="other_models_monthly_spend",
        translation_key="other_models_monthly_spend",
        sources=(Source.SPEND,),
        value_fn=lambda account: account.other_models_monthly_spend,
    ),
    _diagnostic(
        key="available_data",
        translation_key="available_data",
        sources=(),
        device_class=SensorDeviceClass.ENUM,
        options=[data.value for data in AvailableData],
        value_fn=lambda account: account.available_data,
    ),
    _diagnostic(
        key="rpm",
        translation_key="rpm",
        suggested_display_precision=0,
        value_fn=lambda account: account.rate_limit.rpm,
    ),
    _diagnostic(
        key="tpm",
        translation_key="tpm",
        suggested_display_precision=0,
        value_fn=lambda account: account.rate_limit.tpm,
    ),
    _diagnostic(
        key="billing_cycle_start",
        translation_key="billing_cycle_start",
        device_class=SensorDeviceClass.DATE,
        value_fn=lambda account: account.billing_period.start,
    ),
    _diagnostic(
        key="billing_cycle_end",
        translation_key="billing_cycle_end",
        device_class=SensorDeviceClass.DATE,
        value_fn=lambda account: account.billing_period.end,
    ),
)

MODEL_SENSORS: tuple[FigureSensorDescription[ModelUsage], ...] = (
    FigureSensorDescription(
        key="usage_pct",
        translation_key="usage_pct",
        native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=1,
        value_fn=lambda model: model.usage_pct,
    ),
    FigureSensorDescription(
        key="used",
        translation_key="used",
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0,
        value_fn=lambda model: model.used,
        attributes_fn=lambda model: {"limit": model.limit},
    ),
    FigureSensorDescription(
        key="load_pct",
        translation_key="load_pct",
        sources=(Source.QUOTAS, Source.RATES),
        native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=1,
        value_fn=lambda model: model.load_pct,
    ),
    FigureSensorDescription(
        key="tokens_per_minute",
        translation_key="tokens_per_minute",
        entity_registry_enabled_default=False,
        sources=(Source.RATES,),
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0,
        value_fn=lambda model: model.tokens_per_minute,
    ),
    FigureSensorDescription(
        key="requests_per_minute",
        translation_key="requests_per_minute",
        entity_registry_enabled_default=False,
        sources=(Source.RATES,),
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0,
        value_fn=lambda model: model.requests_per_minute,
    ),
    FigureSensorDescription(
        key="tokens",
        translation_key="tokens",
        sources=(Source.TOTALS,),
        state_class=SensorStateClass.TOTAL_INCREASING,
        suggested_display_precision=0,
        value_fn=lambda model: model.tokens,
    ),
    FigureSensorDescription(
        key="requests",
        translation_key="requests",
        sources=(Source.TOTALS,),
        state_class=SensorStateClass.TOTAL_INCREASING,
        suggested_display_precision=0,
        value_fn=lambda model: model.requests,
    ),
    _total(
        key="daily_spend",
        translation_key="daily_spend",
        sources=(Source.SPEND,),
        value_fn=lambda model: model.daily_spend,
    ),
    _total(
        key="monthly_spend",
        translation_key="monthly_spend",
        sources=(Source.SPEND,),
        value_fn=lambda model: model.monthly_spend,
    ),
    FigureSensorDescription(
        key="limit",
        translation_key="limit",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        suggested_display_precision=0,
        value_fn=lambda model: model.limit,
    ),
    FigureSensorDescription(
        key="rpm",
        translation_key="rpm",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        suggested_display_precision=0,
        value_fn=lambda model: model.rate_limit.rpm,
    ),
    FigureSensorDescription(
        key="tpm",
        translation_key="tpm",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        suggested_display_precision=0,
        value_fn=lambda model: model.rate_limit.tpm,
    ),
)

STATUS = FigureSensorDescription[AlibabaCloudCoordinator](
    key="status",
    translation_key="status",
    entity_category=EntityCategory.DIAGNOSTIC,
    device_class=SensorDeviceClass.ENUM,
    options=[status.value for status in Status],
    value_fn=lambda coordinator: coordinator.status,
    attributes_fn=lambda coordinator: {
        "message": coordinator.message,
        **coordinator.failed_sources,
        **_billing_cycle(coordinator.data),
    },
)


async def async_setup_entry(
    hass: HomeAssistant,
    entry: AlibabaCloudConfigEntry,
    async_add_entities: AddConfigEntryEntitiesCallback,
) -> None:
    """Set up the sensors of an account."""
    async_add_entities([AlibabaCloudStatusSensor(entry.runtime_data, STATUS)])
    async_setup_figures(
        entry,
        async_add_entities,
        AlibabaCloudSensor,
        account=ACCOUNT_SENSORS,
        models=MODEL_SENSORS,
    )


class AlibabaCloudSensor(AlibabaCloudEntity, SensorEntity):
    """A figure; an amount of money comes with its currency."""

    entity_description: FigureSensorDescription[Any]
    # They are others with each state, which is recorded.
    _unrecorded_attributes = frozenset({"low", "high"})

    @property
    @override
    def native_value(self) -> Any:
        """Return the figure."""
        value = self._value
        return value.amount if isinstance(value, Money) else value

    @property
    @override
    def native_unit_of_measurement(self) -> str | None:
        """Return the currency, which stays while the amount is unknown."""
        if isinstance(value := self._value, Money):
            self._attr_native_unit_of_measurement = value.currency
        return super().native_unit_of_measurement

    @property
    @override
    def last_reset(self) -> datetime | None:
        """Return since when a spend figure adds up."""
        value = self._value
        return value.since if isinstance(value, Spend) else None

    @override
    def _shows(self) -> tuple[Any, ...]:
        """Return all that makes up the state."""
        return (*super()._shows(), self.last_reset)

    @property
    @override
    def extra_state_attributes(self) -> dict[str, Any] | None:
        """Return the attributes that the description names."""
        attributes_fn = self.entity_description.attributes_fn
        if attributes_fn is None or (source := self._source) is None:
            return None
        return attributes_fn(source)


class AlibabaCloudStatusSensor(StatusEntity, AlibabaCloudSensor):
    """How the last poll ended."""
