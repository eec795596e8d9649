"""Repair issues: each is created with its cause and deleted with it."""

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

from .account import Account, AlibabaCloudConfigEntry
from .clients import missing_variable
from .const import CONF_BASE_URL, CONF_MODELS, DOMAIN, console_url, ram_console_url
from .failures import describe, escape_markdown
from .model_studio import (
    AccountError,
    AccountSnapshot,
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
from .sources import SOURCES, Source, SourceCoordinator
from .statistics import STATISTICS_NOT_WRITTEN

MODEL_GONE = "model_gone"
NO_ACCESS_KEY = "no_access_key"
LASTING = timedelta(hours=1)
"""How long a source of the AccessKey fails before there is an issue."""
SOURCE_ISSUES: Mapping[str, tuple[Source, ...]] = {
    "spend_failing": (Source.SPEND, Source.WORKSPACES, Source.API_KEYS),
    "balance_failing": (Source.BALANCE, Source.ASSETS),
    "telemetry_failing": (Source.RATES, Source.TOTALS),
    "history_failing": (Source.HISTORY,),
    STATISTICS_NOT_WRITTEN: (Source.HISTORY,),
}
"""The sources that each issue is about."""
ERROR_ISSUES: Mapping[str, type[ModelStudioError]] = {
    "arrearage": OverduePaymentError,
    "service_not_enabled": ServiceNotEnabledError,
    "free_quota_used_up": FreeQuotaUsedUpError,
    "budget_exhausted": BudgetExhaustedError,
}
"""The errors of the API key that have their own issue."""
ABOUT_THE_ACCOUNT = (200, 400, 404)
"""HTTP statuses whose error code is about the account."""


@callback
def async_manage_issues(hass: HomeAssistant, entry: AlibabaCloudConfigEntry) -> None:
    """Create and delete an account's issues from now on.

    They stay during a reload, so that an ignored issue stays ignored.
    """
    account = entry.runtime_data

    @callback
    def update() -> None:
        for key, applies, placeholders in _issues(account):
            issue_id = f"{key}_{entry.entry_id}"
            if applies:
                data: dict[str, str | int | float | None] = {"entry_id": entry.entry_id}
                if key == MODEL_GONE:
                    # The data of an issue can't be a list, and names can have commas.
                    data[CONF_MODELS] = json_dumps(_missing_models(account))
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
    entry.async_on_unload(account.async_add_listener(update))


@callback
def async_withdraw_issues(hass: HomeAssistant, entry: AlibabaCloudConfigEntry) -> None:
    """Delete all issues of an account that is disabled or removed."""
    for domain, issue_id in list(ir.async_get(hass).issues):
        if domain == DOMAIN and issue_id.endswith(f"_{entry.entry_id}"):
            ir.async_delete_issue(hass, DOMAIN, issue_id)


def _learn_more_url(key: str, base_url: str) -> str | None:
    """Return the page of the vendor's console where an issue is fixed, if any."""
    if key in (MODEL_GONE, STATISTICS_NOT_WRITTEN):
        return None
    if key == NO_ACCESS_KEY or key in SOURCE_ISSUES:
        return ram_console_url(base_url)
    return console_url(base_url)


type _Issues = Iterator[tuple[str, bool, dict[str, str]]]
"""The key of each issue, whether it applies, and its placeholders.

If the last poll says nothing about an issue, it is not yielded and does not change.
"""


def _issues(account: Account) -> _Issues:
    """Yield the issues of an account."""
    variable = missing_variable(account.entry.data)
    yield (
        "environment_variable_missing",
        variable is not None,
        {"variable": variable or ""},
    )
    yield from _error_issues(account.quotas.error)
    if account.quotas.error is None and account.last_quotas is not None:
        yield from _figure_issues(account, account.last_quotas)
    elif account.clients is not None:
        yield NO_ACCESS_KEY, False, {}
    yield from _source_issues(account)


def _error_issues(err: BaseException | None) -> _Issues:
    """Yield the issues that come with an error of the API key and end with it."""
    placeholders = {"error": escape_markdown(str(err))}
    has_own_issue = isinstance(err, tuple(ERROR_ISSUES.values()))
    is_about_account = _is_about_account(err) or (
        has_own_issue and isinstance(err, AccountError)
    )
    if err is None or is_about_account:
        yield (
            "account_unavailable",
            is_about_account and not has_own_issue,
            placeholders,
        )
    for key, kind in ERROR_ISSUES.items():
        is_about_limits = isinstance(err, RateLimitError) and issubclass(
            kind, RateLimitError
        )
        if err is None or is_about_account or is_about_limits:
            yield key, isinstance(err, kind), placeholders


def _is_about_account(err: BaseException | None) -> bool:
    """Return whether the service says something about the account.

    Other errors, such as a time-out, do not.
    """
    return (
        isinstance(err, AccountError)
        and err.status in ABOUT_THE_ACCOUNT
        and not (err.code or "").startswith("HTTP ")
    )


def _figure_issues(account: Account, quotas: AccountSnapshot) -> _Issues:
    """Yield the issues that the API key's figures show."""
    yield "no_models", quotas.models_complete and not quotas.models, {}
    yield (
        "over_spend_limit",
        bool(quotas.over_spend_limit),
        {
            "spend": _amount(quotas.monthly_spend),
            "limit": _amount(quotas.spend_limit),
        },
    )
    if quotas.models_complete:
        gone = _missing_models(account)
        yield (
            MODEL_GONE,
            bool(gone),
            {"models": ", ".join(map(escape_markdown, gone))},
        )
    yield (
        NO_ACCESS_KEY,
        account.clients is None
        and quotas.quotas_kind is QuotasKind.LIMITS
        and quotas.available_data is AvailableData.LIMITS,
        {},
    )


def _source_issues(account: Account) -> _Issues:
    """Yield the issues of AccessKey sources that have failed for long.

    A rejected AccessKey has no issue: a reauthentication asks for another one. After a
    reload or a restart, an issue stays as it was until it is clear whether it lasts.
    """
    for key, about in SOURCE_ISSUES.items():
        sources = [s for s in map(account.sources.get, about) if s is not None]
        lasting = [s for s in sources if _has_issue(account, s, key)]
        if not lasting and any(map(_is_unclear, sources)):
            continue
        error = lasting[0].error if lasting else None
        yield (
            key,
            bool(lasting),
            {
                "error": escape_markdown(describe(account.hass, error))
                if error
                else "",
                "permission": SOURCES[about[0]].permission or "",
            },
        )


def _is_unclear(source: SourceCoordinator[Any]) -> bool:
    """Return whether a source was not read yet, or has not failed for long so far.

    A rejected AccessKey is clear at once.
    """
    if source.rejects_access_key:
        return False
    is_failing = source.failing_since is not None
    return not source.polls or (is_failing and not _fails_for_long(source))


def _fails_for_long(source: SourceCoordinator[Any]) -> bool:
    """Return whether a source has failed for long enough to have an issue."""
    since = source.failing_since
    return since is not None and dt_util.utcnow() - since >= LASTING


def _has_issue(account: Account, source: SourceCoordinator[Any], key: str) -> bool:
    """Return whether a source has failed for long, and an issue is about its error."""
    if not _fails_for_long(source):
        return False
    if isinstance(source.error, AuthenticationError) and any(
        other.rejects_access_key for other in account.access_key_sources
    ):
        return False
    # If the recorder's database fails, no permission is missing.
    is_database = (
        getattr(source.error, "translation_key", None) == STATISTICS_NOT_WRITTEN
    )
    if is_database:
        return key == STATISTICS_NOT_WRITTEN
    return key != STATISTICS_NOT_WRITTEN


def _missing_models(account: Account) -> list[str]:
    """Return the chosen models that the last answer did not list."""
    return sorted({*account.chosen_models}.difference(account.models))


def _amount(money: Money | None) -> str:
    """Return an amount with its currency."""
    return "" if money is None else f"{money.amount:.2f} {money.currency}"


async def async_create_fix_flow(
    hass: HomeAssistant, issue_id: str, data: dict[str, Any] | None
) -> RepairsFlow:
    """Return the flow that removes models from the selection."""
    return ModelGoneFlow()


class ModelGoneFlow(ConfirmRepairFlow):
    """Removes models that the service no longer lists from the chosen ones."""

    @override
    async def async_step_confirm(
        self, user_input: dict[str, str] | None = None
    ) -> RepairsFlowResult:
        """Remove the models that the issue names, once the user confirms.

        By then the account may be unloaded or removed, or its polls may fail.
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
            if not chosen:
                # With usage, an empty choice would mean all models.
                return self.async_abort(reason="none_left")
            self.hass.config_entries.async_update_entry(
                entry, options={**entry.options, CONF_MODELS: chosen}
            )
            self.hass.config_entries.async_schedule_reload(entry.entry_id)
        return await super().async_step_confirm(user_input)
