"""The dashboard: a strategy for the frontend, loaded as a Lovelace resource."""

import hashlib
from pathlib import Path

from homeassistant.components.http import StaticPathConfig
from homeassistant.components.lovelace.const import CONF_RESOURCE_TYPE_WS, LOVELACE_DATA
from homeassistant.components.lovelace.resources import ResourceStorageCollection
from homeassistant.const import CONF_ID, CONF_URL
from homeassistant.core import HomeAssistant

from .const import DOMAIN

FRONTEND = Path(__file__).parent / "frontend"
"""The folder of the modules."""
MODULE_URL = f"/{DOMAIN}/dashboard.js"
"""The module that loads the others."""


async def async_serve_dashboard(hass: HomeAssistant) -> None:
    """Serve the modules. Dashboards in YAML mode list the resource themselves."""
    if "http" in hass.config.components:
        await hass.http.async_register_static_paths(
            [StaticPathConfig(f"/{DOMAIN}", str(FRONTEND))]
        )


async def async_add_dashboard(hass: HomeAssistant) -> None:
    """Add the module to the resources, or update its version there."""
    if (resources := _stored_resources(hass)) is None:
        return
    # Browsers cache a module for weeks. A new URL makes them load the new version. The
    # module loads the others with the query of its own URL.
    url = f"{MODULE_URL}?v={await hass.async_add_executor_job(_version)}"
    resource = await _async_find(resources)
    if resource is None:
        await resources.async_create_item(
            {CONF_RESOURCE_TYPE_WS: "module", CONF_URL: url}
        )
    elif resource[CONF_URL] != url:
        await resources.async_update_item(resource[CONF_ID], {CONF_URL: url})


async def async_remove_dashboard(hass: HomeAssistant) -> None:
    """Remove the module from the resources."""
    resources = _stored_resources(hass)
    if resources and (resource := await _async_find(resources)):
        await resources.async_delete_item(resource[CONF_ID])


def _version() -> str:
    """Return a text that differs if any of the modules does."""
    content = hashlib.sha256()
    for module in sorted(FRONTEND.glob("*.js")):
        content.update(module.read_bytes())
    return content.hexdigest()[:8]


def _stored_resources(hass: HomeAssistant) -> ResourceStorageCollection | None:
    """Return the resources, None if there are none or they are managed in YAML."""
    lovelace = hass.data.get(LOVELACE_DATA)
    resources = None if lovelace is None else lovelace.resources
    return resources if isinstance(resources, ResourceStorageCollection) else None


async def _async_find(resources: ResourceStorageCollection) -> dict[str, str] | None:
    """Return the resource of the module, None if there is none."""
    # This loads the resources if they are not loaded yet.
    await resources.async_get_info()
    for resource in resources.async_items():
        if resource[CONF_URL].partition("?")[0] == MODULE_URL:
            return resource
    return None
