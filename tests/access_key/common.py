"""Helpers for the tests of the AccessKey's forms."""

from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any, Final

import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from custom_components.alibaba_cloud.model_studio import TOKEN_PLAN_REGIONS
from custom_components.alibaba_cloud.reauth import CONF_REAUTH
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
from tests.common import API_KEY, attributes, setup, state
from tests.flows import (
    NEW_ACCESS_KEY_SECRET,
    REGIONS,
    Flows,
    assert_aborted,
    fields,
    known,
)
from tests.simulator import (
    DEFAULT_ACCESS_KEY_ID,
    DEFAULT_ACCESS_KEY_SECRET,
    Fault,
    Simulator,
)

SOURCES: Final = (SOURCE_USER, SOURCE_RECONFIGURE, SOURCE_REAUTH)
MENDED: Final = (SOURCE_RECONFIGURE, SOURCE_REAUTH)
STEPS: Final = {
    SOURCE_USER: "access_key",
    SOURCE_RECONFIGURE: "reconfigure_access_key",
    SOURCE_REAUTH: "reauth_access_key",
}

MARKER: Final = {CONF_REAUTH: "access_key_id"}
"""The context of a reauth flow that asks for an AccessKey."""

NEW_ACCESS_KEY_ID: Final = "LTAI5tAnother"
ACCESS_KEYS: Final = {
    DEFAULT_ACCESS_KEY_ID: DEFAULT_ACCESS_KEY_SECRET,
    NEW_ACCESS_KEY_ID: NEW_ACCESS_KEY_SECRET,
}
ACCESS_KEY_SECRETS: Final = (
    *ACCESS_KEYS.values(),
    *(b64encode(":".join(pair).encode()).decode() for pair in ACCESS_KEYS.items()),
)
"""Secrets that must not appear: as entered, and as sent to Prometheus."""

ENDPOINTS: Final = ("billing_endpoint", "balance_endpoint", "prometheus_url")
SERVICES: Final = ("billing", "balance", "prometheus")
GRANTS: Final = ("GetBillingTrend", "QueryAccountBalance", "prometheus")
ALL_REGIONS: Final = (*REGIONS, "eu-central-1", "ap-northeast-1")

CHINA: Final = "business.aliyuncs.com"
INTERNATIONAL: Final = "business.ap-southeast-1.aliyuncs.com"
INSTANCE_HOST: Final = "one.cn-beijing.log.aliyuncs.com"
"""The host of the account's Prometheus instances."""
HOSTS: Final = (
    CHINA,
    INTERNATIONAL,
    INSTANCE_HOST,
    *(
        f"{service}.{region}.aliyuncs.com"
        for service in ("modelstudio", "metrics")
        for region in ALL_REGIONS
    ),
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
"""The RAM permission for each service."""


class AccessFlows(Flows):
    """Goes through the AccessKey step as the frontend does."""

    entry: ConfigEntry
    """The account that is changed, or the one that is created at the end."""

    def __init__(
        self, hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
    ) -> None:
        """Store the simulator."""
        super().__init__(hass, monkeypatch)
        self.simulator = simulator

    async def first(self) -> ConfigFlowResult:
        """Return the form in a flow that sets up an account."""
        form = await self.submit_url(
            await self.begin(), self.simulator.base_url, api_key=API_KEY
        )
        assert form["step_id"] == "access_key"
        return form

    async def reconfigure_access_key(self, entry: MockConfigEntry) -> ConfigFlowResult:
        """Return the form in a flow that reconfigures an account."""
        return await self.choose(await self.change(entry), "access_key")

    async def reauth_access_key(self, entry: MockConfigEntry) -> ConfigFlowResult:
        """Return the form in a reauth flow for the AccessKey."""
        return await self._checked(
            await entry.start_reauth_flow(self.hass, context=MARKER, data=MARKER)
        )

    async def ask(
        self, source: str, data: Mapping[str, Any] | None = None
    ) -> ConfigFlowResult:
        """Return the form of a flow; `data` is the data of an existing account."""
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
        """Return the initial values of a form in the frontend."""
        return initial(self.json(form)["data_schema"])

    async def fill(
        self,
        form: ConfigFlowResult,
        endpoints: Mapping[str, str | None] | None = None,
        /,
        **typed: str | None,
    ) -> ConfigFlowResult:
        """Submit a form with its initial values and changes; None empties a field."""
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
        """Submit the new AccessKey and all endpoints."""
        return await self.fill(
            form, endpoints(self.simulator), **NEW_ACCESS_KEY | changes
        )

    async def end(
        self, result: ConfigFlowResult, source: str, *, failing: Sequence[str] = ()
    ) -> dict[str, Any]:
        """Check that a flow succeeds, and return the data that is stored.

        A user to whom no models are suggested selects none.

        failing: the sources that the account can't read at the end.
        """
        if source == SOURCE_USER:
            assert result["step_id"] == "models"
            shown = self.shown(result)
            shown["all_models"] = not shown["models"]
            result = await self.submit(result, **shown)
            assert result["type"] is FlowResultType.CREATE_ENTRY
            self.entry = result["result"]
        else:
            assert_aborted(result, f"{source}_successful")
        assert self.entry.state is ConfigEntryState.LOADED
        account = self.entry.entry_id
        assert state(self.hass, "status", account=account) == "ok"
        status = attributes(self.hass, "status", account=account)
        assert sorted(status.get("failed_sources", {})) == sorted(failing)
        expected = {
            "base_url": {"quotas", "prices"},
            "access_key_id": {"spend", "balance", "assets"},
            "prometheus_url": {"rates", "totals"},
        }
        if self.entry.data.get("region") in TOKEN_PLAN_REGIONS:
            expected["region"] = {"token_plan"}
        assert set(self.entry.runtime_data.sources) == {
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


def initial(schema: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the initial values that the frontend computes for a form.

    The frontend reads the fields of a section only if the section itself has neither a
    suggestion nor a default.
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
    """Return the endpoints of the simulator."""
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
    """Return the data of an account with the new AccessKey."""
    return stored(
        simulator,
        access_key_id=NEW_ACCESS_KEY_ID,
        access_key_secret=NEW_ACCESS_KEY_SECRET,
        **changes,
    )


def asked(simulator: Simulator) -> dict[str, int]:
    """Return the number of requests per AccessKey, and clear the log."""
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
    """Return the hosts in the order of their first request, and clear the log."""
    seen = [request.headers["host"] for request in simulator.signed_requests]
    simulator.signed_requests.clear()
    return list(dict.fromkeys(seen))


def fails(fault: Fault, *services: str, **options: Any) -> Callable[[Simulator], None]:
    """Return a function that makes services fail; without names, all of them."""

    def cause(simulator: Simulator) -> None:
        for service in services or SERVICES:
            simulator.fail(fault, at=service, **options)  # type: ignore[arg-type]

    return cause


def denies(*grants: str) -> Callable[[Simulator], None]:
    """Return a function that removes permissions."""
    return lambda simulator: simulator.denied.update(grants)


def clock(hours: int) -> Callable[[Simulator], None]:
    """Return a function that moves the service's clock."""

    def cause(simulator: Simulator) -> None:
        simulator.clock_offset = timedelta(hours=hours)

    return cause


def recover(simulator: Simulator) -> None:
    """End all failures."""
    simulator.recover()
    simulator.denied.clear()
    simulator.inactive_access_keys.clear()
    simulator.clock_offset = timedelta()
    simulator.access_keys = dict(ACCESS_KEYS)


def assert_asked_again(
    flows: AccessFlows, form: ConfigFlowResult, **values: str | None
) -> None:
    """Check that the form keeps the input, including the secret."""
    assert form["type"] is FlowResultType.FORM
    assert form["step_id"] in STEPS.values()
    expected = {
        **NEW_ACCESS_KEY,
        "region": "cn-beijing",
        **values,
    }
    shown = flows.shown(form)
    assert shown.pop("endpoints") == endpoints(flows.simulator)
    assert shown == {key: value for key, value in expected.items() if value is not None}
