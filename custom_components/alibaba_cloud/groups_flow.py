"""Steps of the options flow to follow workspaces and API keys and set their budgets."""

import asyncio
from collections.abc import Mapping
from datetime import date, timedelta
from typing import Any, override

import voluptuous as vol

from homeassistant.config_entries import ConfigFlowResult, OptionsFlowWithReload
from homeassistant.const import CONF_BASE
from homeassistant.data_entry_flow import section
from homeassistant.helpers.selector import (
    NumberSelector,
    NumberSelectorConfig,
    NumberSelectorMode,
)

from .account import Account
from .clients import access_key_clients, read_workspace_names
from .const import (
    CONF_API_KEYS,
    CONF_GROUP_BUDGETS,
    CONF_WORKSPACE_NAMES,
    CONF_WORKSPACES,
)
from .failures import describe
from .model_studio import (
    BillingClient,
    Granularity,
    ModelStudioError,
    Money,
    first_known,
    group_totals,
)
from .options import GROUP_OPTIONS, OPTION_DEFAULTS, followed_groups
from .options_validation import validate_group_budgets
from .schemas import group_fields, groups_schema
from .sources import billing_today
from .validation import InvalidInput

BILLED_SINCE = timedelta(days=32)
"""The first day of this month minus this is in the month before the last one.

The form offers the workspaces and API keys that were billed since that month began.
"""


class AnyNumberSelector(NumberSelector):
    """A number field that accepts any text. The step validates it, so errors are translated."""

    @override
    def __call__(self, data: Any) -> Any:
        """Return the input."""
        return data


def amount_config(currency: str | None) -> NumberSelectorConfig:
    """Return the field of an amount in the account's currency."""
    amount = NumberSelectorConfig(min=0, step="any", mode=NumberSelectorMode.BOX)
    if currency:
        amount["unit_of_measurement"] = currency
    return amount


class GroupsFlow(OptionsFlowWithReload):
    """Handle the workspaces and API keys of an account."""

    def __init__(self) -> None:
        """Start without names."""
        self._workspace_names: Mapping[str, str] = {}
        self._chosen: Mapping[str, Any] = {}
        """The options of the groups that the user selected."""
        self._billed_currency: str | None = None

    @property
    def _account(self) -> Account | None:
        """The account, if it is set up."""
        return getattr(self.config_entry, "runtime_data", None)

    @property
    def _currency(self) -> str | None:
        """The account's currency, None if it is unknown."""
        if (account := self._account) is None:
            return None
        figures = account.snapshot
        money = first_known(figures.monthly_spend, figures.available_balance)
        return None if money is None else money.currency

    def _save(self, options: Mapping[str, Any]) -> ConfigFlowResult:
        """Store options, without those at their default. Those of other steps are kept.

        So a form that was not changed changes nothing, and the account is not reloaded.
        """
        kept = {**self.config_entry.options, **options}
        return self.async_create_entry(
            data={
                key: value
                for key, value in kept.items()
                if value != OPTION_DEFAULTS.get(key)
            }
        )

    async def async_step_groups(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask which workspaces and API keys to follow.

        The form offers those that were billed. Without an AccessKey, it offers only the
        followed ones, so that the user can remove them.
        """
        options = self.config_entry.options
        if user_input is not None:
            self._chosen = self._groups(user_input)
            if followed_groups(self._chosen):
                return await self.async_step_group_budgets()
            return self._save_groups({})
        clients = access_key_clients(self.hass, self.config_entry.data)
        today = billing_today()
        since = (today.replace(day=1) - BILLED_SINCE).replace(day=1)
        errors: dict[str, str] = {}
        placeholders = {"since": since.isoformat()}
        billed: Mapping[str, Mapping[str, Money | None]]
        billed = {key: {} for key in GROUP_OPTIONS.values()}
        try:
            if clients is not None:
                billed, self._workspace_names = await asyncio.gather(
                    async_billed_groups(clients.billing, since, today),
                    read_workspace_names(clients.workspaces),
                )
        except ModelStudioError as err:
            errors = {CONF_BASE: "bill_not_read"}
            placeholders["error"] = describe(self.hass, err)
        money = first_known(*(m for spend in billed.values() for m in spend.values()))
        self._billed_currency = None if money is None else money.currency
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
        """The names of workspaces by ID, including stored ones."""
        stored = self.config_entry.options.get(CONF_WORKSPACE_NAMES, {})
        return {**stored, **self._workspace_names}

    def _groups(self, user_input: Mapping[str, Any]) -> dict[str, Any]:
        """Return the options of the groups that the user selected."""
        names = self._known_names
        selected = user_input.get(CONF_WORKSPACES, [])
        return {
            CONF_WORKSPACES: selected,
            CONF_API_KEYS: user_input.get(CONF_API_KEYS, []),
            CONF_WORKSPACE_NAMES: {i: names[i] for i in selected if i in names},
        }

    def _save_groups(self, budgets: Mapping[str, int | float]) -> ConfigFlowResult:
        """Store the selected groups and their budgets. Empty options are removed."""
        options = {**self._chosen, CONF_GROUP_BUDGETS: budgets}
        return self._save({key: value or None for key, value in options.items()})

    async def async_step_group_budgets(
        self, user_input: dict[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Ask for a budget of each followed workspace and API key."""
        errors: dict[str, str] = {}
        groups = group_fields(self._chosen)
        if user_input is not None:
            try:
                budgets = validate_group_budgets(user_input, groups)
            except InvalidInput as err:
                errors = err.errors
            else:
                return self._save_groups(budgets)
        stored = self.config_entry.options.get(CONF_GROUP_BUDGETS, {})
        suggested = {
            key: {name: stored.get(group.key) for name, group in fields.items()}
            for key, fields in groups.items()
        }
        schema = vol.Schema(
            {
                vol.Required(key): section(
                    vol.Schema(
                        {
                            vol.Optional(name): AnyNumberSelector(
                                amount_config(self._billed_currency)
                            )
                            for name in fields
                        }
                    )
                )
                for key, fields in groups.items()
            }
        )
        return self.async_show_form(
            step_id="group_budgets",
            data_schema=self.add_suggested_values_to_schema(
                schema, user_input or suggested
            ),
            errors=errors,
        )


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
