"""The Prometheus instances of an account."""

import logging
import traceback
from typing import Any

import aiohttp
from alibabacloud_cms20240330 import models as vendor  # type: ignore[import-untyped]
from alibabacloud_cms20240330.client import Client  # type: ignore[import-untyped]
from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.model_studio import (
    InstancesClient,
    InvalidAnswerError,
    ModelStudioError,
    PermissionDeniedError,
    PrometheusInstance,
    UnencryptedURLError,
)
from custom_components.alibaba_cloud.model_studio.instances import (
    parse_instances,
    parse_url,
)
from tests.simulator import Fault, Instance, Simulator
from tests.vendor import client

from .common import KEY

pytestmark = [
    pytest.mark.usefixtures("socket_enabled"),
    pytest.mark.filterwarnings("ignore:It looks like `register_random`"),
    # Of the vendor's client.
    pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning"),
]

TOKEN = "canary-0123456789"
URL = "https://one.cn-beijing.log.aliyuncs.com/prometheus/project/store"
ENDPOINT = "https://metrics.cn-beijing.aliyuncs.com"
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@pytest.fixture
def simulator(simulator: Simulator) -> Simulator:
    """Return the service with an account that has two instances."""
    simulator.account.instances = [
        Instance(id="rw-1", name="Model Studio", url=URL, token=TOKEN),
        Instance(id="rw-2", name="", url=URL, region="ap-southeast-1", token=TOKEN),
    ]
    return simulator


@pytest.fixture
def instances(session: aiohttp.ClientSession, simulator: Simulator) -> InstancesClient:
    """Return a client that asks the simulator."""
    return InstancesClient(session, endpoint=simulator.openapi_url, access_key=KEY)


async def test_instances(simulator: Simulator, instances: InstancesClient) -> None:
    assert await instances.get_instances() == (
        PrometheusInstance(id="rw-1", name="Model Studio", region="cn-beijing"),
        PrometheusInstance(id="rw-2", region="ap-southeast-1"),
    )
    assert await instances.get_url("rw-1") == URL
    listed, details = simulator.signed_requests
    assert (listed.path, listed.query) == (
        "/prometheus-instances",
        {"maxResults": "100"},
    )
    assert (details.path, details.query) == ("/prometheus-instances/rw-1", {})


async def test_account_without_instances(
    simulator: Simulator, instances: InstancesClient
) -> None:
    simulator.account.instances = []
    assert await instances.get_instances() == ()


async def test_pages(simulator: Simulator, instances: InstancesClient) -> None:
    simulator.account.instances = [
        Instance(id=f"rw-{number}", name="", url=URL) for number in range(250)
    ]
    found = await instances.get_instances()
    assert [it.id for it in found] == [f"rw-{number}" for number in range(250)]
    tokens = [it.query.get("nextToken") for it in simulator.signed_requests]
    assert tokens == [None, "101", "201"]


@pytest.mark.parametrize(
    ("rows", "requests"),
    [
        # The same page again and again, and new ones without end.
        (lambda query: [{"prometheusInstanceId": "rw-1"}], 2),
        (lambda query: [{"prometheusInstanceId": f"rw-{query.get('nextToken')}"}], 10),
    ],
)
async def test_list_ends(
    simulator: Simulator, instances: InstancesClient, rows: Any, requests: int
) -> None:
    simulator.instances_body = lambda query: {
        "prometheusInstances": rows(query),
        "nextToken": f"{len(simulator.signed_requests)}",
    }
    assert await instances.get_instances()
    assert len(simulator.signed_requests) == requests


@pytest.mark.parametrize(
    ("action", "call"),
    [
        ("ListPrometheusInstances", InstancesClient.get_instances),
        ("GetPrometheusInstance", lambda instances: instances.get_url("rw-1")),
    ],
)
async def test_missing_permission(
    simulator: Simulator, instances: InstancesClient, action: str, call: Any
) -> None:
    simulator.denied = {action}
    with pytest.raises(PermissionDeniedError) as raised:
        await call(instances)
    assert raised.value.action == f"cms:{action}"


@pytest.mark.parametrize("fault", [None, *Fault])
async def test_token_stays_with_the_service(
    simulator: Simulator,
    instances: InstancesClient,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    fault: Fault | None,
) -> None:
    """No log, object or error contains it, whatever becomes of the answer."""
    caplog.set_level(logging.DEBUG)
    monkeypatch.setattr(
        "custom_components.alibaba_cloud.model_studio.http.TIMEOUT", 0.2
    )
    seen: list[str] = []
    if fault:
        simulator.fail(fault, at="instances")
    try:
        seen.append(repr(await instances.get_url("rw-1")))
    except ModelStudioError as err:
        seen += [repr(err), str(err), *traceback.format_exception(err)]
    for error in (b"{", b'{"code": "Oops", "message": "no"}'):
        answer = b'{"prometheusInstance": {"authToken": "%s"}' % TOKEN.encode()
        simulator.recover()
        simulator.instances_body = answer + error
        with pytest.raises(ModelStudioError) as raised:
            await instances.get_url("rw-1")
        seen += traceback.format_exception(raised.value)
    assert TOKEN not in "".join([*seen, *caplog.messages, repr(vars(instances))])


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (f" {URL}/", URL),
        (
            "https://cn-beijing.arms.aliyuncs.com:9443/api/v1/prometheus/a/b/c/cn-beijing",
            "https://cn-beijing.arms.aliyuncs.com:9443/api/v1/prometheus/a/b/c/cn-beijing",
        ),
        # The AccessKey is sent to no other host.
        ("https://evil.example/prometheus", None),
        ("https://aliyuncs.com.evil.example/prometheus", None),
        ("https://evilaliyuncs.com/prometheus", None),
        ("https://one.aliyuncs.com@evil.example/", None),
        ("http://127.0.0.1/prometheus", None),
        ("https://127.0.0.1/prometheus", None),
        (f"{URL}?token=1", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_url(url: Any, expected: str | None) -> None:
    answer = {"prometheusInstance": {"httpApiInterUrl": url}}
    assert parse_url(answer, ENDPOINT) == expected


def test_url_at_the_host_of_the_endpoint() -> None:
    """The user entered the endpoint, so this host gets the AccessKey anyway."""
    answer = {"prometheusInstance": {"httpApiInterUrl": "http://127.0.0.1:9090"}}
    assert parse_url(answer, "http://127.0.0.1:8080") == "http://127.0.0.1:9090"
    assert parse_url(answer, "http://127.0.0.2:9090") is None


@pytest.mark.parametrize(
    "url", [URL.replace("https", "http"), f" {URL.replace('https', 'HTTP')}/ "]
)
def test_url_that_is_not_encrypted(url: str) -> None:
    """The AccessKey is never sent unencrypted."""
    with pytest.raises(UnencryptedURLError):
        parse_url({"prometheusInstance": {"httpApiInterUrl": url}}, ENDPOINT)


@pytest.mark.parametrize(
    "instance_id", [None, 7, "", "a/b", "..", "a?b", "é", ["rw-1"]]
)
def test_unusable_id_is_left_out(instance_id: Any) -> None:
    rows = [
        {"prometheusInstanceId": instance_id},
        None,
        {"prometheusInstanceId": "rw-1"},
    ]
    assert parse_instances({"prometheusInstances": rows}) == [
        PrometheusInstance(id="rw-1")
    ]


@pytest.mark.parametrize("answer", [{}, {"prometheusInstances": {}}])
def test_answer_without_a_list(answer: dict[str, Any]) -> None:
    with pytest.raises(InvalidAnswerError, match=r"^The answer lists no instances$"):
        parse_instances(answer)
    with pytest.raises(InvalidAnswerError, match=r"^The answer holds no instance$"):
        parse_url(answer, ENDPOINT)


@given(
    row=st.dictionaries(
        st.sampled_from(
            [
                "prometheusInstanceId",
                "prometheusInstanceName",
                "regionId",
                "httpApiInterUrl",
            ]
        ),
        ANYTHING,
    )
)
def test_any_answer(row: Any) -> None:
    assert len(parse_instances({"prometheusInstances": [row]})) <= 1
    url = parse_url({"prometheusInstance": row}, ENDPOINT)
    assert url is None or url.startswith("https://")


async def test_vendors_client(simulator: Simulator) -> None:
    """The vendor's own client reads what the simulator answers, with its signature."""
    cms = client(Client, simulator, access_key_secret=KEY.secret)
    listed = await cms.list_prometheus_instances_async(
        vendor.ListPrometheusInstancesRequest(max_results=1)
    )
    [first] = listed.body.prometheus_instances
    assert (first.prometheus_instance_id, first.region_id) == ("rw-1", "cn-beijing")
    assert first.prometheus_instance_name == "Model Studio"
    assert listed.body.next_token == "2"
    details = await cms.get_prometheus_instance_async(
        "rw-1", vendor.GetPrometheusInstanceRequest()
    )
    instance = details.body.prometheus_instance
    assert (instance.http_api_inter_url, instance.auth_token) == (URL, TOKEN)
