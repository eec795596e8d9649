"""The generated dashboard in the frontend of a complete Home Assistant."""

import asyncio
from pathlib import Path
from typing import Any

from playwright.async_api import Page, Route, expect

from tests.simulator import Fault, Simulator

from . import access_key
from .account import DOMAIN, WITHIN, LiveAccount, enter_account
from .browser import open_page
from .conftest import API_KEY, ExpectedLog
from .instance import HomeAssistant, eventually

LOGGER = "custom_components.alibaba_cloud"
MODULE_URL = f"/{DOMAIN}/dashboard.js"
MODULES = ("accounts", "cards", "dashboard", "sections")
STRATEGY = "custom:alibaba-cloud"
ANOTHER_KEY = "sk-another"

HEADINGS = "hui-heading-card .title"
GAUGES = "hui-gauge-card"
PROBLEMS = "hui-error-card, hui-warning"
"""The elements that replace a card that can't be shown."""


async def test_dashboard(
    account: LiveAccount, simulator: Simulator, screenshots: Path, log: ExpectedLog
) -> None:
    """The dashboard is added with two clicks and shows the figures of all accounts."""
    home_assistant = account.home_assistant
    models = len(simulator.account.models)
    is_listed = asyncio.Event()

    async def continue_when_listed(route: Route) -> None:
        await is_listed.wait()
        await route.continue_()

    async with open_page(home_assistant) as page:
        # The dialog lists the dashboard however long its other modules take to load.
        await page.route("**/accounts.js?*", continue_when_listed)
        await page.goto("/config/lovelace/dashboards")
        await page.get_by_role("button", name="Add dashboard").click()
        listed = page.get_by_role("button", name="Alibaba Cloud Model Studio")
        await expect(listed).to_be_visible()
        is_listed.set()
        await listed.click()
        await page.screenshot(path=screenshots / "new_dashboard.png")
        await page.get_by_role("button", name="Create").click()
        await page.get_by_role("link", name="Model Studio").click()

        await expect_card(page, "Monthly spend", f"${simulator.account.monthly_spend}")
        await expect_card(page, "Budget", "$500.00")
        await expect(page.locator(GAUGES)).to_have_count(1 + models)
        await expect(page.locator(PROBLEMS)).to_have_count(0)
        await page.screenshot(path=screenshots / "dashboard.png")

        # Without a figure, there is neither a gauge nor a warning.
        log.expect(LOGGER)
        simulator.fail(Fault.SERVER_ERROR)
        await account.refresh()
        await expect_card(page, "Monthly spend", "Unavailable")
        await expect(page.locator(GAUGES)).to_have_count(0)
        await expect(page.locator(PROBLEMS)).to_have_count(0)
        await page.screenshot(path=screenshots / "unavailable.png")
        simulator.recover()
        await account.refresh()
        await expect(page.locator(GAUGES)).to_have_count(1 + models)

        # A disabled entity is left out.
        entity_ids = await account.entity_ids()
        await home_assistant.command(
            "config/entity_registry/update",
            entity_id=entity_ids["budget"],
            disabled_by="user",
        )
        await expect(card(page, "Budget")).to_have_count(0)
        await expect(page.locator(PROBLEMS)).to_have_count(0)

        simulator.api_keys.add(ANOTHER_KEY)
        another = await LiveAccount.set_up(
            home_assistant, api_key=ANOTHER_KEY, base_url=simulator.base_url
        )
        await expect(page.get_by_text((await another.entry())["title"])).to_be_visible()
        await expect(page.locator(GAUGES)).to_have_count(1 + 2 * models)

        # A view in the user's own dashboard, limited to one account and one model.
        view = {
            "type": STRATEGY,
            "accounts": [another.entry_id],
            "models": ["qwen-max"],
        }
        await show_views(home_assistant, page, [{"strategy": view}])
        await expect(page.locator(GAUGES)).to_have_count(2)
        await expect_card(page, "qwen-max", "%")


async def test_limits_only(
    home_assistant: HomeAssistant, simulator: Simulator, screenshots: Path
) -> None:
    """An account that reads limits only shows them and suggests an AccessKey."""
    simulator.account.answer = "limits"
    step = await enter_account(
        home_assistant, api_key=API_KEY, base_url=access_key.base_url_of(simulator)
    )
    # Skip the AccessKey.
    for answer in ({}, {"models": ["qwen-max"]}):
        step = await home_assistant.continue_flow(step["flow_id"], **answer)
    assert step["type"] == "create_entry"
    async with open_page(home_assistant) as page:
        await show_views(home_assistant, page, [{"strategy": {"type": STRATEGY}}])
        await expect_card(page, "RPM limit", "1,200 requests/min")
        await expect(page.get_by_text("add an AccessKey")).to_be_visible()
        await expect(page.locator(PROBLEMS)).to_have_count(0)
        await page.screenshot(path=screenshots / "limits.png")


async def test_access_key(
    home_assistant: HomeAssistant, simulator: Simulator, screenshots: Path
) -> None:
    """The dashboard has sections for all that is read with an AccessKey."""
    simulator.account.answer = "limits"
    # In the currency of the prices, what is used today has an estimate.
    simulator.account.currency = "USD"
    simulator.account.has_assets = simulator.account.has_token_plan = True
    account = await access_key.set_up(
        home_assistant, simulator, simulator.prometheus_url
    )
    await access_key.past_spend(account, "usd")
    await access_key.follow_groups(account)
    await account.has("estimated_daily_spend", "model_qwen-max_daily_spend_estimate")
    async with open_page(home_assistant) as page:
        await show_views(home_assistant, page, [{"strategy": {"type": STRATEGY}}])
        for section in (
            "Prepaid",
            "Top models by estimated spend today",
            "Spend by model per day",
            "Spend by workspace this month",
            "Spend by workspace per day",
            "Spend by API key per day",
        ):
            await expect(page.get_by_text(section, exact=True)).to_be_visible()
        await expect(page.locator("hui-statistics-graph-card canvas")).to_have_count(5)
        await expect_card(page, "Production", "$")
        await expect_card(page, "Other API keys", "$")
        await expect_card(page, "Token Plan credits used", "%")
        await expect_card(page, "Token Plan seats", "seats")
        of_pro = "100000 of 100000 credits left, 2 of 2 seats assigned"
        await expect(page.get_by_text(of_pro)).to_be_visible()
        await expect_card(page, "Next expiry", " · Coupon · 60.5 · USD")
        await expect_card(page, "Estimate compared with the bill", "%")
        await expect(card(page, "qwen-max").filter(has_text="$")).to_have_count(2)
        left_out = page.get_by_text("Usage without a list price is left out")
        await expect(left_out).to_contain_text("text-embedding-v4")
        await expect(page.locator(PROBLEMS)).to_have_count(0)
        await page.screenshot(path=screenshots / "access_key.png", full_page=True)


async def test_update_and_removal(account: LiveAccount) -> None:
    """A browser loads the new modules after an update; a removal deletes the resource."""
    home_assistant = account.home_assistant
    [resource] = await resources(home_assistant)
    async with open_page(home_assistant) as page:
        loaded: list[str] = []
        errors: list[str] = []
        page.on("request", lambda request: loaded.append(request.url))
        page.on("pageerror", lambda error: errors.append(str(error)))

        earlier = f"{MODULE_URL}?v=earlier"
        await home_assistant.command(
            "lovelace/resources/update", resource_id=resource["id"], url=earlier
        )
        await show_views(home_assistant, page, [{"strategy": {"type": STRATEGY}}])
        await expect_card(page, "Monthly spend", "$")
        assert {*modules(home_assistant, earlier)} <= {*loaded}

        await account.reload()
        assert await resources(home_assistant) == [resource]
        # A resource that the user added stays, so the browser loads two modules.
        await home_assistant.command(
            "lovelace/resources/create", res_type="module", url=earlier
        )
        [_, by_hand] = await resources(home_assistant)
        await page.reload()
        await expect_card(page, "Monthly spend", "$")

        async def is_loaded() -> bool | None:
            new = modules(home_assistant, resource["url"])
            return {*new} <= {*loaded} or None

        # The version that is loaded first draws the dashboard.
        await eventually(is_loaded, within=WITHIN)
        await home_assistant.command(
            "lovelace/resources/delete", resource_id=by_hand["id"]
        )

        await home_assistant.request(
            "DELETE", f"/api/config/config_entries/entry/{account.entry_id}"
        )
        await expect(page.get_by_text("There is nothing to show yet")).to_be_visible()
        assert await resources(home_assistant) == []
        assert errors == []


async def show_views(
    home_assistant: HomeAssistant, page: Page, views: list[dict[str, Any]]
) -> None:
    """Open a dashboard with these views."""
    path = "a-dashboard"
    dashboards = await home_assistant.command("lovelace/dashboards/list")
    if path not in {dashboard["url_path"] for dashboard in dashboards}:
        await home_assistant.command(
            "lovelace/dashboards/create", url_path=path, title="A dashboard"
        )
    await home_assistant.command(
        "lovelace/config/save", url_path=path, config={"views": views}
    )
    await page.goto(f"/{path}")


def modules(home_assistant: HomeAssistant, url: str) -> list[str]:
    """Return the URLs of all modules of the version that a URL is of."""
    return [
        f"{home_assistant.url}{url.replace('dashboard', module)}" for module in MODULES
    ]


async def resources(home_assistant: HomeAssistant) -> list[dict[str, Any]]:
    """Return the resources of the frontend."""
    items: list[dict[str, Any]] = await home_assistant.command("lovelace/resources")
    return items


def card(page: Page, name: str) -> Any:
    """Return the card with a name."""
    return page.locator("hui-tile-card, hui-gauge-card").filter(
        has=page.get_by_text(name, exact=True)
    )


async def expect_card(page: Page, name: str, figure: str) -> None:
    """Expect the only card with a name to show a figure."""
    await expect(card(page, name).filter(visible=True)).to_contain_text(figure)
