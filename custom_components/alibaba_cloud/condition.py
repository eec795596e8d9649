"""Conditions on the current state of accounts."""

from abc import abstractmethod
from decimal import Decimal
from typing import Any, ClassVar, Unpack, override

import voluptuous as vol

from homeassistant.core import HomeAssistant
from homeassistant.helpers.condition import (
    Condition,
    ConditionCheckParams,
    ConditionConfig,
)
from homeassistant.helpers.typing import ConfigType

from .account import Account, AlibabaCloudConfigEntry
from .const import CONF_LEVEL, DOMAIN
from .devices import async_device_id
from .failures import Status
from .ledger import group_reaches, reaches
from .targets import Target
from .trigger import LEVEL, with_options


class AccountCondition(Condition):
    """Passes if it applies to at least one of the accounts."""

    options: ClassVar[dict[Any, Any]] = {}

    @override
    @classmethod
    async def async_validate_config(
        cls, hass: HomeAssistant, config: ConfigType
    ) -> ConfigType:
        """Validate the options."""
        return with_options(config, cls.options)

    def __init__(self, hass: HomeAssistant, config: ConditionConfig) -> None:
        """Read the target and the options."""
        super().__init__(hass, config)
        self._target = Target(hass, config.target)
        self._options = config.options or {}

    @override
    def _async_check(self, **kwargs: Unpack[ConditionCheckParams]) -> bool:
        """Check the accounts that are set up now."""
        entries: list[AlibabaCloudConfigEntry] = (
            self._hass.config_entries.async_loaded_entries(DOMAIN)
        )
        return any(self._applies(entry.runtime_data) for entry in entries)

    def _applies(self, account: Account) -> bool:
        """Return whether the condition applies to what the target has of an account."""
        return self._target.has_account(account.entry.entry_id) and self._holds(account)

    @abstractmethod
    def _holds(self, account: Account) -> bool:
        """Return whether the condition applies to an account."""


class IsOverBudget(AccountCondition):
    """Whether the spend has reached a level of the budget, by default 100 %.

    For the device of a workspace or an API key, this is about its own budget.
    """

    options = {vol.Optional(CONF_LEVEL, default=100): LEVEL}

    @property
    def _level(self) -> Decimal:
        """The level, in %."""
        return Decimal(str(self._options[CONF_LEVEL]))

    @override
    def _applies(self, account: Account) -> bool:
        groups = account.figures_of_this_run.groups
        return super()._applies(account) or any(
            group_reaches(groups.get(group), budget, self._level)
            for group, budget in account.options.group_budgets.items()
            if self._target.has_only_child(async_device_id(account, group))
        )

    @override
    def _holds(self, account: Account) -> bool:
        return reaches(account.figures_of_this_run, self._level)


class IsRateLimited(AccountCondition):
    """Whether the account is throttled."""

    @override
    def _holds(self, account: Account) -> bool:
        return (
            account.status is Status.LIMITED and not account.quotas.is_budget_exhausted
        )


class IsBudgetExhausted(AccountCondition):
    """Whether the budget that is set in the console is used up."""

    @override
    def _holds(self, account: Account) -> bool:
        return account.quotas.is_budget_exhausted


class IsApiKeyRejected(AccountCondition):
    """Whether the API key is rejected."""

    @override
    def _holds(self, account: Account) -> bool:
        return account.status is Status.AUTH


CONDITIONS: dict[str, type[Condition]] = {
    "is_over_budget": IsOverBudget,
    "is_rate_limited": IsRateLimited,
    "is_budget_exhausted": IsBudgetExhausted,
    "is_api_key_rejected": IsApiKeyRejected,
}


async def async_get_conditions(hass: HomeAssistant) -> dict[str, type[Condition]]:
    """Return the conditions."""
    return CONDITIONS
