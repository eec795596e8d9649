"""Steps of the config flow after the API key: the AccessKey and the models."""

from collections.abc import Iterable, Mapping
from itertools import chain, count
from typing import Any

import voluptuous as vol

from homeassistant.config_entries import (
    SOURCE_REAUTH,
    SOURCE_RECONFIGURE,
    ConfigFlow,
    ConfigFlowResult,
)
from homeassistant.const import CONF_BASE, CONF_REGION
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import AbortFlow
from homeassistant.exceptions import HomeAssistantError

from .account import Account, AlibabaCloudConfigEntry
from .const import (
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_BASE_URL,
    CONF_INSTANCE,
    CONF_MODELS,
    CONF_PROMETHEUS_URL,
    CONSOLES,
    DOMAIN,
    NO_INSTANCE,
    RAM_CONSOLES,
)
from .failures import describe, escape_markdown
from .model_studio import (
    BALANCE_ENDPOINTS,
    BILLING_ENDPOINT,
    REGIONS,
    AccountSnapshot,
    ModelStudioError,
    PrometheusInstance,
    SpendReport,
    UsageRates,
)
from .prometheus import async_check_usage, async_list_instances, async_use_instance
from .schemas import (
    access_key_schema,
    default_title,
    models_schema,
    prometheus_schema,
    region_of,
)
from .sources import Source, SourceCoordinator
from .validation import (
    CONF_ENDPOINTS,
    ENDPOINTS,
    AccessKeyResults,
    InvalidInput,
    async_validate_access_key,
    check_currency,
    check_permissions,
    is_same_account,
    source_errors,
    validate_access_key,
    validate_models,
)

ACCESS_KEY_DATA = (CONF_ACCESS_KEY_ID, CONF_ACCESS_KEY_SECRET, CONF_REGION, *ENDPOINTS)
"""The part of an entry's data that belongs to the AccessKey."""
WORKS, FAILS, NOT_USED = "✓", "✗", "–"
PLACEHOLDERS = {
    **CONSOLES,
    **RAM_CONSOLES,
    "billing_example": BILLING_ENDPOINT.format(region="ap-southeast-1"),
    "balance_example": BALANCE_ENDPOINTS[0],
    "url_example": REGIONS["cn-beijing"],
}


class AccessKeyFlow(ConfigFlow):
    """Handle the AccessKey and the models of an account."""

    _account: AccountSnapshot
    """The figures that the API key reads."""

    def __init__(self) -> None:
        """Start without input."""
        self._name = ""
        self._data: dict[str, str] = {}
        self._access_key: dict[str, str] = {}
        self._access_key_input: Mapping[str, Any] = {}
        self._results: AccessKeyResults = {}
        self._instances: tuple[PrometheusInstance, ...] | ModelStudioError = ()
        """The Prometheus instances to choose from, or why they can't be listed."""
        self._checked_url: str | None = None
        """The Prometheus without usage that the user was last asked about."""

    async def async_step_access_key(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for an AccessKey, which is optional."""
        if self.source == SOURCE_REAUTH:
            return await self.async_step_reauth_access_key()
        if self.source == SOURCE_RECONFIGURE:
            return await self.async_step_reconfigure_access_key()
        return await self._async_ask_access_key("access_key", user_input)

    async def async_step_reauth_access_key(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for another AccessKey of the same account."""
        return await self._async_ask_access_key("reauth_access_key", user_input)

    async def async_step_reconfigure_access_key(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for another AccessKey. An empty secret keeps the current one."""
        return await self._async_ask_access_key("reconfigure_access_key", user_input)

    async def async_step_partial_access(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Show which sources an AccessKey can read."""
        return self.async_show_menu(
            step_id="partial_access",
            menu_options=["accept_access_key", "access_key"],
            description_placeholders=PLACEHOLDERS
            | describe_access(self.hass, self._results, self._instances),
        )

    async def async_step_accept_access_key(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Continue with an AccessKey that can't read everything."""
        return await self._async_accept_access_key(self._access_key)

    async def async_step_prometheus(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the Prometheus instance that has the usage."""
        assert isinstance(self._instances, tuple)
        error = None
        if user_input is not None:
            try:
                return await self._async_choose_instance(user_input[CONF_INSTANCE])
            except InvalidInput as err:
                error = err
        return self._show_form(
            "prometheus",
            prometheus_schema(self._instances, self._access_key[CONF_REGION]),
            user_input,
            error,
        )

    async def async_step_models(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the models to follow. Those that were billed are selected.

        The API key reads limits only: all models that report usage would be none.
        """
        models = self._account.models
        billed = sorted(billed_models(self._results) & models.keys())
        error = None
        if user_input is not None:
            try:
                selected = validate_models(user_input, billed)
                return self._create_entry({CONF_MODELS: selected} if selected else {})
            except InvalidInput as err:
                error = err
        return self._show_form(
            "models",
            models_schema(
                models,
                follow_all=False,
                used=used_models(self._results),
                chosen=billed,
            ),
            user_input,
            error,
            count=str(len(models)),
        )

    async def _async_ask_access_key(
        self, step_id: str, user_input: dict[str, Any] | None
    ) -> ConfigFlowResult:
        """Ask for an AccessKey and where to use it."""
        data = self._entry.data if self._entry else self._data
        error = None
        if user_input is not None:
            self._access_key_input = user_input
            try:
                return await self._async_try_access_key(
                    validate_access_key(user_input, data)
                )
            except InvalidInput as err:
                error = err
        suggested = self._access_key_input or {
            **{
                key: data[key]
                for key in (CONF_ACCESS_KEY_ID, CONF_REGION)
                if key in data
            },
            CONF_ENDPOINTS: {key: data[key] for key in ENDPOINTS if key in data},
        }
        return self._show_form(
            step_id,
            access_key_schema(
                region_of(data[CONF_BASE_URL]),
                endpoints_open=bool(suggested.get(CONF_ENDPOINTS)),
            ),
            suggested,
            error,
            rejection=escape_markdown(
                next((str(s.error) for s in self._sources if s.rejects_access_key), "")
            ),
        )

    async def _async_try_access_key(
        self, access_key: dict[str, str]
    ) -> ConfigFlowResult:
        """Try an AccessKey, unless it is empty, and go to the next step.

        Raises `InvalidInput`.
        """
        self._results, self._instances = {}, ()
        if access_key:
            self._results = await async_validate_access_key(self.hass, access_key)
            if self.source == SOURCE_REAUTH:
                check_currency((s.data for s in self._sources), self._results)
            await self._async_check_usage(access_key, self._results, CONF_ENDPOINTS)
            instances = await async_list_instances(self.hass, access_key)
            if not instances or isinstance(instances, ModelStudioError):
                check_permissions(self.hass, self._results)
            self._access_key, self._instances = access_key, instances
            if source_errors(self._results) or isinstance(instances, ModelStudioError):
                return await self.async_step_partial_access()
        return await self._async_accept_access_key(access_key)

    async def _async_accept_access_key(
        self, access_key: dict[str, str]
    ) -> ConfigFlowResult:
        """Store an AccessKey. If there are Prometheus instances, ask for one first."""
        if self._instances and isinstance(self._instances, tuple):
            return await self.async_step_prometheus()
        return await self._async_store_access_key(access_key)

    async def _async_choose_instance(self, instance_id: str) -> ConfigFlowResult:
        """Store the AccessKey with the URL of an instance.

        Raises `InvalidInput` if the instance can't be read or has no usage, or if the user
        selected none and the AccessKey reads nothing else.
        """
        access_key, results = self._access_key, self._results
        if instance_id != NO_INSTANCE:
            access_key, rates = await async_use_instance(
                self.hass, access_key, instance_id
            )
            results = {**results, Source.RATES: rates}
        check_permissions(self.hass, results)
        await self._async_check_usage(access_key, results, CONF_INSTANCE)
        self._results = results
        return await self._async_store_access_key(access_key)

    async def _async_check_usage(
        self, access_key: Mapping[str, str], results: AccessKeyResults, field: str
    ) -> None:
        """Check once that a Prometheus which is new to the account has usage.

        A new account has none yet, so the user can submit the same Prometheus again.
        Raises `InvalidInput` for the field.
        """
        url = access_key.get(CONF_PROMETHEUS_URL)
        current = self._entry.data if self._entry else self._data
        if url not in (None, self._checked_url, current.get(CONF_PROMETHEUS_URL)):
            try:
                await async_check_usage(self.hass, access_key, results, field=field)
            except InvalidInput:
                self._checked_url = url
                raise

    async def _async_store_access_key(
        self, access_key: dict[str, str]
    ) -> ConfigFlowResult:
        """Store an AccessKey, or keep it until the entry is created."""
        if (entry := self._entry) is None:
            self._data |= access_key
            return await self.async_step_models()
        kept = {k: v for k, v in entry.data.items() if k not in ACCESS_KEY_DATA}
        return self.async_update_reload_and_abort(entry, data={**kept, **access_key})

    @property
    def _entry(self) -> AlibabaCloudConfigEntry | None:
        """The entry to change, None while one is created."""
        if self.source == SOURCE_REAUTH:
            return self._get_reauth_entry()
        if self.source == SOURCE_RECONFIGURE:
            return self._get_reconfigure_entry()
        return None

    @property
    def _sources(self) -> Iterable[SourceCoordinator[Any]]:
        """The AccessKey's sources of the account that is changed, while it is set up."""
        account: Account | None = getattr(self._entry, "runtime_data", None)
        return () if account is None else account.access_key_sources

    def _show_form(
        self,
        step_id: str,
        schema: vol.Schema,
        suggested: Mapping[str, Any] | None,
        error: InvalidInput | None,
        **placeholders: str,
    ) -> ConfigFlowResult:
        """Show a form, with the error if there is one."""
        return self.async_show_form(
            step_id=step_id,
            data_schema=self.add_suggested_values_to_schema(schema, suggested),
            errors=error.errors if error else {},
            description_placeholders=PLACEHOLDERS
            | placeholders
            | (error.placeholders if error else {}),
        )

    def _create_entry(self, options: dict[str, Any]) -> ConfigFlowResult:
        """Create the entry of an account."""
        self._refuse_same_account(self._data)
        return self.async_create_entry(
            title=self._name or self._unique_title(self._data[CONF_BASE_URL]),
            data=self._data,
            options=options,
        )

    def _unique_title(self, base_url: str) -> str:
        """Return a title for an account that no other account has."""
        taken = {entry.title for entry in self._async_current_entries()}
        title = default_title(base_url)
        names = chain([title], (f"{title} {number}" for number in count(2)))
        return next(name for name in names if name not in taken)

    def _refuse_same_account(self, data: Mapping[str, Any]) -> None:
        """Abort if another entry has the same key at the same host.

        A reauthentication raises `InvalidInput` instead, and so asks again. If it ended,
        Home Assistant would not ask for another key.
        """
        for entry in self._async_current_entries(include_ignore=False):
            if entry.entry_id != self.context.get("entry_id") and is_same_account(
                data, entry.data
            ):
                if self.source == SOURCE_REAUTH:
                    raise InvalidInput(
                        {CONF_BASE: "already_configured"}, account=entry.title
                    )
                raise AbortFlow("already_configured", {"account": entry.title})


def billed_models(results: AccessKeyResults) -> set[str]:
    """Return the models that were billed this month, even if the amount is unknown."""
    report = results.get(Source.SPEND)
    if not isinstance(report, SpendReport):
        return set()
    return {
        name
        for name, spend in report.groups.items()
        if spend.monthly is None or spend.monthly.amount
    }


def used_models(results: AccessKeyResults) -> set[str]:
    """Return the models that were billed this month or used just now."""
    rates = results.get(Source.RATES)
    models = rates.models if isinstance(rates, UsageRates) else {}
    return billed_models(results) | {
        name
        for name, rate in models.items()
        if rate.tokens_per_minute or rate.requests_per_minute
    }


def describe_access(
    hass: HomeAssistant,
    results: AccessKeyResults,
    instances: tuple[PrometheusInstance, ...] | ModelStudioError,
) -> dict[str, str]:
    """Return for each source whether the AccessKey reads it, as Markdown.

    `instances` are the Prometheus instances, or why they can't be listed.
    """
    access = {Source.SPEND: NOT_USED, Source.BALANCE: NOT_USED, Source.RATES: NOT_USED}
    if isinstance(instances, ModelStudioError):
        not_listed = HomeAssistantError(
            translation_domain=DOMAIN,
            translation_key="instances_not_listed",
            translation_placeholders={"error": describe(hass, instances)},
        )
        access[Source.RATES] += f" {escape_markdown(describe(hass, not_listed))}"
    access |= dict.fromkeys(results, WORKS)
    for source, error in source_errors(results).items():
        access[source] = f"{FAILS} {escape_markdown(describe(hass, error))}"
    return {source.value: text for source, text in access.items()}
