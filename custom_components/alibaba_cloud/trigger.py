"""Triggers on the alerts of accounts.

They listen to the alerts themselves, not to entities, so they work with every entity
disabled.
"""

from decimal import Decimal
from typing import Any, ClassVar, cast, override

import voluptuous as vol

from homeassistant.const import CONF_OPTIONS
from homeassistant.core import CALLBACK_TYPE, HomeAssistant, callback
from homeassistant.helpers.dispatcher import async_dispatcher_connect
from homeassistant.helpers.trigger import (
    Trigger,
    TriggerActionRunner,
    TriggerConfig,
    TriggerNotTriggeredReporter,
)
from homeassistant.helpers.typing import ConfigType

from .alerts import SIGNAL_ALERT, AccountAlert, async_watch_level
from .const import CONF_LEVEL, HIGHEST_LEVEL
from .ledger import Alert, AlertKind
from .targets import TARGET, Target

LEVEL = vol.All(
    vol.Coerce(float), vol.Range(min=0, min_included=False, max=HIGHEST_LEVEL)
)


def with_options(config: ConfigType, options: dict[Any, Any]) -> ConfigType:
    """Validate the options and the target of a trigger or condition.

    Raises `vol.Invalid` if they are not valid.
    """
    schema = vol.Schema({**TARGET, vol.Required(CONF_OPTIONS, default=dict): options})
    return cast(ConfigType, schema(config))


class AlertTrigger(Trigger):
    """Fires on each alert of a kind."""

    kind: ClassVar[AlertKind]
    options: ClassVar[dict[Any, Any]] = {}

    @override
    @classmethod
    async def async_validate_config(
        cls, hass: HomeAssistant, config: ConfigType
    ) -> ConfigType:
        """Validate the options."""
        return with_options(config, cls.options)

    def __init__(self, hass: HomeAssistant, config: TriggerConfig) -> None:
        """Read the target and the options."""
        super().__init__(hass, config)
        self._target = Target(hass, config.target)
        level = (config.options or {}).get(CONF_LEVEL)
        self._level = None if level is None else Decimal(str(level))

    @override
    async def async_attach_runner(
        self,
        run_action: TriggerActionRunner,
        did_not_trigger: TriggerNotTriggeredReporter | None = None,
    ) -> CALLBACK_TYPE:
        """Run the action on each alert from now on."""

        @callback
        def run(sent: AccountAlert) -> None:
            alert = sent.alert
            if (
                alert.kind is self.kind
                and self._has_level(alert)
                and self._is_targeted(sent)
            ):
                run_action(
                    {"account": sent.account, **alert.as_dict()},
                    f"{alert.kind.value.replace('_', ' ')} of {sent.account}",
                )

        disconnect = async_dispatcher_connect(self._hass, SIGNAL_ALERT, run)
        if self._level is None:
            return disconnect
        end_watch = async_watch_level(self._hass, self.kind, self._level)

        @callback
        def detach() -> None:
            disconnect()
            end_watch()

        return detach

    def _has_level(self, alert: Alert) -> bool:
        """Return whether an alert is at the level, by default one of the options."""
        if self._level is None:
            return alert.is_option
        return alert.level == self._level

    @callback
    def _is_targeted(self, sent: AccountAlert) -> bool:
        """Return whether an alert is about an account, model or group of the target.

        A trigger on an account does not fire for the budgets of its workspaces and API
        keys. A trigger on one of these fires only for its own budget.
        """
        if sent.alert.group is not None:
            return self._target.has_only_child(sent.device_id)
        if sent.alert.model is None:
            return self._target.has_account(sent.entry_id)
        return self._target.has_device(sent.device_id)


class LevelTrigger(AlertTrigger):
    """Fires on each alert of a kind with levels, or only at one level."""

    options = {vol.Optional(CONF_LEVEL): LEVEL}


class SpendLevelReached(LevelTrigger):
    """Fires when the spend reaches a level of the budget."""

    kind = AlertKind.SPEND_LEVEL


class DailyBudget(AlertTrigger):
    """Fires when the day's spend reaches a level of the daily budget."""

    kind = AlertKind.DAILY_BUDGET


class WeeklyBudget(AlertTrigger):
    """Fires when the week's spend reaches a level of the weekly budget."""

    kind = AlertKind.WEEKLY_BUDGET


class ForecastOverBudget(AlertTrigger):
    """Fires when the forecast exceeds the budget."""

    kind = AlertKind.FORECAST_OVER_BUDGET


class UnusualSpend(AlertTrigger):
    """Fires when the spend of a day is unusual."""

    kind = AlertKind.UNUSUAL_SPEND


class BalanceLow(AlertTrigger):
    """Fires when the balance falls to the threshold."""

    kind = AlertKind.BALANCE_LOW


class CreditExpiring(AlertTrigger):
    """Fires when a prepaid asset expires soon."""

    kind = AlertKind.CREDIT_EXPIRING


class CreditsLow(AlertTrigger):
    """Fires when few credits of the Token Plan are left."""

    kind = AlertKind.CREDITS_LOW


class SubscriptionEnding(AlertTrigger):
    """Fires when the subscription of the Token Plan ends soon."""

    kind = AlertKind.SUBSCRIPTION_ENDING


class ModelLevelReached(LevelTrigger):
    """Fires when the use of a model reaches a level of its limit."""

    kind = AlertKind.MODEL_LEVEL


class LimitLowered(AlertTrigger):
    """Fires when a limit of a model falls."""

    kind = AlertKind.LIMIT_LOWERED


class RateLimited(AlertTrigger):
    """Fires when an account is throttled."""

    kind = AlertKind.RATE_LIMITED


class BudgetExhausted(AlertTrigger):
    """Fires when the budget set in the console is used up."""

    kind = AlertKind.BUDGET_EXHAUSTED


class ApiKeyRejected(AlertTrigger):
    """Fires when the API key of an account is rejected."""

    kind = AlertKind.API_KEY_REJECTED


class AccountUnavailable(AlertTrigger):
    """Fires when the account can't be read."""

    kind = AlertKind.ACCOUNT_UNAVAILABLE


class Recovered(AlertTrigger):
    """Fires when an account that failed works again."""

    kind = AlertKind.RECOVERED


TRIGGERS: dict[str, type[Trigger]] = {
    "spend_level_reached": SpendLevelReached,
    "daily_budget": DailyBudget,
    "weekly_budget": WeeklyBudget,
    "forecast_over_budget": ForecastOverBudget,
    "unusual_spend": UnusualSpend,
    "balance_low": BalanceLow,
    "credit_expiring": CreditExpiring,
    "credits_low": CreditsLow,
    "subscription_ending": SubscriptionEnding,
    "model_level_reached": ModelLevelReached,
    "limit_lowered": LimitLowered,
    "rate_limited": RateLimited,
    "budget_exhausted": BudgetExhausted,
    "api_key_rejected": ApiKeyRejected,
    "account_unavailable": AccountUnavailable,
    "recovered": Recovered,
}


async def async_get_triggers(hass: HomeAssistant) -> dict[str, type[Trigger]]:
    """Return the triggers."""
    return TRIGGERS
