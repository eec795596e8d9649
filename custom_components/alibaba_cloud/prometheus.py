"""Finds the Prometheus of an account, so that users need not enter its URL."""

from collections.abc import Mapping
from typing import Any

from homeassistant.core import HomeAssistant
from homeassistant.util import dt as dt_util

from .clients import access_key_clients, instances_client
from .const import CONF_BILLING_ENDPOINT, CONF_INSTANCE, CONF_PROMETHEUS_URL, LOGGER
from .failures import describe
from .model_studio import (
    ModelStudioError,
    PermissionDeniedError,
    PrometheusInstance,
    UnencryptedURLError,
    UsageRates,
)
from .sources import Source
from .validation import AccessKeyResults, InvalidInput


async def async_list_instances(
    hass: HomeAssistant, data: Mapping[str, Any]
) -> tuple[PrometheusInstance, ...] | ModelStudioError:
    """Return the Prometheus instances of an AccessKey, or why they can't be listed.

    They are not listed if the user entered the URL of a Prometheus. An endpoint that the
    user entered may not know them, so that is no error.
    """
    if CONF_PROMETHEUS_URL in data:
        return ()
    try:
        return await instances_client(hass, data).get_instances()
    except PermissionDeniedError as err:
        return err
    except ModelStudioError as err:
        if CONF_BILLING_ENDPOINT not in data:
            return err
        LOGGER.debug("The Prometheus instances can't be listed: %s", err)
        return ()


async def async_use_instance(
    hass: HomeAssistant, data: Mapping[str, str], instance_id: str
) -> tuple[dict[str, str], UsageRates]:
    """Return the data of an AccessKey with the URL of an instance, and its usage.

    Raises `InvalidInput` if the instance can't be read.
    """
    client = instances_client(hass, data)
    try:
        if (url := await client.get_url(instance_id)) is None:
            raise InvalidInput({CONF_INSTANCE: "no_instance_url"})
        data = {**data, CONF_PROMETHEUS_URL: url}
        clients = access_key_clients(hass, data)
        assert clients is not None and clients.telemetry is not None
        return data, await clients.telemetry.get_rates(dt_util.utcnow())
    except UnencryptedURLError as err:
        raise InvalidInput({CONF_INSTANCE: "instance_not_encrypted"}) from err
    except ModelStudioError as err:
        raise InvalidInput(
            {CONF_INSTANCE: "instance_not_read"}, error=describe(hass, err)
        ) from err


async def async_check_usage(
    hass: HomeAssistant,
    data: Mapping[str, str],
    results: AccessKeyResults,
    *,
    field: str,
) -> None:
    """Check that the Prometheus of an AccessKey has usage of Model Studio.

    Raises `InvalidInput` for the field if it has none: it may be that of another product.
    `results` are what the AccessKey reads. If they show no usage in the last minute, the
    last days are checked. If those can't be read, the Prometheus is accepted.
    """
    rates = results.get(Source.RATES)
    if not isinstance(rates, UsageRates) or rates.models:
        return
    clients = access_key_clients(hass, data)
    assert clients is not None and clients.telemetry is not None
    try:
        has_usage = await clients.telemetry.has_usage(dt_util.utcnow())
    except ModelStudioError as err:
        LOGGER.debug("The usage of the last days can't be read: %s", err)
        return
    if not has_usage:
        raise InvalidInput({field: "no_usage"})
