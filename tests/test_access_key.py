"""The AccessKey in the flows: entered, tried, kept, mended and given up again."""

from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from datetime import timedelta
import ssl
from typing import Any, Final, NamedTuple

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry
import voluptuous as vol
from yarl import URL

from custom_components.alibaba_cloud.const import DOMAIN
from custom_components.alibaba_cloud.reauth import CONF_REAUTH
from custom_components.alibaba_cloud.sources import DATA_SESSION, async_get_session
from homeassistant.config_entries import (
    SOURCE_REAUTH,
    SOURCE_RECONFIGURE,
    SOURCE_USER,
    ConfigEntry,
    ConfigEntryState,
    ConfigFlowResult,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from homeassistant.helpers import issue_registry as ir
from homeassistant.helpers.translation import async_get_translations

from .conftest import API_KEY, NOW, answer, setup
from .simulator import (
    DEFAULT_ACCESS_KEY_ID,
    DEFAULT_ACCESS_KEY_SECRET,
    Account,
    Fault,
    Simulator,
)
from .test_config_flow import (
    INVALID_URLS,
    NEW_ACCESS_KEY_SECRET,
    NEW_KEY,
    REGIONS,
    VARIABLE,
    Flows,
    answering_at,
    assert_aborted,
    fields,
    held,
    known,
    placeholder,
    tls,
)

pytestmark = pytest.mark.usefixtures("enable_custom_integrations")

SOURCES: Final = (SOURCE_USER, SOURCE_RECONFIGURE, SOURCE_REAUTH)
MENDED: Final = (SOURCE_RECONFIGURE, SOURCE_REAUTH)
STEPS: Final = {
    SOURCE_USER: "access_key",
    SOURCE_RECONFIGURE: "access_key",
    SOURCE_REAUTH: "reauth_access_key",
}

MARKER: Final = {CONF_REAUTH: "access_key_id"}
"""Tells a reauth flow that asks for an AccessKey."""

NEW_ACCESS_KEY_ID: Final = "LTAI5tAnother"
ACCESS_KEYS: Final = {
    DEFAULT_ACCESS_KEY_ID: DEFAULT_ACCESS_KEY_SECRET,
    NEW_ACCESS_KEY_ID: NEW_ACCESS_KEY_SECRET,
}
ACCESS_KEY_SECRETS: Final = (
    *ACCESS_KEYS.values(),
    *(b64encode(":".join(pair).encode()).decode() for pair in ACCESS_KEYS.items()),
)
"""What is to be seen nowhere: as typed in, and as Prometheus is sent it."""

ENDPOINTS: Final = ("billing_endpoint", "balance_endpoint", "prometheus_url")
SERVICES: Final = ("billing", "balance", "prometheus")
GRANTS: Final = ("GetBillingTrend", "QueryAccountBalance", "prometheus")
ALL_REGIONS: Final = (*REGIONS, "eu-central-1", "ap-northeast-1")

CHINA: Final = "business.aliyuncs.com"
INTERNATIONAL: Final = "business.ap-southeast-1.aliyuncs.com"
HOSTS: Final = (
    CHINA,
    INTERNATIONAL,
    *(f"modelstudio.{region}.aliyuncs.com" for region in ALL_REGIONS),
)
NOT_APPLICABLE: Final = {
    "Code": "NotApplicable",
    "Message": "This API is not applicable for caller.",
    "RequestId": "1",
    "Success": False,
}

POLICIES: Final = {
    "billing": "modelstudio:GetBillingTrend",
    "balance": "AliyunBSSReadOnlyAccess",
    "prometheus": "AliyunPrometheusMetricReadAccess",
}
"""What a user is granted in RAM for each."""
SPEND: Final = (
    f"{POLICIES['billing']}: NoPermission: "
    "You are not authorized to perform modelstudio:GetBillingTrend."
)
BALANCE: Final = (
    f"{POLICIES['balance']}: NotAuthorized: This API is not authorized for caller."
)
THROTTLED: Final = "Request was denied due to user flow control."
PROMETHEUS: Final = f"{POLICIES['prometheus']}: HTTP 403"
SPEND_FAILS: Final = f"Error fetching .* spend data: .*{POLICIES['billing']}"
BALANCE_FAILS: Final = f"Error fetching .* balance data: .*{POLICIES['balance']}"
PROMETHEUS_FAILS: Final = tuple(
    f"Error fetching .* {source} data: .*{POLICIES['prometheus']}"
    for source in ("rates", "totals")
)


@pytest.fixture(autouse=True)
def limits(freezer: FrozenDateTimeFactory, simulator: Simulator) -> None:
    """Have the API key read limits only, and let two AccessKeys in."""
    freezer.move_to(NOW)
    simulator.body = None
    simulator.account = Account(answer="limits", catalogue_rows=10)
    simulator.access_keys = dict(ACCESS_KEYS)


@pytest.fixture(autouse=True)
def secret(hass: HomeAssistant, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that lets a secret into the log, a state or the name of anything."""
    yield
    told = [
        caplog.handler.format(record)
        for when in ("setup", "call")
        for record in caplog.get_records(when)
    ]
    told += [repr(current.as_dict()) for current in hass.states.async_all()]
    told += [entry.title for entry in hass.config_entries.async_entries()]
    told += [repr(flow) for flow in hass.config_entries.flow.async_progress()]
    told += [repr(issue) for issue in ir.async_get(hass).issues.values()]
    assert [
        line for line in told if any(secret in line for secret in ACCESS_KEY_SECRETS)
    ] == []


@pytest.fixture(scope="module")
def contexts(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return what the vendor's own hosts are served with, made while time passes.

    What makes certificates never forgets the first kind of `datetime` that it saw.
    """
    return tls(tmp_path_factory.mktemp("tls"), HOSTS)


@pytest.fixture
async def vendor(
    hass: HomeAssistant,
    simulator: Simulator,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> AsyncIterator[None]:
    """Have the simulator answer at the vendor's own hosts."""
    async with answering_at(hass, simulator, contexts):
        yield


class AccessFlows(Flows):
    """Goes through the step of the AccessKey as a frontend does."""

    entry: ConfigEntry
    """The account that is mended, or in the end the one that is set up."""

    def __init__(
        self, hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
    ) -> None:
        """Keep what flows run in, and what is asked."""
        super().__init__(hass, monkeypatch)
        self.simulator = simulator

    async def first(self) -> ConfigFlowResult:
        """Return the form of the step in a flow that sets an account up."""
        form = await self.submit(
            await self.begin(), api_key=API_KEY, base_url=self.simulator.base_url
        )
        assert form["step_id"] == "access_key"
        return form

    async def reconfigure_access_key(self, entry: MockConfigEntry) -> ConfigFlowResult:
        """Return the form of the step in a flow that changes an account."""
        return await self.choose(await self.change(entry), "access_key")

    async def reauth_access_key(self, entry: MockConfigEntry) -> ConfigFlowResult:
        """Return the form of the step in a flow that asks for another AccessKey."""
        return await self._checked(
            await entry.start_reauth_flow(self.hass, context=MARKER, data=MARKER)
        )

    async def ask(
        self, source: str, data: Mapping[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Return the form of the step, of an account with this data if there is one."""
        if source == SOURCE_USER:
            form = await self.first()
        else:
            entry = known(
                self.hass, **(stored(self.simulator) if data is None else data)
            )
            await setup(self.hass, entry)
            self.entry = entry
            form = await (
                self.reauth_access_key(entry)
                if source == SOURCE_REAUTH
                else self.reconfigure_access_key(entry)
            )
        assert form["type"] is FlowResultType.FORM
        assert form["step_id"] == STEPS[source]
        assert not form["errors"]
        assert list(fields(form)) == [
            "access_key_id",
            "access_key_secret",
            "region",
            "endpoints",
        ]
        self.simulator.signed_requests.clear()
        return form

    def shown(self, form: ConfigFlowResult) -> dict[str, Any]:
        """Return what a form holds in the frontend before anything is typed in."""
        return initial(self.json(form)["data_schema"])

    async def fill(
        self,
        form: ConfigFlowResult,
        endpoints: Mapping[str, str | None] | None = None,
        /,
        **typed: str | None,
    ) -> ConfigFlowResult:
        """Submit what a form holds, and what is typed in; None empties a field."""
        values = self.shown(form)
        section = values.pop("endpoints", {}) | (endpoints or {})
        values |= typed
        if section := {k: v for k, v in section.items() if v is not None}:
            values["endpoints"] = section
        return await self.submit(
            form, **{k: v for k, v in values.items() if v is not None}
        )

    async def type_in(
        self, form: ConfigFlowResult, **changes: str | None
    ) -> ConfigFlowResult:
        """Submit the new AccessKey, and all endpoints."""
        return await self.fill(
            form, endpoints(self.simulator), **NEW_ACCESS_KEY | changes
        )

    async def end(
        self, result: ConfigFlowResult, source: str, *, failing: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Check that a flow comes to its good end; return what is stored then.

        failing: the sources that the account can't read then.
        """
        if source == SOURCE_USER:
            assert result["step_id"] == "models"
            result = await self.submit(result, **self.shown(result))
            assert result["type"] is FlowResultType.CREATE_ENTRY
            self.entry = result["result"]
        else:
            assert_aborted(result, f"{source}_successful")
        assert self.entry.state is ConfigEntryState.LOADED
        coordinator = self.entry.runtime_data
        assert coordinator.status == "ok"
        assert sorted(coordinator.failed_sources.get("failed_sources", {})) == sorted(
            failing
        )
        expected = {"access_key_id": {"spend", "balance"}}
        expected["prometheus_url"] = {"rates", "totals"}
        assert set(coordinator.sources) == {
            name
            for field, names in expected.items()
            if field in self.entry.data
            for name in names
        }
        assert self._manager.async_progress() == []
        return dict(self.entry.data)


NEW_ACCESS_KEY: Final[dict[str, str | None]] = {
    "access_key_id": NEW_ACCESS_KEY_ID,
    "access_key_secret": NEW_ACCESS_KEY_SECRET,
}


@pytest.fixture
def flows(
    hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> AccessFlows:
    """Return what goes through flows."""
    return AccessFlows(hass, monkeypatch, simulator)


def initial(schema: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return what the frontend makes of a form before anything is typed in.

    It looks into a section only if the section itself has neither a suggestion nor a
    default.
    """
    values: dict[str, Any] = {}
    for field in schema:
        if (
            suggested := field.get("description", {}).get("suggested_value")
        ) is not None:
            values[field["name"]] = suggested
        elif "default" in field:
            values[field["name"]] = field["default"]
        elif field.get("type") == "expandable":
            section = initial(field["schema"])
            if field["required"] or section:
                values[field["name"]] = section
    return values


def endpoints(simulator: Simulator) -> dict[str, str]:
    """Return where the simulator is asked."""
    return {
        "billing_endpoint": simulator.openapi_url,
        "balance_endpoint": simulator.openapi_url,
        "prometheus_url": simulator.prometheus_url,
    }


def without_access_key(simulator: Simulator) -> dict[str, str]:
    """Return the data of an account without an AccessKey."""
    return {"api_key": API_KEY, "base_url": simulator.base_url}


def stored(simulator: Simulator, **changes: str) -> dict[str, str]:
    """Return the data of an account with an AccessKey."""
    return {
        **without_access_key(simulator),
        "access_key_id": DEFAULT_ACCESS_KEY_ID,
        "access_key_secret": DEFAULT_ACCESS_KEY_SECRET,
        "region": "cn-beijing",
        **endpoints(simulator),
        **changes,
    }


def stored_anew(simulator: Simulator, **changes: str) -> dict[str, str]:
    """Return the data of an account with the AccessKey that is typed in."""
    return stored(
        simulator,
        access_key_id=NEW_ACCESS_KEY_ID,
        access_key_secret=NEW_ACCESS_KEY_SECRET,
        **changes,
    )


def asked(simulator: Simulator) -> dict[str, int]:
    """Return how often each AccessKey signed, and forget it."""
    counted: dict[str, int] = {}
    for request in simulator.signed_requests:
        [key_id] = [
            key_id
            for key_id, pair in zip(ACCESS_KEYS, ACCESS_KEY_SECRETS[2:], strict=True)
            if f"Credential={key_id}," in request.headers["authorization"]
            or request.headers["authorization"] == f"Basic {pair}"
        ]
        counted[key_id] = counted.get(key_id, 0) + 1
    simulator.signed_requests.clear()
    return counted


def hosts(simulator: Simulator) -> list[str]:
    """Return the hosts that were asked, the first first, and forget them."""
    seen = [request.headers["host"] for request in simulator.signed_requests]
    simulator.signed_requests.clear()
    return list(dict.fromkeys(seen))


class Failure(NamedTuple):
    """What goes wrong, and what the form says of it."""

    cause: Callable[[Simulator], object]
    error: str
    words: str
    permission: str = ""


def fails(fault: Fault, *services: str, **options: Any) -> Callable[[Simulator], None]:
    """Return what lets services fail so, all without a name."""

    def cause(simulator: Simulator) -> None:
        for service in services or SERVICES:
            simulator.fail(fault, at=service, **options)  # type: ignore[arg-type]

    return cause


def denies(*grants: str) -> Callable[[Simulator], None]:
    """Return what takes permissions away."""
    return lambda simulator: simulator.denied.update(grants)


def clock(hours: int) -> Callable[[Simulator], None]:
    """Return what sets the service's clock."""

    def cause(simulator: Simulator) -> None:
        simulator.clock_offset = timedelta(hours=hours)

    return cause


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


def recover(simulator: Simulator) -> None:
    """Let nothing go wrong any more."""
    simulator.recover()
    simulator.denied.clear()
    simulator.inactive_access_keys.clear()
    simulator.clock_offset = timedelta()
    simulator.access_keys = dict(ACCESS_KEYS)


def assert_asked_again(
    flows: AccessFlows, form: ConfigFlowResult, **values: str | None
) -> None:
    """Check that the form is shown with what was typed in, though not the secret."""
    assert form["type"] is FlowResultType.FORM
    assert form["step_id"] in STEPS.values()
    expected = {
        "access_key_id": NEW_ACCESS_KEY_ID,
        "region": "cn-beijing",
        **values,
    }
    shown = flows.shown(form)
    assert shown.pop("endpoints") == endpoints(flows.simulator)
    assert shown == {key: value for key, value in expected.items() if value is not None}


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
    result = await flows.fill(form, access_key_secret=NEW_ACCESS_KEY_SECRET)
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
    result = await flows.fill(form, access_key_secret=NEW_ACCESS_KEY_SECRET)
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
    assert placeholder(form, "error") == ""
    assert_asked_again(flows, form)
    del hass.data[DATA_SESSION]
    result = await flows.fill(form, access_key_secret=NEW_ACCESS_KEY_SECRET)
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
    form = await flows.fill(form, access_key_secret=NEW_ACCESS_KEY_SECRET)
    # What is to be mended first; of permissions there is nothing to say before.
    assert form["errors"] == {"base": "invalid_access_key"}
    assert placeholder(form, "error").startswith("InvalidAccessKeyId.NotFound")
    simulator.recover(at="balance")
    form = await flows.fill(form, access_key_secret=NEW_ACCESS_KEY_SECRET)
    assert form["errors"] == {"base": "clock_skew"}
    simulator.fail(Fault.RESET, at="billing")
    form = await flows.fill(form, access_key_secret=NEW_ACCESS_KEY_SECRET)
    # Another cause may go by itself, a permission does not.
    assert form["errors"] == {"base": "missing_permission"}
    assert placeholder(form, "permission") == (
        f"{POLICIES['balance']}, {POLICIES['prometheus']}"
    )
    form = await flows.fill(
        form, {"balance_endpoint": "nowhere"}, access_key_secret="x"
    )
    assert form["errors"] == {"endpoints": "invalid_balance_endpoint"}
    form = await flows.fill(form)
    assert form["errors"] == {"access_key_secret": "access_key_incomplete"}
    assert placeholder(form, "error") == placeholder(form, "permission") == ""


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
    said = f"No {NEW_ACCESS_KEY_SECRET}!"
    if service == "prometheus":
        said += f" No {ACCESS_KEY_SECRETS[-1]}!"
    fault = fails(
        Fault.BAD_REQUEST, service, code=f"Bad.{NEW_ACCESS_KEY_SECRET}", message=said
    )
    form = await flows.ask(source)
    fault(simulator)
    menu = await flows.type_in(form)
    assert menu["step_id"] == "partial_access"
    redacted = "No **REDACTED**!"
    if service == "prometheus":
        redacted += f" {redacted}"
    assert placeholder(menu, "failed") == (
        f"- {POLICIES[service]}: Bad.**REDACTED**: {redacted}".replace("*", r"\*")
    )
    form = await flows.choose(menu, "access_key")
    for other in set(SERVICES) - {service}:
        fails(Fault.RESET, other)(simulator)
    form = await flows.fill(form, access_key_secret=NEW_ACCESS_KEY_SECRET)
    # The first that fails, in the order of the services.
    assert form["errors"] == {
        "base": "account_unavailable" if service == "billing" else "cannot_connect"
    }
    if service == "billing":
        assert placeholder(form, "error") == f"Bad.**REDACTED**: {redacted}"


@pytest.mark.parametrize("source", SOURCES)
async def test_access_key(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    form = await flows.ask(source)
    result = await flows.type_in(form, region="ap-southeast-1")
    # Each is read once in the flow; what the account reads comes later.
    assert await flows.end(result, source) == stored_anew(
        simulator, region="ap-southeast-1"
    )
    assert asked(simulator).keys() == {NEW_ACCESS_KEY_ID}


async def test_each_part_is_tried_once(
    flows: AccessFlows, simulator: Simulator
) -> None:
    form = await flows.ask(SOURCE_USER)
    await flows.type_in(form)
    assert sorted(request.path for request in simulator.signed_requests) == [
        "/",
        "/modelstudio/billing/trend",
        # Tokens and requests.
        "/prometheus/api/v1/query",
        "/prometheus/api/v1/query",
    ]


@pytest.mark.parametrize("source", SOURCES)
async def test_without_prometheus(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    form = await flows.ask(source)
    expected = stored_anew(simulator)
    del expected["prometheus_url"]
    result = await flows.fill(
        form, endpoints(simulator) | {"prometheus_url": None}, **NEW_ACCESS_KEY
    )
    assert await flows.end(result, source) == expected


@pytest.mark.parametrize("source", SOURCES)
async def test_blanks_are_left_out(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    form = await flows.ask(source)
    result = await flows.fill(
        form,
        {name: f" {url}/\n" for name, url in endpoints(simulator).items()},
        access_key_id=f" {NEW_ACCESS_KEY_ID}\n",
        access_key_secret=f"\t{NEW_ACCESS_KEY_SECRET} ",
    )
    assert await flows.end(result, source) == stored_anew(simulator)


@pytest.mark.parametrize(
    "typed",
    [
        {},
        {"access_key_id": "", "access_key_secret": ""},
        {"access_key_id": " ", "access_key_secret": "\t\n"},
        {"region": "us-east-1", "endpoints": {"prometheus_url": "nowhere"}},
    ],
    ids=["nothing", "empty", "blank", "only where to ask"],
)
async def test_going_without(
    flows: AccessFlows, simulator: Simulator, typed: dict[str, Any]
) -> None:
    result = await flows.submit(await flows.ask(SOURCE_USER), **typed)
    stored_now = await flows.end(result, SOURCE_USER)
    assert stored_now == without_access_key(simulator)
    assert simulator.signed_requests == []


@pytest.mark.parametrize("source", MENDED)
@pytest.mark.parametrize("emptied", [None, "", " "], ids=["left out", "empty", "blank"])
async def test_giving_an_access_key_up(
    flows: AccessFlows, simulator: Simulator, source: str, emptied: str | None
) -> None:
    form = await flows.ask(source)
    result = await flows.fill(form, access_key_id=emptied)
    assert await flows.end(result, source) == without_access_key(simulator)
    assert flows.entry.runtime_data.sources == {}
    assert simulator.signed_requests == []


async def test_an_access_key_comes_later(
    flows: AccessFlows, simulator: Simulator
) -> None:
    form = await flows.ask(SOURCE_RECONFIGURE, without_access_key(simulator))
    assert flows.shown(form) == {"region": "cn-beijing"}
    result = await flows.type_in(form)
    assert await flows.end(result, SOURCE_RECONFIGURE) == stored_anew(simulator)


async def test_going_on_without(flows: AccessFlows, simulator: Simulator) -> None:
    form = await flows.ask(SOURCE_RECONFIGURE, without_access_key(simulator))
    result = await flows.fill(form)
    assert await flows.end(result, SOURCE_RECONFIGURE) == without_access_key(simulator)


async def test_account_that_reports_usage_can_have_an_access_key(
    flows: AccessFlows, simulator: Simulator
) -> None:
    simulator.body = answer("account")
    form = await flows.ask(SOURCE_RECONFIGURE, without_access_key(simulator))
    assert "Many API keys read limits only." in await flows.description(form)
    result = await flows.type_in(form)
    assert await flows.end(result, SOURCE_RECONFIGURE) == stored_anew(simulator)


@pytest.mark.parametrize("source", MENDED)
@pytest.mark.parametrize("secret", [None, "", " "], ids=["left out", "empty", "blank"])
@pytest.mark.parametrize(
    "key_id", [DEFAULT_ACCESS_KEY_ID, f" {DEFAULT_ACCESS_KEY_ID} "]
)
async def test_secret_stays(
    flows: AccessFlows,
    simulator: Simulator,
    source: str,
    secret: str | None,
    key_id: str,
) -> None:
    form = await flows.ask(source)
    result = await flows.fill(
        form,
        {"prometheus_url": None},
        access_key_id=key_id,
        access_key_secret=secret,
        region="us-east-1",
    )
    expected = stored(simulator, region="us-east-1")
    del expected["prometheus_url"]
    assert await flows.end(result, source) == expected
    assert asked(simulator).keys() == {DEFAULT_ACCESS_KEY_ID}


@pytest.mark.parametrize("source", MENDED)
async def test_nothing_changes_what_is_submitted_as_shown(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    before = stored(simulator, region="eu-central-1")
    form = await flows.ask(source, before)
    assert flows.shown(form) == {
        "access_key_id": DEFAULT_ACCESS_KEY_ID,
        "region": "eu-central-1",
        "endpoints": endpoints(simulator),
    }
    assert await flows.end(await flows.fill(form), source) == before


@pytest.mark.parametrize("source", MENDED)
async def test_other_secret_of_the_same_id(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    form = await flows.ask(source)
    simulator.access_keys = {DEFAULT_ACCESS_KEY_ID: NEW_ACCESS_KEY_SECRET}
    form = await flows.fill(form)
    assert form["errors"] == {"base": "invalid_access_key"}
    result = await flows.fill(form, access_key_secret=NEW_ACCESS_KEY_SECRET)
    assert await flows.end(result, source) == stored(
        simulator, access_key_secret=NEW_ACCESS_KEY_SECRET
    )


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("nothing", [None, "", " "], ids=["left out", "empty", "blank"])
async def test_half_an_access_key(
    flows: AccessFlows, simulator: Simulator, source: str, nothing: str | None
) -> None:
    """A secret belongs to an id: that of another one is not taken for it."""
    form = await flows.ask(source)
    form = await flows.type_in(form, access_key_secret=nothing)
    assert form["errors"] == {"access_key_secret": "access_key_incomplete"}
    assert_asked_again(flows, form)
    form = await flows.type_in(form, access_key_id=nothing)
    assert form["errors"] == {"access_key_id": "access_key_incomplete"}
    assert_asked_again(flows, form, access_key_id=nothing)
    assert simulator.signed_requests == []
    result = await flows.type_in(form)
    assert await flows.end(result, source) == stored_anew(simulator)


async def test_half_an_access_key_where_there_is_none(
    flows: AccessFlows, simulator: Simulator
) -> None:
    form = await flows.ask(SOURCE_RECONFIGURE, without_access_key(simulator))
    form = await flows.type_in(form, access_key_secret=None)
    assert form["errors"] == {"access_key_secret": "access_key_incomplete"}


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("name", ENDPOINTS)
async def test_invalid_url_and_recovery(
    flows: AccessFlows, simulator: Simulator, source: str, name: str
) -> None:
    """The section with the field that is named is open then."""
    form = await flows.ask(source)
    for url in filter(str.strip, INVALID_URLS):
        form = await flows.fill(
            form, endpoints(simulator) | {name: url}, **NEW_ACCESS_KEY
        )
        assert form["errors"] == {"endpoints": f"invalid_{name}"}, url
        assert flows.json(form)["data_schema"][-1]["expanded"] is True
        assert flows.shown(form) == {
            "access_key_id": NEW_ACCESS_KEY_ID,
            "region": "cn-beijing",
            "endpoints": endpoints(simulator) | {name: url},
        }
    assert simulator.signed_requests == []
    result = await flows.type_in(form)
    assert await flows.end(result, source) == stored_anew(simulator)


@pytest.mark.usefixtures("vendor")
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("region", "site"),
    [
        ("cn-beijing", CHINA),
        ("cn-hongkong", CHINA),
        ("ap-southeast-1", INTERNATIONAL),
        ("us-east-1", INTERNATIONAL),
        ("eu-central-1", INTERNATIONAL),
        ("ap-northeast-1", INTERNATIONAL),
    ],
)
@pytest.mark.parametrize("blank", [None, " "], ids=["left out", "blank"])
async def test_endpoints_follow_from_the_region(
    flows: AccessFlows,
    simulator: Simulator,
    source: str,
    region: str,
    site: str,
    blank: str | None,
) -> None:
    form = await flows.ask(source)
    result = await flows.fill(
        form, dict.fromkeys(ENDPOINTS, blank), region=region, **NEW_ACCESS_KEY
    )
    expected = [f"modelstudio.{region}.aliyuncs.com", site]
    assert sorted(hosts(simulator)) == sorted(expected)
    assert await flows.end(result, source) == {
        **without_access_key(simulator),
        "access_key_id": NEW_ACCESS_KEY_ID,
        "access_key_secret": NEW_ACCESS_KEY_SECRET,
        "region": region,
    }


@pytest.mark.usefixtures("vendor")
@pytest.mark.parametrize(
    ("region", "sites"),
    [
        ("cn-beijing", [CHINA, INTERNATIONAL]),
        ("ap-southeast-1", [INTERNATIONAL, CHINA]),
    ],
)
async def test_account_of_the_other_site(
    flows: AccessFlows, simulator: Simulator, region: str, sites: list[str]
) -> None:
    """A region does not tell for certain to which site an account belongs."""
    form = await flows.ask(SOURCE_USER)
    answers = iter([NOT_APPLICABLE, None, None])
    simulator.balance_body = lambda query: next(answers)
    result = await flows.fill(form, region=region, **NEW_ACCESS_KEY)
    assert [host for host in hosts(simulator) if "business" in host] == sites
    # The account that is set up knows what the flow has found out.
    await flows.end(result, SOURCE_USER)
    assert [host for host in hosts(simulator) if "business" in host] == sites[1:]


@pytest.mark.usefixtures("vendor")
@pytest.mark.parametrize("own", [False, True], ids=["both", "the only endpoint"])
async def test_account_of_neither_site(
    flows: AccessFlows, simulator: Simulator, own: bool
) -> None:
    form = await flows.ask(SOURCE_USER)
    simulator.balance_applicable = False
    typed = {"balance_endpoint": simulator.openapi_url} if own else {}
    menu = await flows.fill(form, typed, **NEW_ACCESS_KEY)
    assert menu["step_id"] == "partial_access"
    assert placeholder(menu, "failed") == (
        f"- {POLICIES['balance']}: NotApplicable: "
        "This API is not applicable for caller."
    )
    assert [host for host in hosts(simulator) if "modelstudio" not in host] == (
        [URL(simulator.openapi_url).authority] if own else [CHINA, INTERNATIONAL]
    )


@pytest.mark.parametrize(
    ("base_url", "region"),
    [
        *((url, region) for region, url in REGIONS.items()),
        *(
            (f"https://llm-1.{region}.maas.aliyuncs.com/api/v1", region)
            for region in ALL_REGIONS
        ),
        ("https://us-east-1.example/api/v1", "cn-beijing"),
    ],
)
async def test_region_of_the_api_key_is_suggested(
    hass: HomeAssistant, flows: AccessFlows, base_url: str, region: str
) -> None:
    entry = known(hass, api_key=API_KEY, base_url=base_url)
    form = await flows.reconfigure_access_key(entry)
    assert held(form, "region") == region
    _, selector = fields(form)["region"]
    assert selector.config["options"] == list(ALL_REGIONS)


async def test_form(flows: AccessFlows, simulator: Simulator) -> None:
    """The frontend has the endpoints that are stored, folded up, and no secret.

    What it makes of a section that has a default is that, without suggestions.
    """
    form = await flows.ask(SOURCE_RECONFIGURE)
    key_id, secret, region, section = flows.json(form)["data_schema"]
    assert key_id["description"] == {"suggested_value": DEFAULT_ACCESS_KEY_ID}
    assert not key_id["required"]
    assert secret["selector"]["text"]["type"] == "password"
    assert "description" not in secret and "default" not in secret
    assert not secret["required"]
    assert region["required"]
    assert section["type"] == "expandable"
    assert section["expanded"] is False
    assert "default" not in section
    assert {
        field["name"]: (field["description"]["suggested_value"], field["required"])
        for field in section["schema"]
    } == {name: (url, False) for name, url in endpoints(simulator).items()}


async def test_endpoints_that_follow_from_the_region_are_left_empty(
    hass: HomeAssistant, flows: AccessFlows, simulator: Simulator
) -> None:
    data = stored(simulator)
    del data["billing_endpoint"], data["balance_endpoint"]
    form = await flows.reconfigure_access_key(known(hass, **data))
    assert flows.shown(form)["endpoints"] == {
        "prometheus_url": simulator.prometheus_url
    }


async def test_form_names_what_is_to_be_granted(hass: HomeAssistant) -> None:
    texts = await async_get_translations(hass, "en", "config", [DOMAIN])
    text = texts[f"component.{DOMAIN}.config.step.access_key.description"]
    assert [policy for policy in POLICIES.values() if policy not in text] == []


@pytest.mark.parametrize("source", SOURCES)
async def test_region_is_one_of_the_list(flows: AccessFlows, source: str) -> None:
    form = await flows.ask(source)
    with pytest.raises(vol.Invalid):
        await flows.type_in(form, region="evil.example/")


PARTS: Final = [
    pytest.param(
        denies("GetBillingTrend"),
        [SPEND],
        ["spend"],
        id="bill",
        marks=pytest.mark.logs(SPEND_FAILS),
    ),
    pytest.param(
        denies("QueryAccountBalance"),
        [BALANCE],
        ["balance"],
        id="balance",
        marks=pytest.mark.logs(BALANCE_FAILS),
    ),
    pytest.param(
        denies("prometheus"),
        [PROMETHEUS],
        ["rates", "totals"],
        id="Prometheus",
        marks=pytest.mark.logs(*PROMETHEUS_FAILS),
    ),
    pytest.param(
        denies("GetBillingTrend", "QueryAccountBalance"),
        [SPEND, BALANCE],
        ["spend", "balance"],
        id="money",
        marks=pytest.mark.logs(SPEND_FAILS, BALANCE_FAILS),
    ),
    pytest.param(
        denies("GetBillingTrend", "prometheus"),
        [SPEND, PROMETHEUS],
        ["spend", "rates", "totals"],
        id="all but the balance",
        marks=pytest.mark.logs(SPEND_FAILS, *PROMETHEUS_FAILS),
    ),
    pytest.param(
        fails(Fault.THROTTLED, "balance"),
        [f"{POLICIES['balance']}: Throttling.User: {THROTTLED}"],
        ["balance"],
        id="balance throttled",
        marks=pytest.mark.logs("Error fetching .* balance data"),
    ),
    pytest.param(
        fails(Fault.HTML, "prometheus"),
        [f"{POLICIES['prometheus']}: The answer is not JSON"],
        ["rates", "totals"],
        id="no Prometheus",
        marks=pytest.mark.logs(
            "Error fetching .* rates data", "Error fetching .* totals data"
        ),
    ),
]


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(("cause", "failed", "failing"), PARTS)
async def test_partial_access_is_accepted(
    flows: AccessFlows,
    simulator: Simulator,
    source: str,
    cause: Callable[[Simulator], None],
    failed: list[str],
    failing: list[str],
) -> None:
    form = await flows.ask(source)
    cause(simulator)
    menu = await flows.type_in(form)
    assert menu["type"] is FlowResultType.MENU
    assert menu["step_id"] == "partial_access"
    assert menu["menu_options"] == ["accept_access_key", "access_key"]
    assert placeholder(menu, "failed") == "\n".join(f"- {line}" for line in failed)
    if source != SOURCE_USER:
        assert flows.entry.data == stored(simulator)
    # As it is once more where the page is loaded again.
    again = await flows.hass.config_entries.flow.async_configure(menu["flow_id"])
    assert flows.json(again) == flows.json(menu)
    result = await flows.choose(menu, "accept_access_key")
    await flows.hass.async_block_till_done(wait_background_tasks=True)
    assert await flows.end(result, source, failing=failing) == stored_anew(simulator)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("grant", GRANTS)
async def test_partial_access_is_mended(
    flows: AccessFlows, simulator: Simulator, source: str, grant: str
) -> None:
    form = await flows.ask(source)
    simulator.denied = {grant}
    menu = await flows.type_in(form)
    assert menu["step_id"] == "partial_access"
    form = await flows.choose(menu, "access_key")
    assert not form["errors"]
    assert_asked_again(flows, form)
    # It is tried again, and not taken for what was typed in before.
    menu = await flows.fill(form, access_key_secret=NEW_ACCESS_KEY_SECRET)
    assert menu["step_id"] == "partial_access"
    simulator.denied.clear()
    form = await flows.choose(menu, "access_key")
    result = await flows.fill(form, access_key_secret=NEW_ACCESS_KEY_SECRET)
    assert await flows.end(result, source) == stored_anew(simulator)


@pytest.mark.parametrize("source", SOURCES)
async def test_secret_that_works_in_part_stays(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    form = await flows.ask(source)
    simulator.denied = {"GetBillingTrend"}
    form = await flows.choose(await flows.type_in(form), "access_key")
    assert_asked_again(flows, form)
    form = await flows.fill(form, access_key_id="LTAI5tThird")
    assert form["errors"] == {"access_key_secret": "access_key_incomplete"}
    simulator.denied.clear()
    result = await flows.fill(form, access_key_id=NEW_ACCESS_KEY_ID)
    assert await flows.end(result, source) == stored_anew(simulator)


@pytest.mark.parametrize("source", SOURCES)
async def test_partial_access_is_given_up(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    """Nothing is left of what was tried."""
    form = await flows.ask(source)
    simulator.denied = {"QueryAccountBalance"}
    menu = await flows.type_in(form)
    form = await flows.choose(menu, "access_key")
    result = await flows.fill(form, access_key_id=None)
    if source == SOURCE_USER:
        assert held(result, "models") == []
    assert await flows.end(result, source) == without_access_key(simulator)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "cause",
    [fails(Fault.UNAUTHORIZED, "prometheus"), denies("prometheus")],
    ids=["401", "403"],
)
async def test_prometheus_does_not_let_in(
    flows: AccessFlows,
    simulator: Simulator,
    source: str,
    cause: Callable[[Simulator], None],
) -> None:
    """An AccessKey that is good for money is a good one."""
    form = await flows.ask(source)
    cause(simulator)
    menu = await flows.type_in(form)
    assert menu["step_id"] == "partial_access"
    assert placeholder(menu, "failed").startswith(
        f"- {POLICIES['prometheus']}: HTTP 40"
    )
    form = await flows.choose(menu, "access_key")
    result = await flows.fill(
        form, {"prometheus_url": None}, access_key_secret=NEW_ACCESS_KEY_SECRET
    )
    expected = stored_anew(simulator)
    del expected["prometheus_url"]
    assert await flows.end(result, source) == expected


async def test_prometheus_alone_lets_in(
    flows: AccessFlows, simulator: Simulator
) -> None:
    """Then an AccessKey is still none that signs."""
    form = await flows.ask(SOURCE_USER)
    fails(Fault.UNAUTHORIZED, "billing", "balance")(simulator)
    form = await flows.type_in(form)
    assert form["errors"] == {"base": "invalid_access_key"}


@pytest.mark.parametrize(
    ("denied", "chosen"),
    [
        (set(), True),
        ({"QueryAccountBalance"}, True),
        ({"prometheus"}, True),
        ({"GetBillingTrend"}, False),
    ],
)
async def test_models_that_cost_money_are_chosen(
    flows: AccessFlows, simulator: Simulator, denied: set[str], chosen: bool
) -> None:
    account = simulator.account
    names = sorted(account.model_names)
    account.add_model("qwen-free", weight=0)
    account.extra_models = 2
    form = await flows.ask(SOURCE_USER)
    simulator.denied = denied
    result = await flows.type_in(form)
    if denied:
        result = await flows.choose(result, "accept_access_key")
    simulator.denied = set()
    assert result["step_id"] == "models"
    offered = [
        option["value"] for option in fields(result)["models"][1].config["options"]
    ]
    assert {"qwen-free", *names} < set(offered)
    assert not any("billed-model" in name for name in offered)
    assert placeholder(result, "count") == str(len(offered))
    assert flows.shown(result) == {"models": names if chosen else []}
    await flows.end(result, SOURCE_USER)
    assert flows.entry.options == {"models": names if chosen else []}


async def test_what_is_paid_back_has_cost_nothing(
    flows: AccessFlows, simulator: Simulator
) -> None:
    simulator.trend_body = {
        "success": True,
        "data": {
            "costTotals": {"amount": "1.00", "currency": "CNY"},
            "resultByTime": [
                {
                    "period": period,
                    "total": {"amount": total, "currency": "CNY"},
                    "periodDetails": [
                        {"key": model, "amount": amount}
                        for model, amount in amounts.items()
                    ],
                }
                for period, total, amounts in (
                    ("20260803", "6.00", {"qwen-max": "1.00", "qwen-plus": "5.00"}),
                    ("20260804", "-5.00", {"qwen-plus": "-5.00"}),
                )
            ],
        },
    }
    form = await flows.type_in(await flows.ask(SOURCE_USER))
    assert flows.shown(form) == {"models": ["qwen-max"]}


async def test_chosen_models_can_be_unchosen(
    flows: AccessFlows, simulator: Simulator
) -> None:
    form = await flows.type_in(await flows.ask(SOURCE_USER))
    result = await flows.submit(form, models=["qwen-max"])
    assert result["type"] is FlowResultType.CREATE_ENTRY
    assert result["options"] == {"models": ["qwen-max"]}
    assert result["data"] == stored_anew(simulator)


async def test_another_flow_comes_first(
    hass: HomeAssistant, flows: AccessFlows, simulator: Simulator
) -> None:
    form = await flows.ask(SOURCE_USER)
    other = known(hass, **without_access_key(simulator))
    form = await flows.type_in(form)
    result = await flows.submit(form, models=[])
    assert_aborted(result, "already_configured")
    assert hass.config_entries.async_entries(DOMAIN) == [other]


@pytest.mark.logs(
    *["Error fetching .* (spend|balance|rates|totals) data: .*AccessKey"] * 4
)
async def test_reauth(
    hass: HomeAssistant, flows: AccessFlows, simulator: Simulator
) -> None:
    """An account asks for another AccessKey by itself, once."""
    del simulator.access_keys[DEFAULT_ACCESS_KEY_ID]
    entry = known(hass, **stored(simulator))
    await setup(hass, entry)
    assert entry.runtime_data.status == "ok"
    [flow] = hass.config_entries.flow.async_progress()
    assert flow["context"]["source"] == SOURCE_REAUTH
    assert flow["context"]["entry_id"] == entry.entry_id
    form = await flows._checked(
        await hass.config_entries.flow.async_configure(flow["flow_id"])
    )
    assert form["step_id"] == "reauth_access_key"
    assert not form["errors"]
    reason = "InvalidAccessKeyId.NotFound: Specified access key is not found."
    said = f"no longer accepts the AccessKey of Model Studio.\n\n{reason}\n\n"
    assert said in await flows.description(form)

    await simulator.stop()
    form = await flows.fill(form)
    assert form["errors"] == {"base": "cannot_connect"}
    # Why it is asked for, and what is wrong now, are two things.
    assert said in await flows.description(form)
    await simulator.start()
    form = await flows.fill(form)
    assert form["errors"] == {"base": "invalid_access_key"}
    flows.entry = entry
    result = await flows.fill(form, **NEW_ACCESS_KEY)
    assert await flows.end(result, SOURCE_REAUTH) == stored_anew(simulator)
    flows.assert_nothing_asked()


@pytest.mark.logs("Error fetching .* spend data", "Error fetching .* balance data")
async def test_reauth_says_what_rejects_the_access_key(
    hass: HomeAssistant, flows: AccessFlows, simulator: Simulator
) -> None:
    """It does not say what else fails."""
    simulator.fail(Fault.SERVER_ERROR, at="billing")
    simulator.fail(Fault.UNAUTHORIZED, at="balance")
    entry = known(hass, **stored(simulator))
    await setup(hass, entry)
    [flow] = hass.config_entries.flow.async_progress()
    form = await hass.config_entries.flow.async_configure(flow["flow_id"])
    assert placeholder(form, "rejection").startswith("InvalidAccessKeyId.NotFound: ")
    simulator.recover()
    flows.entry = entry
    result = await flows.type_in(form)
    assert await flows.end(result, SOURCE_REAUTH) == stored_anew(simulator)


@pytest.mark.parametrize("loaded", [True, False])
async def test_reauth_where_nothing_is_known_to_be_wrong(
    hass: HomeAssistant, flows: AccessFlows, simulator: Simulator, loaded: bool
) -> None:
    """The AccessKey may work again by then, or the account be unloaded."""
    entry = known(hass, **stored(simulator))
    if loaded:
        await setup(hass, entry)
    form = await flows.reauth_access_key(entry)
    assert placeholder(form, "rejection") == ""
    flows.entry = entry
    result = await flows.type_in(form)
    assert await flows.end(result, SOURCE_REAUTH) == stored_anew(simulator)


@pytest.mark.parametrize("key", [API_KEY, NEW_KEY], ids=["same key", "new key"])
@pytest.mark.parametrize(
    "stored_key",
    [{"api_key": API_KEY}, {"api_key_env": VARIABLE}],
    ids=["key", "variable"],
)
async def test_reauth_of_the_api_key_keeps_the_access_key(
    hass: HomeAssistant,
    flows: AccessFlows,
    simulator: Simulator,
    key: str,
    stored_key: dict[str, str],
) -> None:
    simulator.api_keys = {API_KEY, NEW_KEY}
    flows.monkeypatch.setenv(VARIABLE, API_KEY)
    before = stored(simulator) | stored_key
    if "api_key_env" in stored_key:
        del before["api_key"]
    entry = known(hass, **before)
    await setup(hass, entry)
    form = await flows.reauth(entry)
    assert form["step_id"] == "reauth_confirm"
    flows.entry = entry
    result = await flows.submit(form, api_key=key)
    assert await flows.end(result, SOURCE_REAUTH) == stored(simulator, api_key=key)


@pytest.mark.parametrize("key", [{}, {"api_key": NEW_KEY}], ids=["same key", "new key"])
async def test_reconfiguring_the_api_key_keeps_the_access_key(
    hass: HomeAssistant, flows: AccessFlows, simulator: Simulator, key: dict[str, str]
) -> None:
    async with Simulator(account=simulator.account) as other:
        other.api_keys = {API_KEY, NEW_KEY}
        entry = known(hass, **stored(simulator))
        await setup(hass, entry)
        form = await flows.reconfigure(entry)
        assert set(fields(form)) == {"api_key", "base_url"}
        flows.entry = entry
        result = await flows.submit(form, base_url=other.base_url, **key)
        assert await flows.end(result, SOURCE_RECONFIGURE) == stored(
            simulator, base_url=other.base_url, **key
        )
        await hass.config_entries.async_unload(entry.entry_id)


async def test_reconfiguring_the_access_key_keeps_the_variable_of_the_api_key(
    flows: AccessFlows, simulator: Simulator
) -> None:
    flows.monkeypatch.setenv(VARIABLE, API_KEY)

    def with_variable(data: dict[str, str]) -> dict[str, str]:
        del data["api_key"]
        return {"api_key_env": VARIABLE, **data}

    form = await flows.ask(SOURCE_RECONFIGURE, with_variable(stored(simulator)))
    result = await flows.type_in(form)
    assert await flows.end(result, SOURCE_RECONFIGURE) == with_variable(
        stored_anew(simulator)
    )
