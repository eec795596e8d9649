"""The AccessKey: entered, tested, kept and removed."""

from typing import Any

import pytest
import voluptuous as vol
from yarl import URL

from custom_components.alibaba_cloud.const import DOMAIN
from custom_components.alibaba_cloud.failures import escape_markdown
from homeassistant.config_entries import SOURCE_RECONFIGURE, SOURCE_USER
from homeassistant.core import HomeAssistant
from homeassistant.helpers.translation import async_get_translations
from tests.common import API_KEY, answer
from tests.flows import (
    INVALID_URLS,
    NEW_ACCESS_KEY_SECRET,
    REGIONS,
    fields,
    held,
    known,
    placeholder,
)
from tests.simulator import DEFAULT_ACCESS_KEY_ID, Simulator

from .common import (
    ALL_REGIONS,
    CHINA,
    ENDPOINTS,
    INTERNATIONAL,
    MENDED,
    NEW_ACCESS_KEY,
    NEW_ACCESS_KEY_ID,
    NOT_APPLICABLE,
    POLICIES,
    SOURCES,
    AccessFlows,
    asked,
    assert_asked_again,
    endpoints,
    hosts,
    stored,
    stored_anew,
    without_access_key,
)

pytestmark = pytest.mark.usefixtures("enable_custom_integrations")


@pytest.mark.parametrize("source", SOURCES)
async def test_access_key(
    flows: AccessFlows, simulator: Simulator, source: str
) -> None:
    form = await flows.ask(source)
    result = await flows.type_in(form, region="ap-southeast-1")
    # The flow reads each service once; the account's own requests come later.
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
    assert "With a read-only AccessKey, you also get spend" in await flows.description(
        form
    )
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
    """A stored secret is not used with another ID."""
    form = await flows.ask(source)
    form = await flows.type_in(form, access_key_secret=nothing)
    assert form["errors"] == {"access_key_secret": "access_key_incomplete"}
    assert_asked_again(flows, form, access_key_secret=nothing)
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
    """The section with the invalid field is expanded."""
    form = await flows.ask(source)
    for url in filter(str.strip, INVALID_URLS):
        form = await flows.fill(
            form, endpoints(simulator) | {name: url}, **NEW_ACCESS_KEY
        )
        assert form["errors"] == {"endpoints": f"invalid_{name}"}, url
        assert flows.json(form)["data_schema"][-1]["expanded"] is True
        assert flows.shown(form) == {
            **NEW_ACCESS_KEY,
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
    expected = [
        *(f"{name}.{region}.aliyuncs.com" for name in ("modelstudio", "metrics")),
        site,
    ]
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
    """The flow tries the other site if the region's site does not know the account."""
    form = await flows.ask(SOURCE_USER)
    answers = iter([NOT_APPLICABLE, None, None])
    simulator.balance_body = lambda query: next(answers)
    result = await flows.fill(form, region=region, **NEW_ACCESS_KEY)
    assert [host for host in hosts(simulator) if "business" in host] == sites
    # The account uses the site that the flow found.
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
    assert placeholder(menu, "balance") == "✗ " + escape_markdown(
        "NotApplicable: This API is not applicable for caller."
    )
    assert placeholder(menu, "spend") == "✓"
    assert placeholder(menu, "rates") == "–"
    others = [
        host
        for host in hosts(simulator)
        if not host.startswith(("modelstudio.", "metrics."))
    ]
    assert others == (
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
    """The frontend gets the stored endpoints, but no secret.

    The section has no default, as a default would replace the suggested values.
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
    assert section["expanded"] is True
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
