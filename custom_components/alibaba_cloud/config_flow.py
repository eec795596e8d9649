"""Config flow to set up, reauthenticate and reconfigure an account."""

from collections.abc import Mapping
from contextlib import suppress
import os
from typing import Any, override

from homeassistant.config_entries import SOURCE_RECONFIGURE, ConfigFlowResult
from homeassistant.const import (
    CONF_API_KEY,
    CONF_BASE,
    CONF_NAME,
    CONF_REGION,
    CONF_URL,
)
from homeassistant.core import callback

from .access_key_flow import ACCESS_KEY_DATA, AccessKeyFlow
from .account import Account, AlibabaCloudConfigEntry
from .const import (
    API_KEY_VARIABLES,
    BASE_URL_VARIABLES,
    CONF_ACCESS_KEY_ID,
    CONF_API_KEY_ENV,
    CONF_BASE_URL,
    CONF_WORKSPACE_ID,
    DOMAIN,
)
from .model_studio import REGIONS, QuotasKind
from .options_flow import AlibabaCloudOptionsFlow
from .reauth import CONF_REAUTH
from .schemas import (
    API_KEY_SCHEMA,
    ENVIRONMENT_SCHEMA,
    PLACE_URL,
    PLACE_WORKSPACE,
    REAUTH_SCHEMA,
    RECONFIGURE_SCHEMA,
    URL_SCHEMA,
    WORKSPACE_SCHEMA,
    default_title,
    place_of,
    region_schema,
)
from .validation import (
    InvalidInput,
    async_find_region,
    async_validate_api_key,
    check_models,
    validate_credentials,
    validate_url,
    validate_workspace,
)


class AlibabaCloudConfigFlow(AccessKeyFlow, domain=DOMAIN):
    """Handle the config flow of an account."""

    VERSION = 1

    _region: str
    """The region to offer instead of the one that rejects the API key."""

    def __init__(self) -> None:
        """Start without input."""
        super().__init__()
        self._credentials: Mapping[str, str] = {}
        self._base_url = ""
        self._checked_data: dict[str, str] = {}
        """The API key and its host whose models were last compared."""

    @staticmethod
    @callback
    @override
    def async_get_options_flow(
        config_entry: AlibabaCloudConfigEntry,
    ) -> AlibabaCloudOptionsFlow:
        """Return the options flow."""
        return AlibabaCloudOptionsFlow()

    @override
    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Offer the API key of the environment, if there is one."""
        if variable := _first_set(API_KEY_VARIABLES):
            return self.async_show_menu(
                step_id="user",
                menu_options=["environment", "api_key"],
                description_placeholders={"variable": variable},
            )
        return await self.async_step_api_key()

    async def async_step_api_key(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for an API key and its region."""
        if self.source == SOURCE_RECONFIGURE:
            return await self.async_step_reconfigure_api_key()
        error = None
        if user_input is not None:
            self._credentials = {CONF_API_KEY: user_input[CONF_API_KEY].strip()}
            try:
                return await self._async_try_place(user_input)
            except InvalidInput as err:
                error = err
        return self._show_form(
            "api_key",
            API_KEY_SCHEMA,
            user_input or self._suggested_account,
            error,
        )

    async def async_step_environment(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Use the API key of an environment variable. The key is not stored."""
        if (variable := _first_set(API_KEY_VARIABLES)) is None:
            return await self.async_step_api_key()
        error = None
        if url := _first_set(BASE_URL_VARIABLES):
            with suppress(InvalidInput):
                self._base_url = validate_url(os.environ[url])
        if user_input is not None:
            self._credentials = {CONF_API_KEY_ENV: variable}
            try:
                return await self._async_try_place(user_input)
            except InvalidInput as err:
                error = err
        return self._show_form(
            "environment",
            ENVIRONMENT_SCHEMA,
            user_input or self._suggested_account,
            error,
            variable=variable,
        )

    async def async_step_url(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for a base URL."""
        error = None
        if user_input is not None:
            try:
                base_url = validate_url(user_input[CONF_URL])
                self._credentials = validate_credentials(user_input, self._credentials)
                return await self._async_try_api_key(base_url)
            except InvalidInput as err:
                error = err
        _, suggested = place_of(self._suggested_url)
        return self._show_form("url", URL_SCHEMA, user_input or suggested, error)

    async def async_step_workspace(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for a workspace with a host of its own."""
        error = None
        if user_input is not None:
            try:
                base_url = validate_workspace(
                    user_input[CONF_WORKSPACE_ID], user_input[CONF_REGION]
                )
                self._credentials = validate_credentials(user_input, self._credentials)
                return await self._async_try_api_key(base_url)
            except InvalidInput as err:
                error = err
        _, suggested = place_of(self._suggested_url)
        return self._show_form(
            "workspace", WORKSPACE_SCHEMA, user_input or suggested, error
        )

    async def async_step_region(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Offer the region that accepts the API key instead of the selected one."""
        error = None
        if user_input is not None:
            try:
                return await self._async_try_api_key(REGIONS[self._region])
            except InvalidInput as err:
                error = err
        return self._show_form("region", region_schema(self._region), None, error)

    async def async_step_reauth(
        self, entry_data: Mapping[str, Any]
    ) -> ConfigFlowResult:
        """Ask for the key that was rejected."""
        if entry_data.get(CONF_REAUTH) == CONF_ACCESS_KEY_ID:
            return await self.async_step_reauth_access_key()
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for another API key of the same account."""
        error = None
        if user_input is not None:
            self._credentials = {CONF_API_KEY: user_input[CONF_API_KEY].strip()}
            try:
                return await self._async_try_api_key(
                    self._get_reauth_entry().data[CONF_BASE_URL]
                )
            except InvalidInput as err:
                error = err
        return self._show_form("reauth_confirm", REAUTH_SCHEMA, user_input, error)

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Offer to change the API key and region, or the AccessKey."""
        return self.async_show_menu(
            step_id="reconfigure",
            menu_options=["api_key", "access_key"],
            description_placeholders={"account": self._get_reconfigure_entry().title},
        )

    async def async_step_reconfigure_api_key(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for another API key or region. An empty key keeps the current one."""
        data = self._get_reconfigure_entry().data
        self._base_url = data[CONF_BASE_URL]
        error = None
        if user_input is not None:
            try:
                self._credentials = validate_credentials(user_input, data)
                return await self._async_try_place(user_input)
            except InvalidInput as err:
                error = err
        return self._show_form(
            "reconfigure_api_key",
            RECONFIGURE_SCHEMA,
            user_input or {CONF_BASE_URL: place_of(self._base_url)[0]},
            error,
        )

    async def _async_try_place(self, user_input: Mapping[str, Any]) -> ConfigFlowResult:
        """Try the API key in a region, or ask for the workspace or URL to try it at.

        Raises `InvalidInput`.
        """
        name = user_input.get(CONF_NAME, "").strip()
        # A suggested name that was not changed follows the selected region.
        self._name = "" if name == self._suggested_account[CONF_NAME] else name
        place = user_input[CONF_BASE_URL]
        if place == PLACE_URL:
            return await self.async_step_url()
        if place == PLACE_WORKSPACE:
            return await self.async_step_workspace()
        try:
            return await self._async_try_api_key(REGIONS[place])
        except InvalidInput as err:
            if err.errors != {CONF_BASE: "invalid_auth"}:
                raise
            region = await async_find_region(self.hass, self._credentials, place)
            if region is None:
                raise
        self._region = region
        return await self.async_step_region()

    async def _async_try_api_key(self, base_url: str) -> ConfigFlowResult:
        """Try the API key at a host, and go to the next step. Raises `InvalidInput`."""
        data = {CONF_BASE_URL: base_url, **self._credentials}
        self._refuse_same_account(data)
        account = await async_validate_api_key(self.hass, data)
        # Another flow may have finished in the meantime.
        self._refuse_same_account(data)
        if (entry := self._entry) is not None:
            # At another host, all figures are new. A key of another workspace may list
            # other models, so the user can submit the same key again.
            if base_url == entry.data[CONF_BASE_URL] and data != self._checked_data:
                self._checked_data = data
                known: Account | None = getattr(entry, "runtime_data", None)
                check_models(None if known is None else known.last_quotas, account)
            return self._update_entry(entry, data)
        self._data, self._account = data, account
        if account.quotas_kind is QuotasKind.LIMITS:
            return await self.async_step_access_key()
        return self._create_entry({})

    def _update_entry(
        self, entry: AlibabaCloudConfigEntry, data: dict[str, str]
    ) -> ConfigFlowResult:
        """Store an API key and its host. A suggested title follows the region."""
        title = entry.title
        base_url = entry.data[CONF_BASE_URL]
        if data[CONF_BASE_URL] != base_url and title == default_title(base_url):
            title = self._unique_title(data[CONF_BASE_URL])
        kept = {key: entry.data[key] for key in ACCESS_KEY_DATA if key in entry.data}
        return self.async_update_reload_and_abort(
            entry, title=title, data={**kept, **data}
        )

    @property
    def _suggested_url(self) -> str:
        """The base URL that the forms suggest."""
        if self._base_url:
            return self._base_url
        # Most accounts are in China, so that is suggested unless the country differs.
        country = self.hass.config.country
        is_elsewhere = country is not None and country != "CN"
        return REGIONS["ap-southeast-1" if is_elsewhere else "cn-beijing"]

    @property
    def _suggested_account(self) -> dict[str, str]:
        """What the form of a new account suggests."""
        return {
            CONF_NAME: self._unique_title(self._suggested_url),
            CONF_BASE_URL: place_of(self._suggested_url)[0],
        }


def _first_set(names: tuple[str, ...]) -> str | None:
    """Return the first of these environment variables that is set."""
    return next((name for name in names if os.environ.get(name, "").strip()), None)
