"""The Prometheus instance that a flow finds by itself."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest

from homeassistant.config_entries import (
    SOURCE_RECONFIGURE,
    SOURCE_USER,
    ConfigFlowResult,
)
from homeassistant.core import HomeAssistant
from homeassistant.data_entry_flow import FlowResultType
from tests.flows import fields, leaks, placeholder
from tests.simulator import Fault, Instance, Simulator

from .common import (
    ENDPOINTS,
    INSTANCE_HOST,
    MENDED,
    NEW_ACCESS_KEY,
    NEW_ACCESS_KEY_ID,
    POLICIES,
    SOURCES,
    AccessFlows,
    asked,
    assert_asked_again,
    hosts,
    stored,
    stored_anew,
    without_access_key,
)

pytestmark = pytest.mark.usefixtures("enable_custom_integrations", "vendor")

TOKEN = "canary-0123456789"
URL = f"https://{INSTANCE_HOST}/prometheus"


@pytest.fixture(autouse=True)
def instances(limits: None, simulator: Simulator) -> list[Instance]:
    """Let the account have three instances."""
    simulator.account.instances = [
        Instance(id="rw-1", name="Abroad", url=URL, region="us-east-1", token=TOKEN),
        Instance(id="rw-2", name="Model Studio", url=URL, token=TOKEN),
        Instance(id="rw-3", name="Archive", url="https://evil.example", token=TOKEN),
    ]
    return simulator.account.instances


@pytest.fixture(autouse=True)
def token_stays_with_the_service(
    hass: HomeAssistant, caplog: pytest.LogCaptureFixture
) -> Iterator[None]:
    """Fail a test that shows, logs or stores the token of an instance."""
    yield
    assert leaks(hass, caplog, [TOKEN]) == []
    for entry in hass.config_entries.async_entries():
        assert TOKEN not in repr((entry.as_dict(), vars(entry)))


async def find(flows: AccessFlows, source: str) -> ConfigFlowResult:
    """Return what follows the form of an AccessKey without any endpoint."""
    form = await flows.ask(source)
    return await flows.fill(form, dict.fromkeys(ENDPOINTS), **NEW_ACCESS_KEY)


def without_endpoints(simulator: Simulator) -> dict[str, str]:
    """Return the data of an account whose endpoints follow from the region."""
    return {k: v for k, v in stored_anew(simulator).items() if k not in ENDPOINTS}


@pytest.mark.parametrize("source", SOURCES)
async def test_instance_is_selected(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    """Those of the region come first. The one selected is read before it is stored."""
    form = await find(flows, source)
    assert form["type"] is FlowResultType.FORM
    assert form["step_id"] == "prometheus"
    _, selector = fields(form)["instance"]
    assert [(it["value"], it["label"]) for it in selector.config["options"]] == [
        ("rw-3", "Archive (cn-beijing)"),
        ("rw-2", "Model Studio (cn-beijing)"),
        ("rw-1", "Abroad (us-east-1)"),
        ("none", "none"),
    ]
    assert TOKEN not in repr(form)
    asked(simulator)
    result = await flows.submit(form, instance="rw-2")
    assert TOKEN not in repr(result)
    assert asked(simulator).keys() == {NEW_ACCESS_KEY_ID}
    expected = without_endpoints(simulator) | {"prometheus_url": URL}
    assert await flows.end(result, source) == expected


@pytest.mark.parametrize("source", SOURCES)
async def test_none_is_selected(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    result = await flows.submit(await find(flows, source), instance="none")
    assert await flows.end(result, source) == without_endpoints(simulator)


@pytest.mark.parametrize("source", SOURCES)
async def test_account_without_instances(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    simulator.account.instances = []
    result = await find(flows, source)
    assert await flows.end(result, source) == without_endpoints(simulator)


async def test_models_in_use_come_first(
    flows: AccessFlows, simulator: Simulator
) -> None:
    """The instance shows which models are used now, as a URL that was entered does."""
    simulator.trend_body = {"success": True, "code": "200", "data": {}}
    result = await flows.submit(await find(flows, SOURCE_USER), instance="rw-2")
    options = [it["value"] for it in fields(result)["models"][1].config["options"]]
    used = simulator.account.model_names
    assert set(options[: len(used)]) == set(used)
    await flows.end(result, SOURCE_USER)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    "cause",
    [Fault.SERVER_ERROR, Fault.FORBIDDEN, Fault.HTML, Fault.RESET, None],
    ids=str,
)
async def test_instances_that_cannot_be_listed_are_no_obstacle(
    flows: AccessFlows, simulator: Simulator, source: str, cause: Fault | None
) -> None:
    """The user learns why, and continues without the step."""
    if cause is None:
        simulator.denied = {"ListPrometheusInstances"}
    else:
        simulator.fail(cause, at="instances")
    menu = await find(flows, source)
    assert menu["step_id"] == "partial_access"
    assert placeholder(menu, "spend") == placeholder(menu, "balance") == "✓"
    assert placeholder(menu, "rates").startswith(
        "– To add usage later, reconfigure the AccessKey. The Prometheus instances can't"
        " be listed: "
    )
    result = await flows.choose(menu, "accept_access_key")
    assert await flows.end(result, source) == without_endpoints(simulator)


@pytest.mark.logs("Error fetching .* balance data")
async def test_summary_says_why(flows: AccessFlows, simulator: Simulator) -> None:
    simulator.denied = {"ListPrometheusInstances", "QueryAccountBalance"}
    menu = await find(flows, SOURCE_USER)
    assert menu["step_id"] == "partial_access"
    assert placeholder(menu, "rates") == (
        "– To add usage later, reconfigure the AccessKey. The Prometheus instances can't"
        " be listed: NoPermission: You are not authorized to perform cms:ListPrometheusInstances"
    )
    result = await flows.choose(menu, "accept_access_key")
    await flows.end(result, SOURCE_USER, failing=["balance"])


@pytest.mark.logs("Error fetching .* balance data")
async def test_instance_after_the_summary(
    flows: AccessFlows, simulator: Simulator
) -> None:
    """The step comes once the user continues with an AccessKey that reads a part."""
    simulator.denied = {"QueryAccountBalance"}
    menu = await find(flows, SOURCE_USER)
    assert placeholder(menu, "rates") == "–"
    form = await flows.choose(menu, "accept_access_key")
    assert form["step_id"] == "prometheus"
    result = await flows.submit(form, instance="rw-1")
    data = await flows.end(result, SOURCE_USER, failing=["balance"])
    assert data["prometheus_url"] == URL


@pytest.mark.logs("Error fetching .* spend data", "Error fetching .* balance data")
async def test_access_key_for_prometheus_only(
    flows: AccessFlows, simulator: Simulator
) -> None:
    """It can be used with an instance, but not without one."""
    simulator.denied = {"GetBillingTrend", "QueryAccountBalance"}
    menu = await find(flows, SOURCE_USER)
    assert menu["step_id"] == "partial_access"
    form = await flows.choose(menu, "accept_access_key")
    form = await flows.submit(form, instance="none")
    assert form["step_id"] == "prometheus"
    assert form["errors"] == {"base": "missing_permission"}
    assert placeholder(form, "permission") == (
        f"{POLICIES['billing']}, {POLICIES['balance']}"
    )
    result = await flows.submit(form, instance="rw-2")
    data = await flows.end(result, SOURCE_USER, failing=["spend", "balance"])
    assert data["prometheus_url"] == URL


@pytest.mark.parametrize("listed", [True, False])
async def test_access_key_that_reads_nothing(
    flows: AccessFlows,
    simulator: Simulator,
    instances: list[Instance],
    listed: bool,
) -> None:
    """There is no instance, or the instances can't be listed either."""
    simulator.denied = {"GetBillingTrend", "QueryAccountBalance"}
    if listed:
        instances.clear()
    else:
        simulator.denied.add("ListPrometheusInstances")
    form = await find(flows, SOURCE_USER)
    assert form["step_id"] == "access_key"
    assert form["errors"] == {"base": "missing_permission"}


async def test_instances_are_no_help_against_other_failures(
    flows: AccessFlows, simulator: Simulator
) -> None:
    simulator.denied = {"GetBillingTrend"}
    simulator.fail(Fault.SERVER_ERROR, at="balance")
    form = await find(flows, SOURCE_USER)
    assert form["errors"] == {"base": "missing_permission"}
    paths = [request.path for request in simulator.signed_requests]
    assert "/prometheus-instances" not in paths


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize(
    ("url", "error"),
    [
        ("https://evil.example", "no_instance_url"),
        (f"http://{INSTANCE_HOST}/prometheus", "instance_not_encrypted"),
    ],
)
async def test_instance_with_another_address(
    flows: AccessFlows,
    instances: list[Instance],
    source: str,
    url: str,
    error: str,
) -> None:
    """The AccessKey is sent neither to another host nor unencrypted."""
    instances[2] = replace(instances[2], url=url)
    form = await find(flows, source)
    form = await flows.submit(form, instance="rw-3")
    assert form["errors"] == {"instance": error}
    result = await flows.submit(form, instance="rw-2")
    assert (await flows.end(result, source))["prometheus_url"] == URL


@pytest.mark.parametrize(
    ("at", "error"),
    [("instances", "InternalError"), ("prometheus", "internal")],
)
async def test_instance_that_cannot_be_read(
    flows: AccessFlows, simulator: Simulator, at: str, error: str
) -> None:
    """Neither its details, nor its usage."""
    form = await find(flows, SOURCE_RECONFIGURE)
    simulator.fail(Fault.SERVER_ERROR, at=at)  # type: ignore[arg-type]
    form = await flows.submit(form, instance="rw-2")
    assert form["errors"] == {"instance": "instance_not_read"}
    assert error in placeholder(form, "error")
    simulator.recover()
    result = await flows.submit(form, instance="rw-2")
    assert (await flows.end(result, SOURCE_RECONFIGURE))["prometheus_url"] == URL


async def test_instance_that_rejects_the_access_key(
    flows: AccessFlows, simulator: Simulator
) -> None:
    """Some instances want a token instead. The AccessKey is fine."""
    form = await find(flows, SOURCE_RECONFIGURE)
    simulator.fail(Fault.UNAUTHORIZED, at="prometheus")
    form = await flows.submit(form, instance="rw-2")
    assert form["errors"] == {"instance": "instance_not_read"}
    result = await flows.submit(form, instance="none")
    assert "prometheus_url" not in await flows.end(result, SOURCE_RECONFIGURE)


@pytest.mark.parametrize("source", SOURCES)
async def test_instance_without_usage(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    """It may be that of another product. The user can select it again all the same."""
    simulator.fail(Fault.NO_MODELS, at="prometheus")
    form = await flows.submit(await find(flows, source), instance="rw-2")
    assert form["step_id"] == "prometheus"
    assert form["errors"] == {"instance": "no_usage"}
    assert flows.shown(form) == {"instance": "rw-2"}
    simulator.signed_requests.clear()
    result = await flows.submit(form, instance="rw-2")
    expected = without_endpoints(simulator) | {"prometheus_url": URL}
    assert await flows.end(result, source) == expected


async def test_another_instance_has_usage(
    flows: AccessFlows, simulator: Simulator
) -> None:
    simulator.fail(Fault.NO_MODELS, at="prometheus")
    form = await flows.submit(await find(flows, SOURCE_USER), instance="rw-2")
    assert form["errors"] == {"instance": "no_usage"}
    simulator.recover()
    result = await flows.submit(form, instance="rw-1")
    assert (await flows.end(result, SOURCE_USER))["prometheus_url"] == URL


async def test_usage_is_checked_once_prometheus_can_be_read(
    flows: AccessFlows, simulator: Simulator
) -> None:
    """A URL that could not be read has not been checked."""
    simulator.fail(Fault.SERVER_ERROR, at="prometheus")
    menu = await flows.type_in(await flows.ask(SOURCE_USER))
    assert menu["step_id"] == "partial_access"
    simulator.recover()
    simulator.fail(Fault.NO_MODELS, at="prometheus")
    form = await flows.fill(await flows.choose(menu, "access_key"))
    assert form["errors"] == {"endpoints": "no_usage"}


@pytest.mark.logs("Error fetching .* spend data", "Error fetching .* balance data")
async def test_instance_without_usage_does_not_count_if_none_is_used(
    flows: AccessFlows, simulator: Simulator
) -> None:
    """The AccessKey then still reads nothing."""
    simulator.denied = {"GetBillingTrend", "QueryAccountBalance"}
    simulator.fail(Fault.NO_MODELS, at="prometheus")
    form = await flows.choose(await find(flows, SOURCE_USER), "accept_access_key")
    form = await flows.submit(form, instance="rw-2")
    assert form["errors"] == {"instance": "no_usage"}
    form = await flows.submit(form, instance="none")
    assert form["errors"] == {"base": "missing_permission"}
    result = await flows.submit(form, instance="rw-2")
    await flows.end(result, SOURCE_USER, failing=["spend", "balance"])


@pytest.mark.parametrize(
    "last_days",
    [
        {
            "status": "success",
            "data": {
                "resultType": "vector",
                "result": [{"metric": {}, "value": [0, "3"]}],
            },
        },
        {"status": "error", "errorType": "execution", "error": "too many samples"},
    ],
    ids=["usage", "error"],
)
async def test_instance_without_usage_of_the_last_minute(
    flows: AccessFlows, simulator: Simulator, last_days: dict[str, Any]
) -> None:
    """Usage of the last days is enough. That it can't be read is no obstacle."""
    queries: list[str] = []

    def answer(query: Mapping[str, str]) -> dict[str, Any]:
        queries.append(query["query"])
        if "[7d]" in query["query"]:
            return last_days
        return {"status": "success", "data": {"resultType": "vector", "result": []}}

    simulator.telemetry_body = answer
    result = await flows.submit(await find(flows, SOURCE_USER), instance="rw-2")
    assert result["step_id"] == "models"
    # Tokens and requests of the last minute, and whether there are any of the last days.
    assert len(queries) == 3
    assert (await flows.end(result, SOURCE_USER))["prometheus_url"] == URL


@pytest.mark.parametrize("source", SOURCES)
async def test_url_without_usage(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    """A URL that is entered is checked alike."""
    simulator.fail(Fault.NO_MODELS, at="prometheus")
    form = await flows.ask(source, without_access_key(simulator))
    form = await flows.type_in(form)
    assert_asked_again(flows, form)
    assert form["errors"] == {"endpoints": "no_usage"}
    result = await flows.fill(form)
    assert await flows.end(result, source) == stored_anew(simulator)


@pytest.mark.parametrize("source", MENDED)
async def test_current_url_without_usage(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    """The Prometheus that the account uses already needs no confirmation."""
    form = await flows.ask(source, stored(simulator))
    simulator.fail(Fault.NO_MODELS, at="prometheus")
    result = await flows.type_in(form)
    assert await flows.end(result, source) == stored_anew(simulator)


async def test_nothing_is_listed_with_a_url(
    flows: AccessFlows, simulator: Simulator
) -> None:
    form = await flows.ask(SOURCE_USER)
    url = {"prometheus_url": simulator.prometheus_url}
    result = await flows.fill(form, url, **NEW_ACCESS_KEY)
    paths = [request.path for request in simulator.signed_requests]
    assert "/prometheus-instances" not in paths
    await flows.end(result, SOURCE_USER)


async def find_at_own_endpoint(
    flows: AccessFlows, simulator: Simulator
) -> ConfigFlowResult:
    """Return what follows the form of an AccessKey with an OpenAPI endpoint."""
    own = {"billing_endpoint": simulator.openapi_url}
    return await flows.fill(await flows.ask(SOURCE_USER), own, **NEW_ACCESS_KEY)


async def test_instances_of_an_own_endpoint(
    flows: AccessFlows, simulator: Simulator, instances: list[Instance]
) -> None:
    """They may be at its host, too. CloudMonitor's own endpoint is not asked."""
    instances[0] = replace(instances[0], url=simulator.prometheus_url)
    form = await find_at_own_endpoint(flows, simulator)
    assert form["step_id"] == "prometheus"
    form = await flows.submit(form, instance="rw-3")
    assert form["errors"] == {"instance": "no_instance_url"}
    result = await flows.submit(form, instance="rw-1")
    assert not [host for host in hosts(simulator) if host.startswith("metrics.")]
    data = await flows.end(result, SOURCE_USER)
    assert data["prometheus_url"] == simulator.prometheus_url
    assert data["billing_endpoint"] == simulator.openapi_url


@pytest.mark.parametrize("cause", [Fault.SERVER_ERROR, Fault.HTML], ids=str)
async def test_own_endpoint_need_not_list_instances(
    flows: AccessFlows, simulator: Simulator, cause: Fault
) -> None:
    """It may have the bill only. The set-up goes on as without instances."""
    simulator.fail(cause, at="instances")
    result = await find_at_own_endpoint(flows, simulator)
    assert "prometheus_url" not in await flows.end(result, SOURCE_USER)


async def test_own_endpoint_that_wants_a_permission_for_instances(
    flows: AccessFlows, simulator: Simulator
) -> None:
    """It has them, so the user learns what is missing."""
    simulator.denied = {"ListPrometheusInstances"}
    menu = await find_at_own_endpoint(flows, simulator)
    assert menu["step_id"] == "partial_access"
    assert "cms:ListPrometheusInstances" in placeholder(menu, "rates")
    result = await flows.choose(menu, "accept_access_key")
    assert "prometheus_url" not in await flows.end(result, SOURCE_USER)
