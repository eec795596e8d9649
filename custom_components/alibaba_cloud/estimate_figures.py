"""The figures of the estimate: what usage costs at list prices."""

from functools import partial
from typing import Any

from homeassistant.components.sensor import SensorStateClass
from homeassistant.const import EntityCategory, UnitOfRatio

from .descriptions import FigureSensorDescription, total
from .model_studio import AccountSnapshot, ModelUsage, Money
from .sources import Source

_estimate = partial(total, sources=(Source.PRICES, Source.RATES))


def _amount(price: Money | None) -> float | None:
    """Return the amount of a price as JSON data."""
    return None if price is None else float(price.amount)


def _coverage(snapshot: AccountSnapshot) -> dict[str, Any]:
    """Return what the estimate of today leaves out."""
    return {
        "models_without_price": list(snapshot.estimate.models_without_price),
        "share_priced": snapshot.estimate.share_priced,
    }


def _prices(model: ModelUsage) -> dict[str, Any]:
    """Return the lowest prices of a million tokens."""
    return {
        "input_price": _amount(model.input_price),
        "output_price": _amount(model.output_price),
    }


ESTIMATE_SENSORS: tuple[FigureSensorDescription[AccountSnapshot], ...] = (
    _estimate(
        key="estimated_daily_spend",
        value_fn=lambda snapshot: snapshot.estimate.daily_spend,
        attributes_fn=_coverage,
    ),
    FigureSensorDescription(
        key="estimate_to_bill_ratio",
        sources=(Source.PRICES, Source.TOTALS, Source.SPEND, Source.QUOTAS),
        entity_category=EntityCategory.DIAGNOSTIC,
        native_unit_of_measurement=UnitOfRatio.PERCENTAGE,
        state_class=SensorStateClass.MEASUREMENT,
        suggested_display_precision=1,
        value_fn=lambda snapshot: snapshot.estimate.bill_pct,
        attributes_fn=lambda snapshot: {
            "day": snapshot.estimate.closed_day
            and snapshot.estimate.closed_day.isoformat()
        },
    ),
)

MODEL_ESTIMATE_SENSORS: tuple[FigureSensorDescription[ModelUsage], ...] = (
    _estimate(
        key="daily_spend_estimate",
        value_fn=lambda model: model.daily_spend_estimate,
        attributes_fn=_prices,
    ),
)
