"""Validation of user input in the config flow and the options flow."""

import asyncio
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from yarl import URL

from homeassistant.const import CONF_API_KEY, CONF_BASE, CONF_REGION, CONF_URL
from homeassistant.core import HomeAssistant

from .clients import access_key_clients, api_key_client, api_key_of
from .const import (
    CONF_ACCESS_KEY_ID,
    CONF_ACCESS_KEY_SECRET,
    CONF_API_KEY_ENV,
    CONF_BALANCE_ENDPOINT,
    CONF_BASE_URL,
    CONF_BILLING_ENDPOINT,
    CONF_MODELS,
    CONF_PROMETHEUS_URL,
    CONF_WORKSPACE_ID,
    LOGGER,
)
from .failures import FAILURES, INVALID_ACCESS_KEY, describe, form_error
from .model_studio import (
    REGIONS,
    AccountSnapshot,
    AuthenticationError,
    Balance,
    ClockSkewError,
    InvalidURLError,
    InvalidWorkspaceError,
    ModelStudioError,
    PermissionDeniedError,
    SpendReport,
    normalize_base_url,
    workspace_base_url,
)
from .sources import SOURCES, Source, async_try_clients, permissions

CONF_ALL_MODELS = "all_models"
CONF_ENDPOINTS = "endpoints"
ENDPOINTS = (CONF_BILLING_ENDPOINT, CONF_BALANCE_ENDPOINT, CONF_PROMETHEUS_URL)
CREDENTIALS = (CONF_API_KEY, CONF_API_KEY_ENV)

type AccessKeyResults = Mapping[Source, object | ModelStudioError]
"""The report of each source of an AccessKey, or its error."""


class InvalidInput(Exception):
    """The user input is not valid.

    `errors` holds the key of a text for a field, or for the whole form (`base`).
    `placeholders` fill in these texts.
    """

    def __init__(self, errors: Mapping[str, str], **placeholders: str) -> None:
        """Keep the errors. The exception's own text contains no user input."""
        super().__init__(", ".join(errors.values()))
        self.errors = dict(errors)
        self.placeholders = placeholders


def is_same_account(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Return whether the data of two entries have the same key at the same host."""

    def identity(data: Mapping[str, Any]) -> tuple[str, str]:
        return (URL(data[CONF_BASE_URL]).host or "").rstrip("."), api_key_of(data)

    return bool(api_key_of(one)) and identity(one) == identity(other)


def validate_url(text: str) -> str:
    """Return the base URL in a form's field `url`. Raises `InvalidInput`."""
    try:
        return normalize_base_url(text)
    except InvalidURLError as err:
        raise InvalidInput({CONF_URL: "invalid_url"}) from err


def validate_workspace(workspace_id: str, region: str) -> str:
    """Return the base URL of a workspace. Raises `InvalidInput`."""
    try:
        return workspace_base_url(workspace_id, region)
    except InvalidWorkspaceError as err:
        raise InvalidInput({CONF_WORKSPACE_ID: "invalid_workspace_id"}) from err


def validate_credentials(
    user_input: Mapping[str, Any], current: Mapping[str, Any]
) -> dict[str, str]:
    """Return the API key that was entered, else the current one, as it is stored.

    Raises `InvalidInput` if the environment variable of the current key is not set.
    """
    if key := user_input.get(CONF_API_KEY, "").strip():
        return {CONF_API_KEY: key}
    if not api_key_of(current) and (variable := current.get(CONF_API_KEY_ENV)):
        raise InvalidInput(
            {CONF_API_KEY: "environment_variable_missing"}, variable=variable
        )
    return {key: current[key] for key in CREDENTIALS if key in current}


async def async_validate_api_key(
    hass: HomeAssistant, data: Mapping[str, Any]
) -> AccountSnapshot:
    """Return the account that an API key reads. Raises `InvalidInput`."""
    try:
        return await api_key_client(hass, data).get_account()
    except ModelStudioError as err:
        raise InvalidInput(
            {CONF_BASE: form_error(err)},
            error=describe(hass, err),
            url=data[CONF_BASE_URL],
        ) from err
    except Exception as err:
        LOGGER.exception("Unexpected error while trying the API key")
        raise InvalidInput({CONF_BASE: "unknown"}) from err


async def async_find_region(
    hass: HomeAssistant, credentials: Mapping[str, str], rejected_by: str
) -> str | None:
    """Return another public region that accepts an API key, with one request to each."""
    regions = [region for region in REGIONS if region != rejected_by]
    results = await asyncio.gather(
        *(
            api_key_client(
                hass, {CONF_BASE_URL: REGIONS[region], **credentials}
            ).try_key()
            for region in regions
        ),
        return_exceptions=True,
    )
    return next(
        (
            region
            for region, result in zip(regions, results, strict=True)
            if result is None
        ),
        None,
    )


def check_models(known: AccountSnapshot | None, account: AccountSnapshot) -> None:
    """Raise `InvalidInput` if none of the account's known models is still listed.

    The service does not name the account of a key, so this is the only sign of another
    account.
    """
    if (
        known is not None
        and known.models
        and account.models
        and known.models.keys().isdisjoint(account.models)
    ):
        raise InvalidInput({CONF_BASE: "other_models"})


def validate_access_key(
    user_input: Mapping[str, Any], current: Mapping[str, Any]
) -> dict[str, str]:
    """Return an AccessKey as it is stored, empty if the user enters none.

    An empty secret keeps the current one if the ID is unchanged. Raises `InvalidInput`.
    """
    key_id = user_input.get(CONF_ACCESS_KEY_ID, "").strip()
    secret = user_input.get(CONF_ACCESS_KEY_SECRET, "").strip()
    if not secret and key_id and key_id == current.get(CONF_ACCESS_KEY_ID):
        secret = current[CONF_ACCESS_KEY_SECRET]
    if not (key_id or secret):
        return {}
    if not (key_id and secret):
        missing = CONF_ACCESS_KEY_SECRET if key_id else CONF_ACCESS_KEY_ID
        raise InvalidInput({missing: "access_key_incomplete"})
    data = {
        CONF_ACCESS_KEY_ID: key_id,
        CONF_ACCESS_KEY_SECRET: secret,
        CONF_REGION: user_input[CONF_REGION],
    }
    for name, url in user_input.get(CONF_ENDPOINTS, {}).items():
        if url.strip():
            try:
                data[name] = normalize_base_url(url)
            except InvalidURLError as err:
                # The frontend shows an error at a section, but not at a field in it.
                raise InvalidInput({CONF_ENDPOINTS: f"invalid_{name}"}) from err
    return data


async def async_validate_access_key(
    hass: HomeAssistant, data: Mapping[str, Any]
) -> AccessKeyResults:
    """Try an AccessKey with each source. Return their reports and errors.

    Raises `InvalidInput` if the AccessKey is rejected, or if nothing can be read. If
    nothing can be read only because permissions are missing, `check_permissions` raises.
    """
    try:
        clients = access_key_clients(hass, data)
        results = {} if clients is None else await async_try_clients(clients)
    except Exception as err:
        LOGGER.exception("Unexpected error while trying the AccessKey")
        raise InvalidInput({CONF_BASE: "unknown"}) from err
    failed = source_errors(results)
    denied = {s: e for s, e in failed.items() if isinstance(e, PermissionDeniedError)}
    error = _rejection(failed)
    has_read_nothing = len(failed) == len(results)
    if error is None and has_read_nothing and len(denied) < len(failed):
        error = next(iter([*denied.values(), *failed.values()]))
    if error is None:
        return results
    raise _unusable(hass, error, denied) from error


def check_permissions(hass: HomeAssistant, results: AccessKeyResults) -> None:
    """Raise `InvalidInput` if the AccessKey has no permission to read anything."""
    failed = source_errors(results)
    if failed and len(failed) == len(results):
        error = next(iter(failed.values()))
        raise _unusable(hass, error, failed) from error


def _unusable(
    hass: HomeAssistant, error: ModelStudioError, denied: Iterable[Source]
) -> InvalidInput:
    """Return the error of an AccessKey that can't be used."""
    key = FAILURES[type(error)][1]
    if isinstance(error, AuthenticationError):
        key = INVALID_ACCESS_KEY
    return InvalidInput(
        {CONF_BASE: key},
        error=describe(hass, error),
        permission=permissions(denied),
    )


def source_errors(results: AccessKeyResults) -> dict[Source, ModelStudioError]:
    """Return the errors of an AccessKey, by source."""
    return {s: e for s, e in results.items() if isinstance(e, ModelStudioError)}


def _rejection(failed: Mapping[Source, ModelStudioError]) -> ModelStudioError | None:
    """Return the error that makes an AccessKey unusable, whatever else it reads."""
    signed = [failed[s] for s in failed if SOURCES[s].checks_access_key]
    for kind in (AuthenticationError, ClockSkewError):
        for error in signed:
            if isinstance(error, kind):
                return error
    return None


def check_currency(known: Iterable[object], results: AccessKeyResults) -> None:
    """Raise `InvalidInput` if an AccessKey reads money of another currency.

    An account has one currency, that of its site. `known` are earlier reports.
    """
    before, now = _currencies(known), _currencies(results.values())
    if before and now and before.isdisjoint(now):
        raise InvalidInput({CONF_BASE: "wrong_account"})


def _currencies(reports: Iterable[object]) -> set[str]:
    """Return the currencies of bills and balances."""
    amounts = {
        report.monthly if isinstance(report, SpendReport) else report.available
        for report in reports
        if isinstance(report, SpendReport | Balance)
    }
    return {amount.currency for amount in amounts if amount is not None}


def validate_models(
    user_input: Mapping[str, Any], current: Collection[str]
) -> list[str]:
    """Return the models to follow, none for all that report usage.

    If no models were selected before, the switch for all models can be on by default. It
    is then ignored if the user selects models. Raises `InvalidInput` if the switch is off and
    no models are selected.
    """
    models: list[str] = user_input.get(CONF_MODELS, [])
    if user_input[CONF_ALL_MODELS]:
        return [] if current else models
    if not models:
        raise InvalidInput({CONF_MODELS: "no_models_selected"})
    return models
