"""Actions that return an account's figures, its spend and its prices."""

from collections.abc import Mapping
from datetime import date, timedelta
from decimal import Decimal
from typing import Any, Final

import voluptuous as vol

from homeassistant.const import ATTR_CONFIG_ENTRY_ID
from homeassistant.core import (
    HomeAssistant,
    ServiceCall,
    ServiceResponse,
    SupportsResponse,
    callback,
)
from homeassistant.exceptions import HomeAssistantError, ServiceValidationError
from homeassistant.helpers import config_validation as cv
from homeassistant.helpers.service import async_get_config_entry
from homeassistant.helpers.translation import async_get_translations

from .account import AlibabaCloudConfigEntry
from .const import DOMAIN
from .failures import INVALID_ACCESS_KEY, poll_error
from .model_studio import (
    NULL_GROUP,
    OTHERS,
    AuthenticationError,
    Dimension,
    Granularity,
    ModelStudioError,
    Money,
    Price,
    PriceStep,
    SpendGroup,
)
from .options import group_name
from .sources import BILLING_PERMISSION, Source, billing_today
from .usage import async_describe, matching_models, matching_names

SERVICE_GET_USAGE: Final = "get_usage"
ATTR_MODEL: Final = "model"
ATTR_INCLUDE_ALL_MODELS: Final = "include_all_models"

SERVICE_GET_SPEND: Final = "get_spend"
ATTR_START_DATE: Final = "start_date"
ATTR_END_DATE: Final = "end_date"
ATTR_PERIOD: Final = "period"
ATTR_GROUP_BY: Final = "group_by"

SERVICE_GET_PRICES: Final = "get_prices"

MOST_YEARS: Final = 5
"""The longest range of a call. Each month takes a request."""

PERIODS = {period.name.lower(): period for period in Granularity}
GROUPS = {group.name.lower(): group for group in Dimension}
GROUPS_WITHOUT_KEY = {
    NULL_GROUP: "group_not_assigned",
    "-": "group_not_assigned",
    OTHERS: "group_others",
}
"""The translations that name groups without a key, by the key or name in the bill."""

GET_SPEND_SCHEMA = vol.Schema(
    {
        vol.Required(ATTR_CONFIG_ENTRY_ID): cv.string,
        vol.Optional(ATTR_START_DATE): cv.date,
        vol.Optional(ATTR_END_DATE): cv.date,
        vol.Optional(ATTR_PERIOD, default="day"): vol.In(list(PERIODS)),
        vol.Optional(ATTR_GROUP_BY, default="model"): vol.In(list(GROUPS)),
    }
)
GET_USAGE_SCHEMA = vol.Schema(
    {
        vol.Required(ATTR_CONFIG_ENTRY_ID): cv.string,
        vol.Optional(ATTR_MODEL): cv.string,
        vol.Optional(ATTR_INCLUDE_ALL_MODELS, default=False): cv.boolean,
    }
)
GET_PRICES_SCHEMA = vol.Schema(
    {
        vol.Required(ATTR_CONFIG_ENTRY_ID): cv.string,
        vol.Optional(ATTR_MODEL): cv.string,
    }
)


@callback
def async_setup_services(hass: HomeAssistant) -> None:
    """Register the actions."""
    for name, action, schema in (
        (SERVICE_GET_SPEND, _async_get_spend, GET_SPEND_SCHEMA),
        (SERVICE_GET_USAGE, _async_get_usage, GET_USAGE_SCHEMA),
        (SERVICE_GET_PRICES, _async_get_prices, GET_PRICES_SCHEMA),
    ):
        hass.services.async_register(
            DOMAIN,
            name,
            action,
            schema=schema,
            supports_response=SupportsResponse.ONLY,
        )


async def _async_get_spend(call: ServiceCall) -> ServiceResponse:
    """Return the spend of a range of days, by period and group.

    Amounts are numbers with their currency. A total that the bill does not state is left
    out. Raises `ServiceValidationError` if the account does not exist, is not loaded or
    has no AccessKey, and if the range is not valid. Raises `HomeAssistantError` if the
    bill can't be read.
    """
    entry: AlibabaCloudConfigEntry = async_get_config_entry(
        call.hass, DOMAIN, call.data[ATTR_CONFIG_ENTRY_ID]
    )
    if (clients := entry.runtime_data.clients) is None:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="no_access_key",
            translation_placeholders={"account": entry.title},
        )
    start, end = _range(call)
    dimension = GROUPS[call.data[ATTR_GROUP_BY]]
    try:
        trend = await clients.billing.get_trend(
            start,
            end,
            granularity=PERIODS[call.data[ATTR_PERIOD]],
            group_by=dimension,
        )
    except ModelStudioError as err:
        raise _billing_error(err) from err
    texts = await async_get_translations(
        call.hass, call.hass.config.language, "common", {DOMAIN}
    )

    def name(key: str) -> str:
        group = SpendGroup(dimension=dimension, id=key)
        return group_name(entry.options, group) or trend.names.get(key, key)

    return {
        **({} if trend.total is None else _amount(trend.total, "total")),
        "periods": [
            {
                "start": period.start.isoformat(),
                **_amount(period.total, "amount"),
                "groups": [
                    _group(key, name(key), amount, texts)
                    for key, amount in period.groups.items()
                ],
            }
            for period in trend.periods
        ],
    }


def _range(call: ServiceCall) -> tuple[date, date]:
    """Return the first and last day of a call. Raises `ServiceValidationError`."""
    today = billing_today()
    start: date = call.data.get(ATTR_START_DATE) or today.replace(day=1)
    end: date = call.data.get(ATTR_END_DATE) or today
    if start > end:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="start_after_end",
            translation_placeholders={
                "start": start.isoformat(),
                "end": end.isoformat(),
            },
        )
    if end - start > timedelta(days=366 * MOST_YEARS):
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="range_too_long",
            translation_placeholders={"years": str(MOST_YEARS)},
        )
    return start, end


def _billing_error(err: ModelStudioError) -> HomeAssistantError:
    """Return the error of an action whose bill can't be read."""
    key, placeholders = poll_error(err)
    if isinstance(err, AuthenticationError):
        key = INVALID_ACCESS_KEY
    return HomeAssistantError(
        translation_domain=DOMAIN,
        translation_key=key,
        translation_placeholders={**placeholders, "permission": BILLING_PERMISSION},
    )


def _group(
    key: str, name: str, amount: Decimal, texts: Mapping[str, str]
) -> dict[str, Any]:
    """Return the spend of a group. A group without a key is named by a translation."""
    text = GROUPS_WITHOUT_KEY.get(key) or GROUPS_WITHOUT_KEY.get(name)
    if text is None:
        return {"key": key, "name": name, "amount": float(amount)}
    name = texts.get(f"component.{DOMAIN}.common.{text}", name)
    return {"key": None, "name": name, "amount": float(amount)}


def _amount(money: Money, key: str) -> dict[str, Any]:
    """Return an amount as a number, and its currency."""
    return {key: float(money.amount), "currency": money.currency}


async def _async_get_usage(call: ServiceCall) -> ServiceResponse:
    """Return the last figures of an account and its models, with units.

    Raises `ServiceValidationError` if the account does not exist or is not loaded, or
    if no model matches. Raises `HomeAssistantError` if nothing has been read yet.
    """
    entry: AlibabaCloudConfigEntry = async_get_config_entry(
        call.hass, DOMAIN, call.data[ATTR_CONFIG_ENTRY_ID]
    )
    account = entry.runtime_data
    if (figures := account.last_read()) is None:
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="nothing_read",
            translation_placeholders={
                "account": entry.title,
                "message": account.message or "",
            },
        )
    include_all: bool = call.data[ATTR_INCLUDE_ALL_MODELS]
    pattern: str | None = call.data.get(ATTR_MODEL) or None
    models = matching_models(
        figures, pattern, None if include_all else account.followed
    )
    if pattern is not None and not models:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="no_such_model" if include_all else "no_followed_model",
            translation_placeholders={"account": entry.title, "model": pattern},
        )
    return await async_describe(account, figures, models)


async def _async_get_prices(call: ServiceCall) -> ServiceResponse:
    """Return the list prices of models, by step of input length.

    Amounts are numbers. What the service does not report is left out. Raises
    `ServiceValidationError` if the account does not exist or is not loaded, if its host
    has no prices, or if no model matches. Raises `HomeAssistantError` if the prices have
    not been read yet.
    """
    entry: AlibabaCloudConfigEntry = async_get_config_entry(
        call.hass, DOMAIN, call.data[ATTR_CONFIG_ENTRY_ID]
    )
    account = entry.runtime_data
    if (prices := account.prices) is None:
        message = account.failed_sources.get(Source.PRICES) or account.message
        raise HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="prices_not_read",
            translation_placeholders={
                "account": entry.title,
                "message": message or "",
            },
        )
    pattern: str | None = call.data.get(ATTR_MODEL) or None
    names = matching_names(prices.models, pattern)
    if not names:
        raise ServiceValidationError(
            translation_domain=DOMAIN,
            translation_key="no_priced_model" if prices.models else "no_prices",
            translation_placeholders={"account": entry.title, "model": pattern or ""},
        )
    return {
        "models": {
            name: {
                "steps": [
                    _step(step, prices.currency)
                    for step in prices.models[name]
                    if step.prices
                ]
            }
            for name in names
        }
    }


def _step(step: PriceStep, currency: str | None) -> dict[str, Any]:
    """Return the prices of a step, with its range if there is one."""
    prices = [_price(price, currency) for price in step.prices]
    return {**({"range": step.name} if step.name else {}), "prices": prices}


def _price(price: Price, currency: str | None) -> dict[str, Any]:
    """Return a price. What is unknown is left out."""
    known = {
        "kind": price.kind,
        "name": price.name,
        "amount": float(price.amount),
        "currency": currency,
        "per": price.per,
        "unit": price.unit,
    }
    return {key: value for key, value in known.items() if value is not None}
