"""What a user can mend: issues that come with a cause and go with it."""

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, override

from homeassistant.components.repairs import (
    ConfirmRepairFlow,
    RepairsFlow,
    RepairsFlowResult,
)
from homeassistant.core import HomeAssistant, callback
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.json import json_dumps
from homeassistant.util import dt as dt_util
from homeassistant.util.json import json_loads_array

from .const import CONF_BASE_URL, CONF_MODELS, DOMAIN, console_url, ram_console_url
from .coordinator import AlibabaCloudConfigEntry, AlibabaCloudCoordinator
from .failures import describe, escape_markdown
from .history import STATISTICS_NOT_WRITTEN
from .model_studio import (
    AccountError,
    AuthenticationError,
    AvailableData,
    BudgetExhaustedError,
    FreeQuotaUsedUpError,
    ModelStudioError,
    Money,
    OverduePaymentError,
    QuotasKind,
    RateLimitError,
    ServiceNotEnabledError,
)
from .sources import PERMISSIONS, Source

MODEL_GONE = "model_gone"
NO_ACCESS_KEY = "no_access_key"
LASTING = timedelta(hours=1)
"""How long an optional source fails before the user hears of it."""
SOURCE_ISSUES: Mapping[str, tuple[Source, ...]] = {
    "spend_failing": (Source.SPEND,),
    "balance_failing": (Source.BALANCE,),
    "telemetry_failing": (Source.RATES, Source.TOTALS),
    "history_failing": (Source.HISTORY,),
    STATISTICS_NOT_WRITTEN: (Source.HISTORY,),
}
"""The sources that an issue is about."""
ERROR_ISSUES: Mapping[str, type[ModelStudioError]] = {
    "arrearage": OverduePaymentError,
    "service_not_enabled": ServiceNotEnabledError,
    "free_quota_used_up": FreeQuotaUsedUpError,
    "budget_exhausted": BudgetExhaustedError,
}
"""The errors of the API key that have an issue of their own."""
ABOUT_THE_ACCOUNT = (200, 400, 404)
"""HTTP statuses under which the service's own code speaks of the account."""


@callback
def async_follow_issues(hass: HomeAssistant, entry: AlibabaCloudConfigEntry) -> None:
    """Raise and withdraw an account's issues from now on.

    They outlast a reload, and with them that the user ignores one.
    """
    coordinator = entry.runtime_data

    @callback
    def update() -> None:
        for key, stands, placeholders in _issues(coordinator):
            issue_id = f"{key}_{entry.entry_id}"
            if stands:
                data: dict[str, str | int | float | None] = {"entry_id": entry.entry_id}
                if key == MODEL_GONE:
                    # What an issue holds can't be a list, and a name can have a comma.
                    data[CONF_MODELS] = json_dumps(_gone(coordinator))
                ir.async_create_issue(
                    hass,
                    DOMAIN,
                    issue_id,
                    data=data,
                    is_fixable=key == MODEL_GONE,
                    learn_more_url=_learn_more_url(key, entry.data[CONF_BASE_URL]),
                    severity=ir.IssueSeverity.WARNING,
                    translation_key=key,
                    translation_placeholders={"account": entry.title, **placeholders},
                )
            else:
                ir.async_delete_issue(hass, DOMAIN, issue_id)

    update()
    entry.async_on_unload(coordinator.async_add_listener(update))


@callback
def async_withdraw_issues(hass: HomeAssistant, entry: AlibabaCloudConfigEntry) -> None:
    """Withdraw all issues of an account that is no longer looked at."""
    for domain, issue_id in list(ir.async_get(hass).issues):
        if domain == DOMAIN and issue_id.endswith(f"_{entry.entry_id}"):
            ir.async_delete_issue(hass, DOMAIN, issue_id)


def _learn_more_url(key: str, base_url: str) -> str | None:
    """Return the page of the vendor's consoles where an issue is solved, if any."""
    if key in (MODEL_GONE, STATISTICS_NOT_WRITTEN):
        return None
    if key == NO_ACCESS_KEY or key in SOURCE_ISSUES:
        return ram_console_url(base_url)
    return console_url(base_url)


def _issues(
    coordinator: AlibabaCloudCoordinator,
) -> Iterator[tuple[str, bool, dict[str, str]]]:
    """Say of each issue whether it stands; what can't be told now is left out."""
    err = coordinator.error
    said = {"error": escape_markdown(str(err))}
    variable = coordinator.missing_variable
    yield (
        "environment_variable_missing",
        variable is not None,
        {"variable": variable or ""},
    )
    own_issue = isinstance(err, tuple(ERROR_ISSUES.values()))
    # Anything else says nothing of the account, such as a time-out.
    about_account = isinstance(err, AccountError) and (
        own_issue
        or (
            err.status in ABOUT_THE_ACCOUNT and not (err.code or "").startswith("HTTP ")
        )
    )
    if err is None or about_account:
        yield "account_unavailable", about_account and not own_issue, said
    for key, kind in ERROR_ISSUES.items():
        if (
            err is None
            or about_account
            or (isinstance(err, RateLimitError) and issubclass(kind, RateLimitError))
        ):
            yield key, isinstance(err, kind), said
    if err is None and (account := coordinator.data):
        yield "no_models", account.models_complete and not account.models, {}
        yield (
            "over_spend_limit",
            bool(account.over_spend_limit),
            {
                "spend": _amount(account.monthly_spend),
                "limit": _amount(account.spend_limit),
            },
        )
        if account.models_complete:
            gone = _gone(coordinator)
            names = ", ".join(map(escape_markdown, gone))
            yield MODEL_GONE, bool(gone), {"models": names}
        yield (
            NO_ACCESS_KEY,
            not coordinator.clients
            and account.quotas_kind is QuotasKind.LIMITS
            and account.available_data is AvailableData.LIMITS,
            {},
        )
    elif coordinator.clients:
        yield NO_ACCESS_KEY, False, {}
    yield from _source_issues(coordinator)


def _source_issues(
    coordinator: AlibabaCloudCoordinator,
) -> Iterator[tuple[str, bool, dict[str, str]]]:
    """Say whether an optional source has failed for long.

    A rejected AccessKey is asked for instead.
    """
    now = dt_util.utcnow()
    rejected = any(source.rejected for source in coordinator.sources.values())
    for key, about in SOURCE_ISSUES.items():
        lasting = [
            source
            for source in map(coordinator.sources.get, about)
            if source
            and source.failing_since
            and now - source.failing_since >= LASTING
            and not (rejected and isinstance(source.error, AuthenticationError))
            # Where it is Home Assistant's database, no permission is missing.
            and (key == STATISTICS_NOT_WRITTEN)
            is (
                getattr(source.error, "translation_key", None) == STATISTICS_NOT_WRITTEN
            )
        ]
        yield (
            key,
            bool(lasting),
            {
                "error": escape_markdown(describe(coordinator.hass, lasting[0].error))
                if lasting and lasting[0].error
                else "",
                "permission": PERMISSIONS[about[0]],
            },
        )


def _gone(coordinator: AlibabaCloudCoordinator) -> list[str]:
    """Return the chosen models that the service did not list when last read."""
    return sorted({*coordinator.chosen_models}.difference(coordinator.models))


def _amount(money: Money | None) -> str:
    """Return an amount with its currency."""
    return f"{money.amount} {money.currency}" if money else ""


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, Any] | None
) -> RepairsFlow:
    """Return the flow that gives up the models that are gone."""
    return ModelGoneFlow()


class ModelGoneFlow(ConfirmRepairFlow):
    """Takes models that the service no longer lists out of the chosen ones."""

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Give the models up that the issue names, once the user agrees.

        The account may be unloaded, fail or be removed by then.
        """
        if (
            user_input is not None
            and self.data
            and (
                entry := self.hass.config_entries.async_get_entry(
                    str(self.data["entry_id"])
                )
            )
        ):
            gone = json_loads_array(str(self.data[CONF_MODELS]))
            chosen = [
                model
                for model in entry.options.get(CONF_MODELS, [])
                if model not in gone
            ]
            self.hass.config_entries.async_update_entry(
                entry, options={**entry.options, CONF_MODELS: chosen}
            )
            self.hass.config_entries.async_schedule_reload(entry.entry_id)
        return await super().async_step_confirm(user_input)
