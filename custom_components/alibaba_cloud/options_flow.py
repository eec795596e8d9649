"""Options flow: what to follow, the budget and alerts, and Assist."""

import asyncio
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, override

import voluptuous as vol

from homeassistant.config_entries import ConfigFlowResult, OptionsFlowWithReload
from homeassistant.const import CONF_BASE
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)
from homeassistant.loader import async_get_integration

from .account import Account
from .clients import access_key_clients, read_workspace_names
from .const import (
    CONF_ACCESS_KEY_ID,
    CONF_API_KEYS,
    CONF_ASSISTANT,
    CONF_DAILY_BUDGET,
    CONF_EXPIRY_DAYS,
    CONF_FORECAST_ALERT,
    CONF_LOW_BALANCE,
    CONF_LOW_CREDITS,
    CONF_MODEL_LEVELS,
    CONF_MODELS,
    CONF_MONTHLY_BUDGET,
    CONF_SPEND_LEVELS,
    CONF_UNUSUAL_SPEND,
    CONF_WEEKLY_BUDGET,
    CONF_WORKSPACE_NAMES,
    CONF_WORKSPACES,
    DOMAIN,
)
from .failures import describe
from .model_studio import (
    BillingClient,
    Granularity,
    ModelStudioError,
    ModelUsage,
    Money,
    group_totals,
)
from .options import DEFAULTS, GROUP_OPTIONS
from .schemas import groups_schema, models_schema
from .sources import billing_today
from .validation import (
    CONF_MORE_ALERTS,
    MOST_DAYS,
    InvalidInput,
    validate_alerts,
    validate_models,
)

BILLED_SINCE = timedelta(days=32)
"""From the first of this month back into the month before the last one.

Workspaces and API keys that were billed since the first of that month are offered.
"""
AMOUNTS = (CONF_MONTHLY_BUDGET, CONF_LOW_BALANCE)
MORE_AMOUNTS = (CONF_DAILY_BUDGET, CONF_WEEKLY_BUDGET)
MORE_NUMBERS = {
    CONF_LOW_CREDITS: int(DEFAULTS.low_credits),
    CONF_EXPIRY_DAYS: DEFAULTS.expiry_days,
}
LEVELS = {
    CONF_SPEND_LEVELS: DEFAULTS.spend_levels,
    CONF_MODEL_LEVELS: DEFAULTS.model_levels,
}


class AnyNumberSelector(NumberSelector):
    """A number field that accepts any text. The step validates it, so errors are translated."""

    @override
    def __call__(self, data: Any) -> Any:
        """Return the input."""
        return data


class AnyLevelsSelector(SelectSelector):
    """A list of numbers that accepts any text. The step validates it."""

    @override
    def __call__(self, data: Any) -> Any:
        """Return the input."""
        return data


class AlibabaCloudOptionsFlow(OptionsFlowWithReload):
    """Handle the options of an account."""

    def __init__(self) -> None:
        """Start without names."""
        self._workspace_names: Mapping[str, str] = {}

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Show the menu of options."""
        steps = ["models", "alerts", "assistant"]
        if self.config_entry.data.get(CONF_ACCESS_KEY_ID):
            steps.insert(1, "groups")
        return self.async_show_menu(step_id="init", menu_options=steps)

    @property
    def _account(self) -> Account | None:
        """The account, if it is set up."""
        return getattr(self.config_entry, "runtime_data", None)

    def _save(self, options: Mapping[str, Any]) -> ConfigFlowResult:
        """Store options. None removes one. Options of other steps stay."""
        kept = {**self.config_entry.options, **options}
        return self.async_create_entry(
            data={key: value for key, value in kept.items() if value is not None}
        )

    async def async_step_models(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the models to follow."""
        account = self._account
        if account is None or account.last_quotas is None:
            return self.async_abort(reason="nothing_read")
        chosen = self.config_entry.options.get(CONF_MODELS, [])
        errors: dict[str, str] = {}
        if user_input is not None:
            try:
                return self._save({CONF_MODELS: validate_models(user_input, chosen)})
            except InvalidInput as err:
                errors = err.errors
        models = account.last_quotas.models
        used = {m.name for m in account.snapshot.models.values() if _is_used(m)}
        schema = models_schema(models, used=used, chosen=chosen)
        return self.async_show_form(
            step_id="models",
            data_schema=self.add_suggested_values_to_schema(schema, user_input),
            errors=errors,
            description_placeholders={"count": str(len(models))},
        )

    async def async_step_groups(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the workspaces and API keys to follow, of those that were billed."""
        options = self.config_entry.options
        if user_input is not None:
            return self._save(self._groups(user_input))
        clients = access_key_clients(self.hass, self.config_entry.data)
        assert clients is not None
        today = billing_today()
        since = (today.replace(day=1) - BILLED_SINCE).replace(day=1)
        errors: dict[str, str] = {}
        placeholders = {"since": since.isoformat()}
        billed: Mapping[str, Mapping[str, Money | None]]
        try:
            billed, self._workspace_names = await asyncio.gather(
                async_billed_groups(clients.billing, since, today),
                read_workspace_names(clients.workspaces),
            )
        except ModelStudioError as err:
            billed = {key: {} for key in GROUP_OPTIONS.values()}
            errors = {CONF_BASE: "bill_not_read"}
            placeholders["error"] = describe(self.hass, err)
        return self.async_show_form(
            step_id="groups",
            data_schema=groups_schema(
                billed,
                self._known_names,
                {key: options.get(key, []) for key in GROUP_OPTIONS.values()},
            ),
            errors=errors,
            description_placeholders=placeholders,
        )

    @property
    def _known_names(self) -> Mapping[str, str]:
        """The names of workspaces, as they were read now or before."""
        stored = self.config_entry.options.get(CONF_WORKSPACE_NAMES, {})
        return {**stored, **self._workspace_names}

    def _groups(self, user_input: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of the groups that the user selected."""
        names = self._known_names
        selected = user_input.get(CONF_WORKSPACES, [])
        return {
            CONF_WORKSPACES: selected or None,
            CONF_API_KEYS: user_input.get(CONF_API_KEYS) or None,
            CONF_WORKSPACE_NAMES: {i: names[i] for i in selected if i in names} or None,
        }

    async def async_step_alerts(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the budget and the levels of alerts."""
        errors: dict[str, str] = {}
        options = self.config_entry.options
        suggested = user_input
        if user_input is not None:
            try:
                return self._save(validate_alerts(user_input))
            except InvalidInput as err:
                errors = err.errors
        else:
            suggested = {
                **{key: options.get(key) for key in AMOUNTS},
                **{
                    key: [str(level) for level in options.get(key, levels)]
                    for key, levels in LEVELS.items()
                },
                CONF_FORECAST_ALERT: options.get(
                    CONF_FORECAST_ALERT, DEFAULTS.forecast_alert
                ),
                CONF_MORE_ALERTS: {
                    **{key: options.get(key) for key in MORE_AMOUNTS},
                    CONF_UNUSUAL_SPEND: options.get(
                        CONF_UNUSUAL_SPEND, DEFAULTS.unusual_spend
                    ),
                    # An alert that is turned off is shown as an empty field.
                    **{
                        key: options.get(key, default) or None
                        for key, default in MORE_NUMBERS.items()
                    },
                },
            }
        integration = await async_get_integration(self.hass, DOMAIN)
        return self.async_show_form(
            step_id="alerts",
            data_schema=self.add_suggested_values_to_schema(
                _alerts_schema(self._currency), suggested
            ),
            errors=errors,
            description_placeholders={
                "blueprints": f"{integration.documentation}#blueprints"
            },
        )

    async def async_step_assistant(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask whether Assist may read the account."""
        if user_input is not None:
            return self._save(user_input)
        return self.async_show_form(
            step_id="assistant",
            data_schema=self.add_suggested_values_to_schema(
                vol.Schema({vol.Required(CONF_ASSISTANT): BooleanSelector()}),
                {CONF_ASSISTANT: self.config_entry.options.get(CONF_ASSISTANT, False)},
            ),
        )

    @property
    def _currency(self) -> str | None:
        """The account's currency, None if it is unknown."""
        if (account := self._account) is None:
            return None
        figures = account.snapshot
        money = figures.monthly_spend or figures.available_balance
        return money.currency if money else None


async def async_billed_groups(
    billing: BillingClient, start: date, end: date
) -> dict[str, Mapping[str, Money | None]]:
    """Return the spend of each workspace and API key in some months, by option and ID.

    Raises as `BillingClient.get_trend`.
    """
    trends = await asyncio.gather(
        *(
            billing.get_trend(
                start, end, granularity=Granularity.MONTH, group_by=dimension
            )
            for dimension in GROUP_OPTIONS
        )
    )
    return dict(zip(GROUP_OPTIONS.values(), map(group_totals, trends), strict=True))


def _is_used(model: ModelUsage) -> bool:
    """Return whether a model was billed or used in this period."""
    spend = model.monthly_spend
    return bool(
        (spend and spend.amount)
        or model.used
        or model.tokens
        or model.requests
        or model.tokens_per_minute
        or model.requests_per_minute
    )


def _alerts_schema(currency: str | None) -> vol.Schema:
    """Return the form of the alerts, with amounts in the account's currency."""
    amount = NumberSelectorConfig(min=0, step="any", mode=NumberSelectorMode.BOX)
    if currency:
        amount["unit_of_measurement"] = currency
    return vol.Schema(
        {
            vol.Optional(CONF_MONTHLY_BUDGET): AnyNumberSelector(amount),
            vol.Optional(
                CONF_SPEND_LEVELS, default=_offered(CONF_SPEND_LEVELS)
            ): _levels_selector(CONF_SPEND_LEVELS),
            vol.Required(CONF_FORECAST_ALERT, default=True): BooleanSelector(),
            vol.Optional(CONF_LOW_BALANCE): AnyNumberSelector(amount),
            vol.Optional(
                CONF_MODEL_LEVELS, default=_offered(CONF_MODEL_LEVELS)
            ): _levels_selector(CONF_MODEL_LEVELS),
            # With a default, the frontend would show that instead of suggestions.
            vol.Optional(CONF_MORE_ALERTS): section(
                vol.Schema(
                    {
                        vol.Optional(CONF_DAILY_BUDGET): AnyNumberSelector(amount),
                        vol.Optional(CONF_WEEKLY_BUDGET): AnyNumberSelector(amount),
                        vol.Required(
                            CONF_UNUSUAL_SPEND, default=True
                        ): BooleanSelector(),
                        vol.Optional(CONF_LOW_CREDITS): AnyNumberSelector(
                            NumberSelectorConfig(
                                min=0,
                                max=100,
                                step="any",
                                mode=NumberSelectorMode.BOX,
                                unit_of_measurement="%",
                            )
                        ),
                        vol.Optional(CONF_EXPIRY_DAYS): AnyNumberSelector(
                            NumberSelectorConfig(
                                min=0, max=MOST_DAYS, mode=NumberSelectorMode.BOX
                            )
                        ),
                    }
                ),
                {"collapsed": True},
            ),
        }
    )


def _levels_selector(key: str) -> SelectSelector:
    """Return a selector of levels that suggests common ones."""
    return AnyLevelsSelector(
        SelectSelectorConfig(
            options=_offered(key),
            multiple=True,
            custom_value=True,
            mode=SelectSelectorMode.DROPDOWN,
        )
    )


def _offered(key: str) -> list[str]:
    """Return the suggested levels."""
    return [str(level) for level in LEVELS[key]]
