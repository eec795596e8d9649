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


def _trigger_on(
    kind: AlertKind, base: type[AlertTrigger] = AlertTrigger
) -> type[Trigger]:
    """Return the trigger that fires on the alerts of a kind."""
    return type(base.__name__, (base,), {"kind": kind})


WITH_LEVELS = (AlertKind.SPEND_LEVEL, AlertKind.MODEL_LEVEL)
TRIGGERS: dict[str, type[Trigger]] = {
    **{f"{kind}_reached": _trigger_on(kind, LevelTrigger) for kind in WITH_LEVELS},
    **{str(kind): _trigger_on(kind) for kind in AlertKind if kind not in WITH_LEVELS},
}
"""The triggers by key: the kind of alert, with `_reached` for kinds with levels."""


async def async_get_triggers(hass: HomeAssistant) -> dict[str, type[Trigger]]:
    """Return the triggers."""
    return TRIGGERS
