"""The errors of the AccessKey form."""

from collections.abc import Callable
from typing import Final, NamedTuple

import pytest

from custom_components.alibaba_cloud.clients import DATA_SESSION, async_get_session
from custom_components.alibaba_cloud.const import DOMAIN
from custom_components.alibaba_cloud.failures import escape_markdown
from homeassistant.config_entries import SOURCE_USER
from homeassistant.core import HomeAssistant
from tests.flows import NEW_ACCESS_KEY_SECRET, placeholder
from tests.simulator import Fault, Simulator

from .common import (
    ACCESS_KEY_SECRETS,
    GRANTS,
    NEW_ACCESS_KEY_ID,
    POLICIES,
    SERVICES,
    SOURCES,
    AccessFlows,
    assert_asked_again,
    clock,
    denies,
    fails,
    recover,
    stored,
    stored_anew,
)

pytestmark = pytest.mark.usefixtures("enable_custom_integrations")


class Failure(NamedTuple):
    """A failure, and the error that the form shows."""

    cause: Callable[[Simulator], object]
    error: str
    words: str
    permission: str = ""


FAILURES: Final = {
    "unknown": Failure(
        lambda simulator: simulator.access_keys.pop(NEW_ACCESS_KEY_ID),
        "invalid_access_key",
        "InvalidAccessKeyId.NotFound: Specified access key is not found.",
    ),
    "wrong secret": Failure(
        lambda simulator: simulator.access_keys.update({NEW_ACCESS_KEY_ID: "else"}),
        "invalid_access_key",
        "SignatureDoesNotMatch: Specified signature is not matched",
    ),
    "disabled": Failure(
        lambda simulator: simulator.inactive_access_keys.add(NEW_ACCESS_KEY_ID),
        "invalid_access_key",
        "InvalidAccessKeyId.Inactive: Specified access key is disabled.",
    ),
    "rejected for the bill": Failure(
        fails(Fault.UNAUTHORIZED, "billing"),
        "invalid_access_key",
        "InvalidAccessKeyId.NotFound",
    ),
    "rejected for the balance": Failure(
        fails(Fault.UNAUTHORIZED, "balance"),
        "invalid_access_key",
        "InvalidAccessKeyId.NotFound",
    ),
    "no permission": Failure(
        denies(*GRANTS),
        "missing_permission",
        "NoPermission: You are not authorized to perform modelstudio:GetBillingTrend.",
        ", ".join(POLICIES.values()),
    ),
    "an hour ahead": Failure(clock(-1), "clock_skew", "InvalidTimeStamp.Expired"),
    "an hour behind": Failure(clock(1), "clock_skew", "InvalidTimeStamp.Expired"),
    "clock for the balance": Failure(
        fails(Fault.BAD_REQUEST, "balance", code="InvalidTimeStamp.Expired"),
        "clock_skew",
        "InvalidTimeStamp.Expired",
    ),
    "throttled": Failure(
        fails(Fault.THROTTLED), "rate_limited", "Throttling.User: Request was denied"
    ),
    "500": Failure(
        fails(Fault.SERVER_ERROR), "account_unavailable", "InternalError: An internal"
    ),
    "error code": Failure(
        fails(Fault.ERROR_CODE), "account_unavailable", "SystemError: A system error"
    ),
    "redirect": Failure(fails(Fault.REDIRECT), "account_unavailable", "HTTP 302"),
    "reset": Failure(
        fails(Fault.RESET), "cannot_connect", "The connection to 127.0.0.1"
    ),
    "cut": Failure(fails(Fault.CUT), "cannot_connect", "was lost"),
    "HTML": Failure(fails(Fault.HTML), "invalid_answer", "The answer is not JSON"),
    "empty": Failure(fails(Fault.EMPTY), "invalid_answer", "The answer is not JSON"),
    "wrong types": Failure(
        fails(Fault.WRONG_TYPES), "invalid_answer", "The answer holds no spend"
    ),
}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES)
async def test_failure_and_recovery(
    hass: HomeAssistant,
    flows: AccessFlows,
    simulator: Simulator,
    source: str,
    failure: Failure,
) -> None:
    form = await flows.ask(source)
    failure.cause(simulator)
    form = await flows.type_in(form)
    assert form["errors"] == {"base": failure.error}
    assert failure.words in placeholder(form, "error")
    assert placeholder(form, "permission") == failure.permission
    assert_asked_again(flows, form)
    assert simulator.redirect_target_hits == 0
    assert [entry.data for entry in hass.config_entries.async_entries(DOMAIN)] == (
        [] if source == SOURCE_USER else [stored(simulator)]
    )
    recover(simulator)
    result = await flows.fill(form)
    assert await flows.end(result, source) == stored_anew(simulator)


@pytest.mark.parametrize("source", SOURCES)
async def test_nobody_answers(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    form = await flows.ask(source)
    await simulator.stop()
    form = await flows.type_in(form)
    assert form["errors"] == {"base": "cannot_connect"}
    assert "Connection refused by 127.0.0.1:" in placeholder(form, "error")
    assert_asked_again(flows, form)
    await simulator.start()
    result = await flows.fill(form)
    assert await flows.end(result, source) == stored_anew(simulator)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.logs(
    "^ERROR custom_components.alibaba_cloud"
    " Unexpected error while trying the AccessKey$"
)
async def test_unknown_failure_and_recovery(
    hass: HomeAssistant, flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    form = await flows.ask(source)
    async_get_session(hass).detach()
    form = await flows.type_in(form)
    assert form["errors"] == {"base": "unknown"}
    assert_asked_again(flows, form)
    del hass.data[DATA_SESSION]
    result = await flows.fill(form)
    assert await flows.end(result, source) == stored_anew(simulator)


@pytest.mark.parametrize("source", SOURCES)
async def test_one_error_takes_the_place_of_another(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    form = await flows.ask(source)
    simulator.denied.update(GRANTS)
    form = await flows.type_in(form)
    assert form["errors"] == {"base": "missing_permission"}
    simulator.fail(Fault.UNAUTHORIZED, at="balance")
    simulator.fail(Fault.BAD_REQUEST, code="InvalidTimeStamp.Expired", at="billing")
    form = await flows.fill(form)
    # Errors to correct first; missing permissions only matter afterwards.
    assert form["errors"] == {"base": "invalid_access_key"}
    assert placeholder(form, "error").startswith("InvalidAccessKeyId.NotFound")
    simulator.recover(at="balance")
    form = await flows.fill(form)
    assert form["errors"] == {"base": "clock_skew"}
    simulator.fail(Fault.RESET, at="billing")
    form = await flows.fill(form, access_key_secret=NEW_ACCESS_KEY_SECRET)
    # Other causes may end by themselves; a missing permission does not.
    assert form["errors"] == {"base": "missing_permission"}
    assert placeholder(form, "permission") == (
        f"{POLICIES['balance']}, {POLICIES['prometheus']}"
    )
    form = await flows.fill(
        form, {"balance_endpoint": "nowhere"}, access_key_secret="x"
    )
    assert form["errors"] == {"endpoints": "invalid_balance_endpoint"}
    form = await flows.fill(form, access_key_secret=None)
    assert form["errors"] == {"access_key_secret": "access_key_incomplete"}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "key_id", ["LTAI 5t", "LTAI:5t", "LTAI,5t", "ключ", "LTAI\n5t"]
)
async def test_what_can_be_no_access_key_is_not_sent(
    flows: AccessFlows, simulator: Simulator, source: str, key_id: str
) -> None:
    form = await flows.ask(source)
    form = await flows.type_in(form, access_key_id=key_id)
    assert form["errors"] == {"base": "invalid_access_key"}
    assert_asked_again(flows, form, access_key_id=key_id)
    assert simulator.signed_requests == []


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("service", SERVICES)
async def test_secret_that_a_service_repeats_is_not_shown(
    flows: AccessFlows, simulator: Simulator, source: str, service: str
) -> None:
    message = f"No {NEW_ACCESS_KEY_SECRET}!"
    if service == "prometheus":
        message += f" No {ACCESS_KEY_SECRETS[-1]}!"
    fault = fails(
        Fault.BAD_REQUEST, service, code=f"Bad.{NEW_ACCESS_KEY_SECRET}", message=message
    )
    form = await flows.ask(source)
    fault(simulator)
    menu = await flows.type_in(form)
    assert menu["step_id"] == "partial_access"
    redacted = "No **REDACTED**!"
    if service == "prometheus":
        redacted += f" {redacted}"
    assert placeholder(
        menu, {"billing": "spend", "balance": "balance", "prometheus": "rates"}[service]
    ) == "✗ " + escape_markdown(f"Bad.**REDACTED**: {redacted}")
    form = await flows.choose(menu, "access_key")
    for other in set(SERVICES) - {service}:
        fails(Fault.RESET, other)(simulator)
    form = await flows.fill(form, access_key_secret=NEW_ACCESS_KEY_SECRET)
    # The first failing service, in their order.
    assert form["errors"] == {
        "base": "account_unavailable" if service == "billing" else "cannot_connect"
    }
    if service == "billing":
        assert placeholder(form, "error") == f"Bad.**REDACTED**: {redacted}"
