"""What can be chosen of an account that is set up."""

from collections.abc import Collection, Mapping
from decimal import Decimal, InvalidOperation
import re
from typing import Any, override

import voluptuous as vol

from homeassistant.config_entries import ConfigFlowResult, OptionsFlowWithReload
from homeassistant.helpers.selector import (
    BooleanSelector,
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
    SelectOptionDict,
    SelectSelector,
    SelectSelectorConfig,
    SelectSelectorMode,
)

from .alerting import DEFAULTS
from .const import (
    CONF_ASSISTANT,
    CONF_FORECAST_ALERT,
    CONF_LOW_BALANCE,
    CONF_MODEL_LEVELS,
    CONF_MODELS,
    CONF_MONTHLY_BUDGET,
    CONF_SPEND_LEVELS,
    HIGHEST_LEVEL,
)
from .coordinator import AlibabaCloudCoordinator
from .model_studio import ModelUsage, plain_text

AMOUNTS = (CONF_MONTHLY_BUDGET, CONF_LOW_BALANCE)
LEVELS = {
    CONF_SPEND_LEVELS: DEFAULTS.spend_levels,
    CONF_MODEL_LEVELS: DEFAULTS.model_levels,
}
MOST_LEVELS = 10
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d{1,2}$)")
"""Not one between thousands."""


class AnyNumberSelector(NumberSelector):
    """A number field whose content is judged by the step: its errors are translated."""

    @override
    def __call__(self, data: Any) -> Any:
        """Return what was entered."""
        return data


class AnyLevelsSelector(SelectSelector):
    """A list of numbers that can be added to, judged by the step likewise."""

    @override
    def __call__(self, data: Any) -> Any:
        """Return what was entered."""
        return data


class AlibabaCloudOptionsFlow(OptionsFlowWithReload):
    """Chooses the models that get a device, and what is worth an alert."""

    async def async_step_init(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let the user choose what to change."""
        return self.async_show_menu(
            step_id="init", menu_options=["models", "alerts", "assistant"]
        )

    @property
    def _coordinator(self) -> AlibabaCloudCoordinator | None:
        """The account, if it is set up."""
        return getattr(self.config_entry, "runtime_data", None)

    def _save(self, options: Mapping[str, Any]) -> ConfigFlowResult:
        """Keep the options, without those that are None, beside those of other steps."""
        kept = {**self.config_entry.options, **options}
        return self.async_create_entry(
            data={key: value for key, value in kept.items() if value is not None}
        )

    async def async_step_models(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let the user choose; without a choice it is all models that report usage."""
        if user_input is not None:
            return self._save(user_input)
        coordinator = self._coordinator
        if coordinator is None or (account := coordinator.data) is None:
            return self.async_abort(reason="nothing_read")
        chosen = coordinator.chosen_models
        gone = {name: ModelUsage(name=name) for name in chosen}
        return self.async_show_form(
            step_id="models",
            data_schema=self.add_suggested_values_to_schema(
                models_schema({**gone, **account.models}), {CONF_MODELS: chosen}
            ),
            description_placeholders={"count": str(len(account.models))},
        )

    async def async_step_alerts(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let the user set a budget, and say what is worth an alert."""
        errors: dict[str, str] = {}
        options = self.config_entry.options
        if user_input is None:
            shown = {
                **{key: options.get(key) for key in AMOUNTS},
                **{
                    key: [str(number) for number in options.get(key, levels)]
                    for key, levels in LEVELS.items()
                },
                CONF_FORECAST_ALERT: options.get(
                    CONF_FORECAST_ALERT, DEFAULTS.forecast_alert
                ),
            }
        else:
            shown, entered = user_input, dict(user_input)
            for keys, parse in ((AMOUNTS, _amount), (LEVELS, _levels)):
                for key in keys:
                    try:
                        entered[key] = parse(user_input.get(key))
                    except vol.Invalid as err:
                        errors[key] = err.msg
            if not errors:
                return self._save(entered)
        return self.async_show_form(
            step_id="alerts",
            data_schema=self.add_suggested_values_to_schema(
                _alerts_schema(self._currency), shown
            ),
            errors=errors,
        )

    async def async_step_assistant(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Let the user open the figures to Assist."""
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
        """The account's currency, None where it is not known."""
        if (coordinator := self._coordinator) is None:
            return None
        account = coordinator.account
        money = account.monthly_spend or account.available_balance
        return money.currency if money else None


def models_schema(models: Mapping[str, ModelUsage]) -> vol.Schema:
    """Return the form that offers models, each with its limits."""
    return vol.Schema(
        {
            vol.Optional(CONF_MODELS, default=[]): SelectSelector(
                SelectSelectorConfig(
                    options=[
                        SelectOptionDict(value=name, label=_label(model))
                        for name, model in models.items()
                    ],
                    multiple=True,
                    mode=SelectSelectorMode.DROPDOWN,
                    sort=True,
                )
            )
        }
    )


def _label(model: ModelUsage) -> str:
    """Return a model's name with its limits."""
    limits = [
        f"{value:,} {unit}".rstrip()
        for value, unit in (
            (model.limit, ""),
            (model.rate_limit.rpm, "RPM"),
            (model.rate_limit.tpm, "TPM"),
        )
        if value is not None
    ]
    name = plain_text(model.name)
    return f"{name} ({', '.join(limits)})" if limits else name


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
        }
    )


def _levels_selector(key: str) -> SelectSelector:
    """Return a list of levels that offers the usual ones."""
    return AnyLevelsSelector(
        SelectSelectorConfig(
            options=_offered(key),
            multiple=True,
            custom_value=True,
            mode=SelectSelectorMode.DROPDOWN,
        )
    )


def _offered(key: str) -> list[str]:
    """Return the usual levels."""
    return [str(level) for level in LEVELS[key]]


def _amount(entered: Any) -> int | float | None:
    """Return an amount of money, None for an empty field.

    Raises `vol.Invalid` with the key of a text.
    """
    if entered in (None, ""):
        return None
    if (amount := _number(entered)) is None or amount <= 0:
        raise vol.Invalid("invalid_amount")
    return amount


def _levels(entered: Any) -> list[int | float]:
    """Return levels in order, each once; none for an empty field.

    Raises `vol.Invalid` with the key of a text.
    """
    if entered is None:
        entered = []
    elif isinstance(entered, str) or not isinstance(entered, Collection):
        entered = [entered]
    levels = set()
    for item in entered:
        level = _number(item)
        if level is None or not 0 < level <= HIGHEST_LEVEL:
            raise vol.Invalid("invalid_level")
        levels.add(level)
    if len(levels) > MOST_LEVELS:
        raise vol.Invalid("too_many_levels")
    return sorted(levels)


def _number(entered: Any) -> int | float | None:
    """Return a number, whole where it is; None for anything else."""
    if isinstance(entered, bool) or not isinstance(entered, int | float | str):
        return None
    text = _DECIMAL_COMMA.sub(".", str(entered).rstrip(" %"))
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    if not number.is_finite() or abs(number.adjusted()) > 15:
        return None
    return int(number) if number == number.to_integral_value() else float(number)
