"""The devices of an account: its own, and those of models and groups."""

import asyncio

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr
from homeassistant.helpers.device_registry import ChildDeviceInfo

from .account import Account, AlibabaCloudConfigEntry
from .const import CONF_BASE_URL, CONF_MODELS, DOMAIN, console_url
from .model_studio import QuotasKind, SpendGroup, plain_text
from .options import group_name
from .owners import Owner, devices_of

_BATCH = 5
"""Devices that are removed without a pause. Their entities are removed with them."""


@callback
def async_is_registered(hass: HomeAssistant, entry: AlibabaCloudConfigEntry) -> bool:
    """Return whether an account was set up before."""
    device = dr.async_get(hass).async_get_device_by_identifier(
        (DOMAIN, entry.entry_id), entry.entry_id
    )
    return device is not None


@callback
def async_register(hass: HomeAssistant, entry: AlibabaCloudConfigEntry) -> None:
    """Register the device of an account, the parent of its other devices."""
    dr.async_get(hass).async_get_or_create(
        config_entry_id=entry.entry_id,
        identifiers={(DOMAIN, entry.entry_id)},
        name=entry.title,
        manufacturer="Alibaba Cloud",
        model="Model Studio",
        entry_type=dr.DeviceEntryType.SERVICE,
        configuration_url=console_url(entry.data[CONF_BASE_URL]),
    )


@callback
def async_device_id(account: Account, owner: Owner = None) -> str:
    """Return the ID of an owner's device, or of the account's if it has none."""
    registry, entry_id = dr.async_get(account.hass), account.entry.entry_id
    if owner is not None:
        child = registry.async_get_child_device_by_identifier(
            (DOMAIN, account.identifier(owner)), entry_id
        )
        if child:
            return child.id
    device = registry.async_get_device_by_identifier((DOMAIN, entry_id), entry_id)
    assert device
    return device.id


@callback
def async_own_device_id(account: Account, owner: Owner) -> str:
    """Return the ID of an owner's device, which is registered if it is not yet.

    Entities are added in batches, and the device of a model with its first entity. An
    alert about the model can be sent before that.
    """
    if owner is not None and (owner in account.models or owner in account.groups):
        device = dr.async_get(account.hass).async_get_or_create_child(
            config_entry_id=account.entry.entry_id,
            **async_child_device_info(account, owner),
        )
        return device.id
    return async_device_id(account, owner)


@callback
def async_child_device_info(
    account: Account, owner: str | SpendGroup
) -> ChildDeviceInfo:
    """Return the device of a model or a group.

    A group without a known name is named by its ID in Home Assistant's language.
    """
    info = ChildDeviceInfo(
        identifiers={(DOMAIN, account.identifier(owner))},
        parent_device_id=async_device_id(account),
    )
    if not isinstance(owner, SpendGroup):
        info["name"] = plain_text(owner) or None
    elif name := group_name(account.entry.options, owner):
        info["name"] = name
    else:
        info["translation_key"] = owner.dimension.name.lower()
        info["translation_placeholders"] = {"id": plain_text(owner.id)}
    return info


@callback
def async_remove_gone(account: Account) -> None:
    """Remove outdated devices, now and whenever figures change."""
    removal: asyncio.Task[None] | None = None

    @callback
    def update() -> None:
        nonlocal removal
        is_removing = removal is not None and not removal.done()
        if account.quotas.report is None or is_removing:
            return
        if _devices_to_remove(account):
            removal = account.entry.async_create_background_task(
                account.hass, _async_remove(account), f"{account.entry.title} devices"
            )

    update()
    account.entry.async_on_unload(account.async_add_listener(update))


async def _async_remove(account: Account) -> None:
    """Remove outdated devices, in batches.

    Devices that are left at an unload are removed after the next setup.
    """
    registry = dr.async_get(account.hass)
    while gone := _devices_to_remove(account)[:_BATCH]:
        for device_id in gone:
            registry.async_remove_device(device_id)
        await asyncio.sleep(0)


def _devices_to_remove(account: Account) -> list[str]:
    """Return the devices of models and groups that are outdated.

    A group is outdated if the user does not follow it, and a model if it is not chosen or
    no longer listed. Only a complete answer shows that a model is no longer listed.
    """
    quotas = account.last_quotas
    assert quotas is not None
    devices = devices_of(account.hass, account.entry.entry_id)
    models = {owner for owner in devices if isinstance(owner, str)}
    gone: set[Owner] = devices.keys() - models - set(account.groups)
    if quotas.models_complete:
        gone |= models - quotas.models.keys()
    # With usage, an empty choice means all models. With limits only, it means none.
    if account.chosen_models or (
        quotas.quotas_kind is QuotasKind.LIMITS and CONF_MODELS in account.entry.options
    ):
        gone |= models - set(account.chosen_models)
    return [device_id for owner, device_id in devices.items() if owner in gone]
