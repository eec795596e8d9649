"""The figures of an account and of its models, one description each."""

from functools import partial
from typing import Any

from homeassistant.components.binary_sensor import BinarySensorDeviceClass
from homeassistant.components.sensor import SensorDeviceClass, SensorStateClass
from homeassistant.const import EntityCategory, UnitOfRatio

from .account import Account
from .descriptions import (
    FigureBinarySensorDescription,
    FigureSensorDescription,
    money,
    total,
)
from .estimate_figures import ESTIMATE_SENSORS, MODEL_ESTIMATE_SENSORS
from .failures import Status
from .group_figures import OTHER_GROUPS_SENSORS
from .model_studio import (
    AccountSnapshot,
    AuthenticationError,
    AvailableData,
    BillingPeriod,
    ModelUsage,
    PermissionDeniedError,
)
from .prepaid_figures import PREPAID_SENSORS
from .sources import Source


def _billing_cycle(snapshot: AccountSnapshot | None) -> dict[str, Any]:
    """Return the billing cycle's first and last day, as ISO dates."""
    period = BillingPeriod() if snapshot is None else snapshot.billing_period
    return {
        "billing_cycle_start": period.start and period.start.isoformat(),
        "billing_cycle_end": period.end and period.end.isoformat(),
    }


def _status_attributes(account: Account) -> dict[str, Any]:
    """Return why polls fail, and the billing cycle. An AccessKey has further sources."""
    failing: dict[str, Any] = {"message": account.message}
    if account.clients is not None:
        failing["failed_sources"] = account.failed_sources
    return failing | _billing_cycle(account.last_quotas)


def _projected_range(snapshot: AccountSnapshot) -> dict[str, Any]:
    """Return the 80 % interval of the projected spend."""
    low, high = snapshot.outlook.low, snapshot.outlook.high
    return {
        "low": None if low is None else float(low),
        "high": None if high is None else float(high),
    }


_SPEND = (Source.QUOTAS, Source.SPEND)
"""The sources that report spend."""
_diagnostic = partial(
    FigureSensorDescription[AccountSnapshot],
    entity_category=EntityCategory.DIAGNOSTIC,
)

ACCOUNT_SENSORS: tuple[FigureSensorDescription[AccountSnapshot], ...] = (
    total(
        key="daily_spend",
        sources=_SPEND,
        attributes_fn=_billing_cycle,
        value_fn=lambda snapshot: snapshot.daily_spend,
    ),
    total(
        key="monthly_spend",
        sources=_SPEND,
        attributes_fn=_billing_cycle,
        value_fn=lambda snapshot: snapshot.monthly_spend,
    ),
    total(
        key="available_balance",
        sources=(Source.QUOTAS, Source.BALANCE),
        value_fn=lambda snapshot: snapshot.available_balance,
    ),
    total(
        key="credit_balance",
        sources=(Source.QUOTAS, Source.BALANCE),
        value_fn=lambda snapshot: snapshot.credit_balance,
    ),
    total(
        key="spend_limit",
        value_fn=lambda snapshot: snapshot.spend_limit,
    ),
    money(
        key="budget",
        sources=_SPEND,
        value_fn=lambda snapshot: snapshot.outlook.budget,
    ),
    FigureSensorDescription(
        key="budget_usage_pct",
        sources=_SPEND,
        native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=1,
        value_fn=lambda snapshot: snapshot.outlook.usage_pct,
    ),
    money(
        key="remaining_budget",
        sources=_SPEND,
        value_fn=lambda snapshot: snapshot.outlook.remaining,
    ),
    money(
        key="projected_monthly_spend",
        sources=_SPEND,
        exists_fn=lambda snapshot: snapshot.monthly_spend is not None,
        value_fn=lambda snapshot: snapshot.outlook.projected,
        attributes_fn=_projected_range,
    ),
    FigureSensorDescription(
        key="budget_exhausted_on",
        sources=_SPEND,
        device_class=SensorDeviceClass.DATE,
        exists_fn=lambda snapshot: snapshot.outlook.remaining is not None,
        value_fn=lambda snapshot: snapshot.outlook.budget_exhausted_on,
    ),
    FigureSensorDescription(
        key="balance_lasts_until",
        sources=(*_SPEND, Source.BALANCE),
        device_class=SensorDeviceClass.DATE,
        exists_fn=lambda snapshot: (
            snapshot.monthly_spend is not None
            and snapshot.available_balance is not None
        ),
        value_fn=lambda snapshot: snapshot.outlook.balance_lasts_until,
    ),
    FigureSensorDescription(
        key="tokens_used",
        sources=(Source.QUOTAS, Source.TOTALS),
        state_class=SensorStateClass.TOTAL_INCREASING,
        suggested_display_precision=0,
        value_fn=lambda snapshot: snapshot.tokens_used,
    ),
    FigureSensorDescription(
        key="requests_used",
        sources=(Source.QUOTAS, Source.TOTALS),
        state_class=SensorStateClass.TOTAL_INCREASING,
        suggested_display_precision=0,
        value_fn=lambda snapshot: snapshot.requests_used,
    ),
    total(
        key="other_models_daily_spend",
        sources=(Source.SPEND,),
        value_fn=lambda snapshot: snapshot.other_models_daily_spend,
    ),
    total(
        key="other_models_monthly_spend",
        sources=(Source.SPEND,),
        value_fn=lambda snapshot: snapshot.other_models_monthly_spend,
    ),
    *OTHER_GROUPS_SENSORS,
    _diagnostic(
        key="available_data",
        sources=(),
        device_class=SensorDeviceClass.ENUM,
        options=[data.value for data in AvailableData],
        value_fn=lambda snapshot: snapshot.available_data,
    ),
    _diagnostic(
        key="rpm",
        suggested_display_precision=0,
        value_fn=lambda snapshot: snapshot.rate_limit.rpm,
    ),
    _diagnostic(
        key="tpm",
        suggested_display_precision=0,
        value_fn=lambda snapshot: snapshot.rate_limit.tpm,
    ),
    _diagnostic(
        key="billing_cycle_start",
        device_class=SensorDeviceClass.DATE,
        value_fn=lambda snapshot: snapshot.billing_period.start,
    ),
    _diagnostic(
        key="billing_cycle_end",
        device_class=SensorDeviceClass.DATE,
        value_fn=lambda snapshot: snapshot.billing_period.end,
    ),
    *PREPAID_SENSORS,
    *ESTIMATE_SENSORS,
)

MODEL_SENSORS: tuple[FigureSensorDescription[ModelUsage], ...] = (
    FigureSensorDescription(
        key="usage_pct",
        native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=1,
        value_fn=lambda model: model.usage_pct,
    ),
    FigureSensorDescription(
        key="used",
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0,
        value_fn=lambda model: model.used,
        attributes_fn=lambda model: {"limit": model.limit},
    ),
    FigureSensorDescription(
        key="load_pct",
        sources=(Source.QUOTAS, Source.RATES),
        native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=1,
        value_fn=lambda model: model.load_pct,
    ),
    FigureSensorDescription(
        key="tokens_per_minute",
        entity_registry_enabled_default=False,
        sources=(Source.RATES,),
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0,
        value_fn=lambda model: model.tokens_per_minute,
    ),
    FigureSensorDescription(
        key="requests_per_minute",
        entity_registry_enabled_default=False,
        sources=(Source.RATES,),
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0,
        value_fn=lambda model: model.requests_per_minute,
    ),
    FigureSensorDescription(
        key="error_rate_pct",
        entity_registry_enabled_default=False,
        sources=(Source.RATES,),
        native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=1,
        exists_fn=lambda model: model.throttled_calls is not None,
        value_fn=lambda model: model.error_rate_pct,
    ),
    FigureSensorDescription(
        key="throttled_calls",
        entity_registry_enabled_default=False,
        sources=(Source.RATES,),
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=0,
        value_fn=lambda model: model.throttled_calls,
    ),
    FigureSensorDescription(
        key="tokens",
        sources=(Source.TOTALS,),
        state_class=SensorStateClass.TOTAL_INCREASING,
        suggested_display_precision=0,
        value_fn=lambda model: model.tokens,
    ),
    FigureSensorDescription(
        key="requests",
        sources=(Source.TOTALS,),
        state_class=SensorStateClass.TOTAL_INCREASING,
        suggested_display_precision=0,
        value_fn=lambda model: model.requests,
    ),
    total(
        key="daily_spend",
        sources=(Source.SPEND,),
        value_fn=lambda model: model.daily_spend,
    ),
    total(
        key="monthly_spend",
        sources=(Source.SPEND,),
        value_fn=lambda model: model.monthly_spend,
    ),
    FigureSensorDescription(
        key="limit",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        suggested_display_precision=0,
        value_fn=lambda model: model.limit,
    ),
    FigureSensorDescription(
        key="rpm",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        suggested_display_precision=0,
        value_fn=lambda model: model.rate_limit.rpm,
    ),
    FigureSensorDescription(
        key="tpm",
        entity_category=EntityCategory.DIAGNOSTIC,
        entity_registry_enabled_default=False,
        suggested_display_precision=0,
        value_fn=lambda model: model.rate_limit.tpm,
    ),
    *MODEL_ESTIMATE_SENSORS,
)

STATUS = FigureSensorDescription[Account](
    key="status",
    entity_category=EntityCategory.DIAGNOSTIC,
    device_class=SensorDeviceClass.ENUM,
    options=[status.value for status in Status],
    value_fn=lambda account: account.status,
    attributes_fn=_status_attributes,
)

ACCOUNT_BINARY_SENSORS: tuple[FigureBinarySensorDescription[AccountSnapshot], ...] = (
    FigureBinarySensorDescription(
        key="over_spend_limit",
        device_class=BinarySensorDeviceClass.PROBLEM,
        value_fn=lambda snapshot: snapshot.over_spend_limit,
        exists_fn=lambda snapshot: snapshot.spend_limit is not None,
    ),
)

_problem = partial(
    FigureBinarySensorDescription[Account],
    device_class=BinarySensorDeviceClass.PROBLEM,
    entity_category=EntityCategory.DIAGNOSTIC,
)

STATUS_BINARY_SENSORS: tuple[FigureBinarySensorDescription[Account], ...] = (
    _problem(
        key="api_key_problem",
        value_fn=lambda account: account.status is Status.AUTH,
    ),
    _problem(
        key="access_key_problem",
        exists_fn=lambda account: account.clients is not None,
        value_fn=lambda account: any(
            isinstance(source.error, AuthenticationError | PermissionDeniedError)
            for source in account.access_key_sources
        ),
    ),
    _problem(
        key="rate_limited",
        value_fn=lambda account: account.status is Status.LIMITED,
    ),
    FigureBinarySensorDescription(
        key="account_available",
        device_class=BinarySensorDeviceClass.CONNECTIVITY,
        entity_category=EntityCategory.DIAGNOSTIC,
        value_fn=lambda account: account.status in (Status.OK, Status.LIMITED),
    ),
)
