"""Set-up of an account: one check of the key for every step."""

import asyncio
from collections.abc import Collection, Mapping
import os
from typing import Any, override

import voluptuous as vol
from yarl import URL

from homeassistant.config_entries import (
    SOURCE_REAUTH,
    SOURCE_RECONFIGURE,
    ConfigFlow,
    ConfigFlowResult,
)
from homeassistant.const import CONF_API_KEY, CONF_REGION
from homeassistant.core import callback
from homeassistant.data_entry_flow import AbortFlow, section
from homeassistant.helpers.selector import (
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
    TextSelector,
    TextSelectorConfig,
    TextSelectorType,
)

from .const import (
    API_KEY_VARIABLES,
    BASE_URL_VARIABLES,
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_API_KEY_ENV,
    CONF_BALANCE_ENDPOINT,
    CONF_BASE_URL,
    CONF_BILLING_ENDPOINT,
    CONF_MODELS,
    CONF_PROMETHEUS_URL,
    CONF_WORKSPACE_ID,
    CONSOLES,
    DOMAIN,
    LOGGER,
    RAM_CONSOLES,
)
from .coordinator import AlibabaCloudConfigEntry, api_key_of
from .failures import FAILURES, describe, escape_markdown, form_error
from .model_studio import (
    BALANCE_ENDPOINTS,
    BILLING_ENDPOINT,
    DEFAULT_REGION,
    REGIONS,
    WORKSPACE_REGIONS,
    AccountSnapshot,
    AuthenticationError,
    ClockSkewError,
    InvalidURLError,
    InvalidWorkspaceError,
    ModelStudioClient,
    ModelStudioError,
    PermissionDeniedError,
    SpendReport,
    normalize_base_url,
    workspace_base_url,
)
from .options_flow import AlibabaCloudOptionsFlow, models_schema
from .reauth import CONF_REAUTH
from .sources import (
    INVALID_ACCESS_KEY,
    PERMISSIONS,
    Source,
    async_get_session,
    async_try_clients,
    clients_of,
    permissions,
)

WORKSPACE = "workspace"
"""Stands in the list of regions for the host of a workspace."""

CONF_ENDPOINTS = "endpoints"
ENDPOINTS = (CONF_BILLING_ENDPOINT, CONF_BALANCE_ENDPOINT, CONF_PROMETHEUS_URL)
ACCESS = (CONF_ACCESS_KEY_ID, CONF_ACCESS_KEY_SECRET, CONF_REGION, *ENDPOINTS)
"""What of an entry's data is about the AccessKey."""
SECRETS = (CONF_API_KEY, CONF_ACCESS_KEY_SECRET)

PASSWORD_SELECTOR = TextSelector(TextSelectorConfig(type=TextSelectorType.PASSWORD))
URL_SELECTOR = TextSelector(TextSelectorConfig(type=TextSelectorType.URL))
BASE_URL_SELECTOR = SelectSelector(
    SelectSelectorConfig(
        options=[*REGIONS, WORKSPACE],
        custom_value=True,
        mode=SelectSelectorMode.DROPDOWN,
        translation_key="base_url",
    )
)
REGION_SELECTOR = SelectSelector(
    SelectSelectorConfig(
        options=list(WORKSPACE_REGIONS),
        mode=SelectSelectorMode.DROPDOWN,
        translation_key="region",
    )
)


class AlibabaCloudConfigFlow(ConfigFlow, domain=DOMAIN):
    """Sets up an account, and mends it."""

    VERSION = 1

    _account: AccountSnapshot
    _data: dict[str, str]
    _region: str
    _credentials: dict[str, str]

    def __init__(self) -> None:
        """Start without an error to show."""
        self._errors: dict[str, str] = {}
        self._error = ""
        self._url = ""
        self._permission = ""
        self._failed = ""
        self._access: dict[str, str] = {}
        self._access_input: Mapping[str, Any] | None = None
        self._spending: list[str] = []

    @staticmethod
    @callback
    @override
    def async_get_options_flow(
        config_entry: AlibabaCloudConfigEntry,
    ) -> AlibabaCloudOptionsFlow:
        """Return the flow of the options."""
        return AlibabaCloudOptionsFlow()

    @override
    async def async_step_user(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Offer the key in the environment, where there is one."""
        if variable := _set_variable(API_KEY_VARIABLES):
            return self.async_show_menu(
                step_id="user",
                menu_options=["environment", "api_key"],
                description_placeholders={"variable": variable},
            )
        return await self.async_step_api_key()

    async def async_step_api_key(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Take a key that is typed in; the one there is, where it may stay."""
        suggested = user_input
        variable = ""
        if entry := self._entry:
            suggested = suggested or {
                CONF_BASE_URL: _region_or_url(entry.data[CONF_BASE_URL])
            }
        if user_input is not None:
            key = user_input.get(CONF_API_KEY, "").strip()
            credentials = {CONF_API_KEY: key}
            if entry and not key:
                credentials = _part(entry.data, (CONF_API_KEY, CONF_API_KEY_ENV))
                variable = credentials.get(CONF_API_KEY_ENV, "")
            if variable and not api_key_of(credentials):
                self._errors = {CONF_API_KEY: "environment_variable_missing"}
                self._error = ""
            elif done := await self._async_try(user_input, credentials):
                return done
        required = vol.Optional if entry else vol.Required
        return self._async_show(
            "api_key",
            {
                required(CONF_API_KEY): PASSWORD_SELECTOR,
                vol.Required(CONF_BASE_URL, default=DEFAULT_REGION): BASE_URL_SELECTOR,
            },
            suggested,
            variable=variable,
        )

    async def async_step_environment(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Set up an account with the key in the environment, which stays there."""
        variable = _set_variable(API_KEY_VARIABLES)
        if variable is None:
            self._errors, self._error = {}, ""
            return await self.async_step_api_key()
        if user_input is not None:
            if done := await self._async_try(user_input, {CONF_API_KEY_ENV: variable}):
                return done
        base_url = os.environ.get(_set_variable(BASE_URL_VARIABLES) or "", "").strip()
        return self._async_show(
            "environment",
            {
                vol.Required(
                    CONF_BASE_URL,
                    default=_region_or_url(base_url.rstrip("/")) or DEFAULT_REGION,
                ): BASE_URL_SELECTOR
            },
            user_input,
            variable=variable,
        )

    async def async_step_region(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Offer the region in which a key works that the chosen one rejects."""
        if user_input is not None:
            if done := await self._async_try(
                {CONF_BASE_URL: user_input[CONF_REGION]}, self._credentials
            ):
                return done
        return self._async_show(
            "region",
            {
                vol.Required(CONF_REGION, default=self._region): SelectSelector(
                    SelectSelectorConfig(
                        options=[self._region],
                        mode=SelectSelectorMode.LIST,
                        translation_key="region",
                    )
                )
            },
        )

    async def async_step_workspace(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Make the base URL of a workspace and its region; take another key if need be."""
        if user_input is not None:
            self._errors, self._error = {}, ""
            if key := user_input.get(CONF_API_KEY, "").strip():
                self._credentials = {CONF_API_KEY: key}
            try:
                base_url = workspace_base_url(
                    user_input[CONF_WORKSPACE_ID], user_input[CONF_REGION]
                )
            except InvalidWorkspaceError:
                self._errors = {CONF_WORKSPACE_ID: "invalid_workspace_id"}
            else:
                if done := await self._async_try(
                    {CONF_BASE_URL: base_url}, self._credentials
                ):
                    return done
        schema: dict[vol.Marker, Any] = {
            vol.Required(CONF_WORKSPACE_ID): TextSelector(),
            vol.Required(CONF_REGION, default=DEFAULT_REGION): REGION_SELECTOR,
        }
        if self._errors == {"base": "invalid_auth"}:
            # There is no way back to the form in which the key was entered.
            schema[vol.Optional(CONF_API_KEY)] = PASSWORD_SELECTOR
        return self._async_show("workspace", schema, user_input)

    async def async_step_access_key(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Take a read-only AccessKey, which reads money and usage; or none."""
        known = self._entry.data if self._entry else {}
        if user_input is not None:
            self._access_input = user_input
            if (access := self._access_of(user_input, known)) is not None:
                if done := await self._async_try_access(access):
                    return done
        base_url = known.get(CONF_BASE_URL) or self._data[CONF_BASE_URL]
        return self._async_show(
            "reauth_access_key" if self.source == SOURCE_REAUTH else "access_key",
            {
                vol.Optional(CONF_ACCESS_KEY_ID): TextSelector(),
                vol.Optional(CONF_ACCESS_KEY_SECRET): PASSWORD_SELECTOR,
                vol.Required(
                    CONF_REGION, default=_region_of(base_url)
                ): REGION_SELECTOR,
                # With a default, the frontend would show that instead of suggestions.
                vol.Optional(CONF_ENDPOINTS): section(
                    vol.Schema(
                        {vol.Optional(name): URL_SELECTOR for name in ENDPOINTS}
                    ),
                    {"collapsed": CONF_ENDPOINTS not in self._errors},
                ),
            },
            self._access_input or {**known, CONF_ENDPOINTS: _part(known, ENDPOINTS)},
            rejection=self._rejection,
        )

    async def async_step_partial_access(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Say what an AccessKey may not read, and offer to go on with it."""
        return self.async_show_menu(
            step_id="partial_access",
            menu_options=["accept_access_key", "access_key"],
            description_placeholders={"failed": self._failed},
        )

    async def async_step_accept_access_key(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Go on with an AccessKey that may not read all there is."""
        return await self._async_take_access(self._access)

    async def async_step_models(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let the user choose models, where the key reads nothing but their limits.

        Those that cost money this month are chosen to begin with.
        """
        if user_input is not None:
            return self._async_create(user_input)
        return self.async_show_form(
            step_id="models",
            data_schema=self.add_suggested_values_to_schema(
                models_schema(self._account.models), {CONF_MODELS: self._spending}
            ),
            description_placeholders={"count": str(len(self._account.models))},
        )

    async def async_step_reauth(
        self, entry_data: Mapping[str, Any]
    ) -> ConfigFlowResult:
        """Ask for a key in place of the one that is rejected."""
        if entry_data.get(CONF_REAUTH) == CONF_ACCESS_KEY_ID:
            return await self.async_step_reauth_access_key()
        return await self.async_step_reauth_confirm()

    async def async_step_reauth_access_key(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Take another AccessKey in place of the one that is rejected; or none."""
        return await self.async_step_access_key(user_input)

    async def async_step_reauth_confirm(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Take a new key for the account."""
        entry = self._get_reauth_entry()
        if user_input is not None:
            key = user_input[CONF_API_KEY].strip()
            if data := await self._async_check(entry.data, {CONF_API_KEY: key}):
                return self.async_update_reload_and_abort(
                    entry, data={**_part(entry.data, ACCESS), **data}
                )
        return self._async_show(
            "reauth_confirm", {vol.Required(CONF_API_KEY): PASSWORD_SELECTOR}
        )

    async def async_step_reconfigure(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Offer to change the API key and region, or the AccessKey."""
        return self.async_show_menu(
            step_id="reconfigure", menu_options=["api_key", "access_key"]
        )

    def _access_of(
        self, user_input: Mapping[str, Any], known: Mapping[str, Any]
    ) -> dict[str, str] | None:
        """Return what is to be stored of an AccessKey, nothing where none is wanted.

        A secret that is left empty stays. None if the form has an error to show.
        """
        self._errors, self._error, self._permission = {}, "", ""
        self._spending = []
        key_id = user_input.get(CONF_ACCESS_KEY_ID, "").strip()
        secret = user_input.get(CONF_ACCESS_KEY_SECRET, "").strip()
        # What worked in part is known as well, though it is not stored yet.
        for access_key in (known, self._access):
            if not secret and key_id and key_id == access_key.get(CONF_ACCESS_KEY_ID):
                secret = access_key[CONF_ACCESS_KEY_SECRET]
        if not (key_id or secret):
            return {}
        if not (key_id and secret):
            missing = CONF_ACCESS_KEY_SECRET if key_id else CONF_ACCESS_KEY_ID
            self._errors = {missing: "access_key_incomplete"}
            return None
        access = {
            CONF_ACCESS_KEY_ID: key_id,
            CONF_ACCESS_KEY_SECRET: secret,
            CONF_REGION: user_input[CONF_REGION],
        }
        for name, url in user_input.get(CONF_ENDPOINTS, {}).items():
            if url.strip():
                try:
                    access[name] = normalize_base_url(url)
                except InvalidURLError:
                    # The frontend shows an error at a section, but none within.
                    self._errors = {CONF_ENDPOINTS: f"invalid_{name}"}
                    return None
        return access

    async def _async_try_access(
        self, access: dict[str, str]
    ) -> ConfigFlowResult | None:
        """Return the next step of a flow whose AccessKey reads anything, or is none.

        None if the form has an error to show.
        """
        if (clients := clients_of(self.hass, access)) is None:
            return await self._async_take_access(access)
        try:
            results = await async_try_clients(clients)
        except Exception:
            LOGGER.exception("Unexpected error while trying the AccessKey")
            self._errors = {"base": "unknown"}
            return None
        failed = {
            source: err
            for source, err in results.items()
            if isinstance(err, ModelStudioError)
        }
        signed = [failed[s] for s in (Source.SPEND, Source.BALANCE) if s in failed]
        denied = {
            s: err
            for s, err in failed.items()
            if isinstance(err, PermissionDeniedError)
        }
        for error in (
            *(err for err in signed if isinstance(err, AuthenticationError)),
            *(err for err in signed if isinstance(err, ClockSkewError)),
            *(
                (*denied.values(), *failed.values())
                if len(failed) == len(results)
                else ()
            ),
        ):
            key = FAILURES[type(error)][1]
            if isinstance(error, AuthenticationError):
                key = INVALID_ACCESS_KEY
            self._errors, self._error = {"base": key}, describe(self.hass, error)
            self._permission = permissions(denied)
            return None
        report = results[Source.SPEND]
        if isinstance(report, SpendReport) and self._entry is None:
            self._spending = sorted(
                name
                for name, spend in report.models.items()
                if spend.monthly.amount and name in self._account.models
            )
        if not failed:
            return await self._async_take_access(access)
        self._access = access
        self._failed = "\n".join(
            f"- {PERMISSIONS[source]}: {escape_markdown(describe(self.hass, err))}"
            for source, err in failed.items()
        )
        return await self.async_step_partial_access()

    async def _async_take_access(self, access: dict[str, str]) -> ConfigFlowResult:
        """Go on with an AccessKey, or without one."""
        if (entry := self._entry) is None:
            self._data |= access
            return await self.async_step_models()
        kept = {key: value for key, value in entry.data.items() if key not in ACCESS}
        return self.async_update_reload_and_abort(entry, data={**kept, **access})

    @property
    def _rejection(self) -> str:
        """Why the service rejects the account's AccessKey, empty if that is not known."""
        coordinator = getattr(self._entry, "runtime_data", None)
        sources = coordinator.sources.values() if coordinator else ()
        return next(
            (
                escape_markdown(str(source.error))
                for source in sources
                if source.rejected
            ),
            "",
        )

    @property
    def _entry(self) -> AlibabaCloudConfigEntry | None:
        """The account that is mended, None while one is set up."""
        if self.source == SOURCE_REAUTH:
            return self._get_reauth_entry()
        if self.source == SOURCE_RECONFIGURE:
            return self._get_reconfigure_entry()
        return None

    async def _async_try(
        self, user_input: Mapping[str, Any], credentials: dict[str, str]
    ) -> ConfigFlowResult | None:
        """Return the next step of a flow whose key the service accepts.

        None if the form has an error to show. A key that a region of the list rejects
        is tried once in each of the others, as the form says.
        """
        if user_input[CONF_BASE_URL] == WORKSPACE:
            self._errors, self._credentials = {}, credentials
            return await self.async_step_workspace()
        if data := await self._async_check(user_input, credentials):
            if entry := self._entry:
                title = entry.title
                if title == _title(entry.data[CONF_BASE_URL]):
                    title = _title(data[CONF_BASE_URL])
                return self.async_update_reload_and_abort(
                    entry, title=title, data={**_part(entry.data, ACCESS), **data}
                )
            self._data = data
            if self._account.limits_only:
                return await self.async_step_access_key()
            return self._async_create({})
        chosen = user_input[CONF_BASE_URL]
        if self._errors == {"base": "invalid_auth"} and chosen in REGIONS:
            others = [region for region in REGIONS if region != chosen]
            if region := await self._async_find_region(others, credentials):
                self._errors, self._error = {}, ""
                self._region, self._credentials = region, credentials
                return await self.async_step_region()
        return None

    async def _async_find_region(
        self, regions: list[str], credentials: dict[str, str]
    ) -> str | None:
        """Return the first of these regions that accepts the key, with a request each."""
        results = await asyncio.gather(
            *(
                self._client(REGIONS[region], credentials).try_key()
                for region in regions
            ),
            return_exceptions=True,
        )
        return next(
            (
                region
                for region, result in zip(regions, results, strict=True)
                if result is None
            ),
            None,
        )

    def _client(
        self, base_url: str, credentials: Mapping[str, Any]
    ) -> ModelStudioClient:
        """Return a client for a key."""
        return ModelStudioClient(
            async_get_session(self.hass),
            base_url=base_url,
            api_key=api_key_of(credentials),
        )

    async def _async_check(
        self, user_input: Mapping[str, Any], credentials: dict[str, str]
    ) -> dict[str, str] | None:
        """Return the data of an entry whose key the service accepts.

        Otherwise None, and the form has an error to show. Aborts if another entry has
        the same key at the same host.
        """
        self._errors, self._error = {}, ""
        place = user_input[CONF_BASE_URL]
        try:
            base_url = normalize_base_url(REGIONS.get(place, place))
        except InvalidURLError:
            self._errors = {CONF_BASE_URL: "invalid_url"}
            return None
        self._url = base_url
        data = {CONF_BASE_URL: base_url, **credentials}
        self._async_abort_if_configured(data)
        try:
            self._account = await self._client(base_url, credentials).get_account()
        except ModelStudioError as err:
            self._errors = {"base": form_error(err)}
            self._error = describe(self.hass, err)
            return None
        except Exception:
            LOGGER.exception("Unexpected error while trying the API key")
            self._errors = {"base": "unknown"}
            return None
        # Another flow may have come first meanwhile.
        self._async_abort_if_configured(data)
        return data

    def _async_abort_if_configured(self, data: Mapping[str, Any]) -> None:
        """Abort if another entry has the same key at the same host."""
        if api_key_of(data) and any(
            _account(entry.data) == _account(data)
            for entry in self._async_current_entries(include_ignore=False)
            if entry.entry_id != self.context.get("entry_id")
        ):
            raise AbortFlow("already_configured")

    def _async_create(self, options: dict[str, Any]) -> ConfigFlowResult:
        """Create the entry."""
        self._async_abort_if_configured(self._data)
        return self.async_create_entry(
            title=_title(self._data[CONF_BASE_URL]), data=self._data, options=options
        )

    def _async_show(
        self,
        step_id: str,
        schema: dict[vol.Marker, Any],
        suggested: Mapping[str, Any] | None = None,
        **placeholders: str,
    ) -> ConfigFlowResult:
        """Show a form, with what was typed in before but for the key."""
        return self.async_show_form(
            step_id=step_id,
            data_schema=self.add_suggested_values_to_schema(
                vol.Schema(schema),
                {k: v for k, v in (suggested or {}).items() if k not in SECRETS},
            ),
            errors=self._errors,
            description_placeholders={
                "error": self._error,
                "url": self._url,
                "permission": self._permission,
                **CONSOLES,
                **RAM_CONSOLES,
                "billing_example": BILLING_ENDPOINT.format(region=DEFAULT_REGION),
                "balance_example": BALANCE_ENDPOINTS[0],
                **placeholders,
            },
        )


def _set_variable(names: tuple[str, ...]) -> str | None:
    """Return the first of these environment variables that is set."""
    return next((name for name in names if os.environ.get(name, "").strip()), None)


def _part(data: Mapping[str, Any], keys: Collection[str]) -> dict[str, Any]:
    """Return what data hold of these keys."""
    return {key: data[key] for key in keys if key in data}


def _account(data: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return what makes two entries the same account: the key, at the same host."""
    return URL(data[CONF_BASE_URL]).host, api_key_of(data)


def _title(base_url: str) -> str:
    """Return what an account is called at first: its region, workspace, else host."""
    place = _region_or_url(base_url)
    if place == base_url:
        place = URL(base_url).host or base_url
        place = place.removesuffix(".maas.aliyuncs.com")
    return f"Model Studio ({place})"


def _region_or_url(base_url: str) -> str:
    """Return the region that a base URL belongs to, else the URL."""
    return next((k for k, url in REGIONS.items() if url == base_url), base_url)


def _region_of(base_url: str) -> str:
    """Return the region that a host belongs to, the default one if it does not tell."""
    for region in WORKSPACE_REGIONS:
        if REGIONS.get(region) == base_url or f".{region}." in base_url:
            return region
    return DEFAULT_REGION
