"""The steps of a new user from an API key to a notification, without documentation.

Each step is a picture in the folder of `--screenshots`. The environment variable `WALKS`
lists the walks by window width in pixels and language:

    WALKS="1280-en 400-en 1280-zh-Hans" scripts/test --live tests/live/test_walk.py \
        --screenshots /tmp/walk
"""

from collections.abc import AsyncIterator
import json
import os
from pathlib import Path
import re
import time
from typing import Any

from playwright.async_api import Locator, Page, expect
import pytest

from tests.simulator import Simulator

from .account import DOMAIN, LiveAccount
from .automations import Automations
from .browser import open_page
from .conftest import API_KEY
from .instance import ROOT, HomeAssistant

WALKS = os.environ.get("WALKS", "1280-en").split()
WIDE = 871
"""The window width in pixels from which Home Assistant always shows its sidebar."""
LOADED_WITHIN = 5_000
"""Milliseconds to wait for the sidebar's button before going back a page."""
BUDGET = 200
LEVEL = 80
MESSAGE = "{{ trigger.account }}: {{ trigger.level }}%"

# Home Assistant's labels of the elements that the user selects.
LABELS = {
    "en": {
        "settings": "Settings",
        "sidebar": "Sidebar toggle",
        "services": "Devices & services",
        "add_integration": "Add integration",
        "search_brand": "Search for a brand name",
        "submit": "Submit",
        "skip": "Skip and finish",
        "dashboards": "Dashboards",
        "add_dashboard": "Add dashboard",
        "create": "Create",
        "configure": "Configure",
        "close": "Close",
        "add_to": "Add to…",
        "new_trigger": "Create as a new trigger",
        "add_action": "Add action",
        "search": "Search",
        "save": "Save",
        "name": "Name",
        "notifications": "Notifications",
    },
    "zh-Hans": {
        "settings": "设置",
        "sidebar": "侧边栏切换",
        "services": "设备与服务",
        "add_integration": "添加集成",
        "search_brand": "搜索品牌名称",
        "submit": "提交",
        "skip": "跳过并完成",
        "dashboards": "仪表盘",
        "add_dashboard": "添加仪表盘",
        "create": "创建",
        "configure": "配置",
        "close": "关闭",
        "add_to": "添加至…",
        "new_trigger": "创建新触发器",
        "add_action": "添加动作",
        "search": "搜索",
        "save": "保存",
        "name": "名称",
        "notifications": "通知",
    },
}


class Walk:
    """A walk through the frontend, with a picture of each step."""

    def __init__(self, page: Page, width: int, language: str, folder: Path) -> None:
        """Start a walk at a page.

        width: the width of the window in pixels.
        folder: the folder for the pictures.
        """
        self.page = page
        self.width = width
        self.labels = LABELS[language]
        self.texts: Any = json.loads(
            (
                ROOT / f"custom_components/{DOMAIN}/translations/{language}.json"
            ).read_text()
        )
        self.steps = 0
        self._folder = folder
        self._pictures = 0
        self._start = time.monotonic()

    def report(self) -> None:
        """Write the number of steps and the duration to a file beside the pictures."""
        seconds = time.monotonic() - self._start
        (self._folder / "walk.txt").write_text(
            f"{self.steps} steps in {seconds:.0f} seconds\n"
        )

    async def see(self, name: str, locator: Locator) -> None:
        """Wait for an element and take a picture.

        Raises:
            AssertionError: the element does not appear.

        """
        await expect(locator).to_be_visible()
        await self.picture(name)

    async def picture(self, name: str) -> None:
        """Take a picture of the page."""
        self._pictures += 1
        await self.page.screenshot(
            path=self._folder / f"{self._pictures:02}_{name}.png"
        )

    async def select(self, locator: Locator) -> None:
        """Click an element and count the step."""
        self.steps += 1
        await locator.click()

    async def enter(self, locator: Locator, text: str) -> None:
        """Enter text in a field and count the step."""
        self.steps += 1
        await locator.fill(text)

    def button(self, label: str) -> Locator:
        """Return a button by the key of its label."""
        return self.page.get_by_role("button", name=self.labels[label], exact=True)

    def field(self, name: str) -> Locator:
        """Return a text field by its label."""
        return self.page.get_by_role("textbox", name=name)

    async def open_settings(self, area: str) -> None:
        """Open an area of the settings from any page."""
        await self.select_in_sidebar(self.labels["settings"])
        await self.select(self.page.get_by_role("link", name=self.labels[area]))

    async def select_in_sidebar(self, name: str) -> None:
        """Select an item of the sidebar, which a narrow window hides."""
        if self.width < WIDE:
            await self.select(await self._button_of_sidebar())
        # The second element is the tooltip.
        await self.select(
            self.page.locator("ha-sidebar").get_by_text(name, exact=True).first
        )

    async def _button_of_sidebar(self) -> Locator:
        """Go back to a page with a button for the sidebar; return the button."""
        button = self.button("sidebar").first
        while True:
            try:
                await expect(button).to_be_visible(timeout=LOADED_WITHIN)
            except AssertionError:
                await self.select(self.page.locator("ha-icon-button-arrow-prev").first)
            else:
                return button


@pytest.fixture(params=WALKS)
async def walk(
    request: pytest.FixtureRequest, home_assistant: HomeAssistant, screenshots: Path
) -> AsyncIterator[Walk]:
    """Start a walk at the first page; user and Home Assistant have one language."""
    width, language = request.param.split("-", 1)
    folder = screenshots / request.param
    folder.mkdir(exist_ok=True)
    await home_assistant.command("config/core/update", language=language)
    try:
        async with open_page(
            home_assistant, width=int(width), language=language
        ) as page:
            await page.goto("/")
            walk = Walk(page, int(width), language, folder)
            yield walk
            await walk.picture("end")
    finally:
        await home_assistant.command("config/core/update", language="en")
        for dashboard in await home_assistant.command("lovelace/dashboards/list"):
            await home_assistant.command(
                "lovelace/dashboards/delete", dashboard_id=dashboard["id"]
            )


async def test_walk(walk: Walk, automations: Automations, simulator: Simulator) -> None:
    # Spend a quarter of the budget.
    simulator.account.base_spend = 1
    simulator.account.correction += BUDGET // 4 - simulator.account.monthly_spend
    account = await add_account(walk, automations.home_assistant, simulator)
    await add_dashboard(walk)
    await set_budget(walk, account)
    await add_automation(walk, account)
    assert await automations.notifications() == []

    simulator.account.correction += BUDGET
    await account.refresh()
    name = (await account.entry())["title"]
    text = f"{name}: {LEVEL}%"
    assert await automations.have_sent(1) == [(None, text)]
    await walk.select_in_sidebar(walk.labels["notifications"])
    await walk.see("notification", walk.page.get_by_text(text))
    walk.report()


async def add_account(
    walk: Walk, home_assistant: HomeAssistant, simulator: Simulator
) -> LiveAccount:
    """Add the account and return it."""
    page = walk.page
    form = walk.texts["config"]["step"]["api_key"]
    await walk.picture("start")
    await walk.open_settings("services")
    await walk.select(walk.button("add_integration"))
    await walk.enter(page.get_by_placeholder(walk.labels["search_brand"]), "qwen")
    brand = page.get_by_text("Alibaba Cloud Model Studio")
    await walk.see("brand", brand)
    await walk.select(brand)
    await walk.enter(walk.field(form["data"]["api_key"]), API_KEY)
    await walk.picture("api_key")
    # The simulator belongs to no region.
    region = page.get_by_role("button", name=form["data"]["base_url"]).first
    await walk.select(region)
    url = walk.texts["selector"]["base_url"]["options"]["url"]
    await walk.select(page.get_by_text(url, exact=True).last)
    await walk.select(walk.button("submit"))
    await walk.enter(walk.field("URL"), simulator.base_url)
    await walk.picture("url")
    await walk.select(walk.button("submit"))
    await walk.see("created", walk.button("skip"))
    await walk.select(walk.button("skip"))
    [entry] = await home_assistant.entries(DOMAIN)
    return LiveAccount(home_assistant, entry["entry_id"])


async def add_dashboard(walk: Walk) -> None:
    """Add the dashboard and open it."""
    page = walk.page
    # The last dialog asks the user to reload the page first.
    walk.steps += 1
    await page.reload()
    await walk.open_settings("dashboards")
    await walk.select(walk.button("add_dashboard"))
    strategy = page.get_by_role("button", name="Alibaba Cloud Model Studio")
    await walk.see("add_dashboard", strategy)
    await walk.select(strategy)
    await walk.see("new_dashboard", walk.button("create"))
    await walk.select(walk.button("create"))
    await walk.select_in_sidebar("Model Studio")
    spend_name = walk.texts["entity"]["sensor"]["monthly_spend"]["name"]
    await walk.see(
        "dashboard", page.locator("hui-gauge-card").filter(has_text=spend_name)
    )


async def set_budget(walk: Walk, account: LiveAccount) -> None:
    """Set a budget in the options."""
    page = walk.page
    options = walk.texts["options"]["step"]
    await walk.open_settings("services")
    await walk.select(page.get_by_text(walk.texts["title"], exact=True))
    await walk.see("integration", walk.button("configure"))
    await walk.select(walk.button("configure"))
    alerts = page.get_by_text(options["init"]["menu_options"]["alerts"])
    await walk.see("options", alerts)
    await walk.select(alerts)
    budget = page.get_by_role(
        "spinbutton", name=options["alerts"]["data"]["monthly_budget"]
    )
    await walk.enter(budget, str(BUDGET))
    await walk.picture("budget")
    await walk.select(walk.button("submit"))
    await walk.select(walk.button("close").last)
    await account.shows(budget=BUDGET)


async def add_automation(walk: Walk, account: LiveAccount) -> None:
    """Create an automation from the page of the account's device."""
    page = walk.page
    title = (await account.entry())["title"]
    # The first element with this name is the entry, the second one its device.
    await walk.select(page.get_by_text(title, exact=True).nth(1))
    await walk.see("device", walk.button("add_to"))
    await walk.select(walk.button("add_to"))
    new_trigger = page.get_by_text(walk.labels["new_trigger"])
    await walk.see("add_to", new_trigger)
    await walk.select(new_trigger)
    trigger = page.get_by_role(
        "button", name=walk.texts["triggers"]["spend_level_reached"]["name"]
    )
    await walk.see("triggers", trigger)
    await walk.select(trigger)
    await walk.select(page.locator("ha-checkbox").first)
    await walk.enter(page.get_by_role("spinbutton"), str(LEVEL))
    await walk.picture("trigger")
    await walk.select(walk.button("add_action"))
    await walk.enter(
        page.get_by_placeholder(walk.labels["search"]), "persistent notification"
    )
    await walk.picture("actions")
    await walk.select(page.get_by_text("Create persistent notification"))
    await walk.enter(page.locator("ha-selector").get_by_role("textbox").first, MESSAGE)
    await walk.picture("action")
    await walk.select(walk.button("save"))
    await walk.enter(walk.field(walk.labels["name"]), "Model Studio")
    await walk.picture("save")
    await walk.select(walk.button("save").last)
    await expect(page).to_have_url(re.compile(r"/edit/\d+$"))
    await walk.picture("saved")
