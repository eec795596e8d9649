"""Options flow: what to follow, the budget and alerts, and Assist."""

from collections.abc import Collection, Mapping
from typing import Any, override

import voluptuous as vol

from homeassistant.config_entries import ConfigFlowResult
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)
from homeassistant.loader import async_get_integration

from .const import (
    CONF_ACCESS_KEY_ID,
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
    DOMAIN,
)
from .groups_flow import AnyNumberSelector, GroupsFlow, amount_config
from .model_studio import ModelUsage
from .options import OPTION_DEFAULTS, followed_groups
from .options_validation import (
    CONF_MORE_ALERTS,
    MORE_ALERTS,
    MOST_DAYS,
    PREPAID_ALERTS,
    validate_alerts,
)
from .schemas import models_schema
from .validation import InvalidInput, validate_models


class AnyLevelsSelector(SelectSelector):
    """A list of numbers that accepts any text. The step validates it."""

    @override
    def __call__(self, data: Any) -> Any:
        """Return the input."""
        return data


class AlibabaCloudOptionsFlow(GroupsFlow):
    """Handle the options of an account."""

    @property
    def _has_access_key(self) -> bool:
        """Whether the account has an AccessKey."""
        return bool(self.config_entry.data.get(CONF_ACCESS_KEY_ID))

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Show the menu of options."""
        steps = ["models", "alerts", "assistant"]
        if self._has_access_key or followed_groups(self.config_entry.options):
            steps.insert(1, "groups")
        return self.async_show_menu(step_id="init", menu_options=steps)

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
                selected = validate_models(user_input, chosen)
            except InvalidInput as err:
                errors = err.errors
            else:
                # No choice at all is not the same as a stored empty one.
                return self._save({} if selected == chosen else {CONF_MODELS: selected})
        models = account.last_quotas.models
        used = {m.name for m in account.snapshot.models.values() if _is_used(m)}
        schema = models_schema(models, follow_all=not chosen, used=used, chosen=chosen)
        return self.async_show_form(
            step_id="models",
            data_schema=self.add_suggested_values_to_schema(schema, user_input),
            errors=errors,
            description_placeholders={"count": str(len(models))},
        )

    async def async_step_alerts(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for the budget and the levels of alerts."""
        errors: dict[str, str] = {}
        hidden = () if self._has_access_key else PREPAID_ALERTS
        if user_input is not None:
            try:
                options = validate_alerts(user_input)
            except InvalidInput as err:
                errors = err.errors
            else:
                # A hidden field is not an empty one: its option stays as it is.
                return self._save({k: v for k, v in options.items() if k not in hidden})
        integration = await async_get_integration(self.hass, DOMAIN)
        return self.async_show_form(
            step_id="alerts",
            data_schema=self.add_suggested_values_to_schema(
                _alerts_schema(self._currency, hidden),
                user_input or _suggested_alerts(self.config_entry.options),
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


def _is_used(model: ModelUsage) -> bool:
    """Return whether a model was billed or used in this period."""
    spend = model.monthly_spend
    numbers = (
        None if spend is None else spend.amount,
        model.used,
        model.tokens,
        model.requests,
        model.tokens_per_minute,
        model.requests_per_minute,
    )
    return any(numbers)


def _suggested_alerts(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the form of the alerts shows at first."""
    current = {**OPTION_DEFAULTS, **options}
    return {
        CONF_MONTHLY_BUDGET: current.get(CONF_MONTHLY_BUDGET),
        CONF_SPEND_LEVELS: list(map(str, current[CONF_SPEND_LEVELS])),
        CONF_FORECAST_ALERT: current[CONF_FORECAST_ALERT],
        CONF_LOW_BALANCE: current.get(CONF_LOW_BALANCE),
        CONF_MODEL_LEVELS: list(map(str, current[CONF_MODEL_LEVELS])),
        CONF_MORE_ALERTS: {
            CONF_UNUSUAL_SPEND: current[CONF_UNUSUAL_SPEND],
            # An alert that is turned off is shown as an empty field.
            **{key: current.get(key) or None for key in MORE_ALERTS},
        },
    }


def _alerts_schema(currency: str | None, hidden: Collection[str]) -> vol.Schema:
    """Return the form of the alerts, with amounts in the account's currency."""
    amount = amount_config(currency)
    more: dict[vol.Marker, Any] = {
        vol.Optional(CONF_DAILY_BUDGET): AnyNumberSelector(amount),
        vol.Optional(CONF_WEEKLY_BUDGET): AnyNumberSelector(amount),
        vol.Required(CONF_UNUSUAL_SPEND, default=True): BooleanSelector(),
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
            NumberSelectorConfig(min=1, max=MOST_DAYS, mode=NumberSelectorMode.BOX)
        ),
    }
    shown = {key: selector for key, selector in more.items() if key not in hidden}
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
                vol.Schema(shown), {"collapsed": True}
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
    return list(map(str, OPTION_DEFAULTS[key]))
