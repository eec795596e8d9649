"""What a figure belongs to: the account, a model, a workspace or an API key."""

from collections.abc import Mapping
import re
from typing import Any
from zlib import crc32

from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import device_registry as dr

from .const import DOMAIN
from .model_studio import (
    AccountSnapshot,
    Dimension,
    GroupFigures,
    ModelUsage,
    SpendGroup,
)

type Owner = str | SpendGroup | None
"""The name of a model, or a group. None is the account."""

type Figures = AccountSnapshot | ModelUsage | GroupFigures

_DIMENSIONS = (Dimension.WORKSPACE, Dimension.API_KEY)
_LONGEST_SLUG = 150
"""Characters. With a longer slug, an ID could exceed the 255 that the recorder stores."""
_PLAIN = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")


def identifier(entry_id: str, owner: Owner) -> str:
    """Return the identifier of an owner's device.

    The unique IDs of its entities start with it.
    """
    if owner is None:
        return entry_id
    key = owner.key if isinstance(owner, SpendGroup) else f"model_{owner}"
    return f"{entry_id}_{key}"


def owner_of(entry_id: str, device: str) -> Owner:
    """Return the owner of the device with this identifier."""
    prefix = identifier(entry_id, "")
    if device.startswith(prefix):
        return device.removeprefix(prefix)
    for dimension in _DIMENSIONS:
        prefix = identifier(entry_id, SpendGroup(dimension=dimension, id=""))
        if device.startswith(prefix):
            return SpendGroup(dimension=dimension, id=device.removeprefix(prefix))
    return None


@callback
def devices_of(hass: HomeAssistant, entry_id: str) -> dict[Owner, str]:
    """Return the ID of the device of each model and group that has one."""
    return {
        owner_of(entry_id, identifier): device.id
        for device in dr.async_child_entries_for_config_entry(
            dr.async_get(hass), entry_id
        )
        for _, identifier in device.identifiers
    }


def figures_of(snapshot: AccountSnapshot, owner: Owner) -> Figures | None:
    """Return the figures of an owner, None without any."""
    if owner is None:
        return snapshot
    if isinstance(owner, SpendGroup):
        return snapshot.groups.get(owner)
    return snapshot.models.get(owner)


def changed_owners(before: AccountSnapshot, after: AccountSnapshot) -> set[Owner]:
    """Return the models and groups whose figures differ between two snapshots."""
    return {
        *_changed_keys(before.models, after.models),
        *_changed_keys(before.groups, after.groups),
    }


def _changed_keys[KeyT](
    before: Mapping[KeyT, Any], after: Mapping[KeyT, Any]
) -> set[KeyT]:
    """Return the keys whose values differ, or that only one of the two has."""
    changed = {key for key, value in after.items() if before.get(key) != value}
    return changed | (before.keys() - after.keys())


def bill_key(owner: Owner) -> str | None:
    """Return the key of a model or a group in the bill, None for the account."""
    return owner.id if isinstance(owner, SpendGroup) else owner


def dimension_of(owner: Owner) -> Dimension:
    """Return the dimension of the bills that have the spend of an owner."""
    return owner.dimension if isinstance(owner, SpendGroup) else Dimension.MODEL


def statistic_id(entry_id: str, currency: str, owner: Owner = None) -> str:
    """Return the ID of the spend statistic of an owner.

    Each currency has a statistic of its own.
    """
    parts = [entry_id.lower(), currency.lower(), "spend"]
    if isinstance(owner, SpendGroup):
        parts.insert(2, owner.dimension.name.lower())
    if (name := bill_key(owner)) is not None:
        slug = "_".join(re.findall("[a-z0-9]+", name.lower()))
        parts.append(slug[:_LONGEST_SLUG].rstrip("_"))
        if len(slug) > _LONGEST_SLUG or not _PLAIN.fullmatch(name):
            # Different names can have the same letters and digits.
            parts.append(f"{crc32(name.encode()):08x}")
    return f"{DOMAIN}:{'_'.join(filter(None, parts))}"
