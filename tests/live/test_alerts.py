"""Alerts in a complete Home Assistant: none is repeated, and none is lost."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
import json
from pathlib import Path
import re
from typing import Any

from playwright.async_api import Page, expect
import pytest

from tests.simulator import Account, Fault, Simulator

from .account import DOMAIN, WITHIN, LiveAccount
from .automations import Automations
from .browser import open_page
from .conftest import ExpectedLog
from .instance import eventually

LOGGER = f"custom_components.{DOMAIN}"
TEXT = "{{ trigger.account }}: {{ trigger.level }} %"


@pytest.fixture
def simulator(simulator: Simulator) -> Simulator:
    """Serve an account with hardly any spend, so that no level is reached yet.

    The account is in the last month, since the integration ignores billing periods that
    begin in the future.
    """
    simulator.account.base_spend = 1
    simulator.account.advance(-timedelta(days=simulator.account.today.day))
    return simulator


def notify(message: str) -> dict[str, Any]:
    """Return an action that sends a notification."""
    return {
        "action": "persistent_notification.create",
        "data": {"message": message},
    }


def spend(account: Account, part: float) -> None:
    """Spend up to a part of the limit."""
    wanted = Decimal(str(account.spend_limit)) * Decimal(str(part))
    account.correction += wanted - account.monthly_spend
    assert account.monthly_spend == wanted


async def reload(account: LiveAccount) -> None:
    """Reload the entry, which polls at once."""
    await account.home_assistant.call_action(
        "homeassistant.reload_config_entry", entry_id=account.entry_id
    )


async def level_is_stored(account: LiveAccount, level: int, *, period: date) -> None:
    """Wait until a level is stored as alerted in the period that starts on a day.

    After a kill, an alert that was sent and not yet stored would be sent again.
    """
    storage = account.home_assistant.storage / f"{DOMAIN}.{account.entry_id}"

    async def is_stored() -> bool | None:
        alerts = json.loads(storage.read_text())["data"]["alerts"]
        is_current = alerts["period"].startswith(period.isoformat())
        return (is_current and alerts["spend_levels"].get(str(level))) or None

    await eventually(is_stored, within=WITHIN)


async def device_id(account: LiveAccount) -> str:
    """Return the device ID of the account."""
    title = (await account.entry())["title"]
    device: str = (await account.devices())[title]["id"]
    return device


async def edit_automation(page: Page, *, account: str, screenshots: Path) -> None:
    """Create an automation in the editor that fires at 80 % of an account's budget."""
    await page.goto("/config/automation/dashboard")
    await page.get_by_role("button", name="Create automation").click()
    await page.get_by_text("Create new automation").click()
    await page.get_by_role("button", name="Add trigger").click()
    search = page.get_by_placeholder("Search")
    for words in ("alibaba", "model studio"):
        await search.fill(words)
        for trigger in (
            "Account unavailable",
            "Forecast over budget",
            "11 more triggers",
        ):
            await expect(page.get_by_text(trigger)).to_be_visible()
    await page.screenshot(path=screenshots / "triggers.png")
    await search.fill("")
    await page.get_by_text("By type").click()
    await page.get_by_text("Alibaba Cloud Model Studio").click()
    await expect(page.get_by_text("Balance low")).to_be_visible()
    await page.get_by_text("By target").click()
    await page.get_by_text("Services").click()
    await page.get_by_text(account).click()
    await expect(page.get_by_text("Model level reached")).to_be_visible()
    await page.screenshot(path=screenshots / "by_target.png")
    await page.get_by_text("Spend level reached").click()
    await expect(
        page.get_by_text("Triggers when the spend of an Alibaba Cloud Model Studio")
    ).to_be_visible()
    # The row shows the account, and so does the list of targets.
    await expect(page.get_by_text(account)).to_have_count(2)
    await page.locator("ha-checkbox").first.click()
    await page.get_by_role("spinbutton").fill("80")
    await page.screenshot(path=screenshots / "spend_level_reached.png")

    await page.get_by_role("button", name="Add action").click()
    await page.get_by_placeholder("Search").fill("create persistent notification")
    await page.get_by_text("Create persistent notification").click()
    await page.locator("ha-selector").get_by_role("textbox").first.fill(TEXT)
    await page.get_by_role("button", name="Save").click()
    await page.get_by_role("textbox", name="Name").fill("Spend")
    await page.get_by_role("button", name="Save").last.click()
    await expect(page.get_by_text("New automation")).to_have_count(0)
    await expect(page).to_have_url(re.compile(r"/edit/\d+$"))
    await page.screenshot(path=screenshots / "automation.png")


async def test_spend_level(
    account: LiveAccount,
    automations: Automations,
    log: ExpectedLog,
    simulator: Simulator,
    screenshots: Path,
) -> None:
    home_assistant = account.home_assistant
    name = (await account.entry())["title"]
    async with open_page(home_assistant) as page:
        await edit_automation(page, account=name, screenshots=screenshots)
    [edited] = (await automations.ids()).values()
    config = await home_assistant.request(
        "GET", f"/api/config/automation/config/{edited}"
    )
    [trigger] = config["triggers"]
    target = trigger.pop("target")
    assert trigger == {
        "trigger": "alibaba_cloud.spend_level_reached",
        "options": {"level": 80},
    }
    assert target["device_id"] in (await device_id(account), [await device_id(account)])
    related = await home_assistant.command(
        "search/related", item_type="device", item_id=await device_id(account)
    )
    assert related["automation"] == [*await automations.ids()]
    await automations.add(
        alias="Any spend",
        triggers=[{"trigger": "alibaba_cloud.spend_level_reached"}],
        actions=[notify("{{ trigger.level }} %")],
    )
    await automations.add(
        alias="Nearly everything",
        triggers=[
            {
                "trigger": "alibaba_cloud.spend_level_reached",
                "options": {"level": 90},
            }
        ],
        actions=[notify("nearly: {{ trigger.level }} %")],
    )

    spend(simulator.account, 0.7999)
    await reload(account)
    await automations.have_sent(1)
    assert await automations.messages() == ["50 %"]
    spend(simulator.account, 0.8)
    await account.refresh()
    await automations.have_sent(3)
    assert await automations.messages() == ["50 %", "80 %", f"{name}: 80 %"]

    month = simulator.account.today.replace(day=1)
    await level_is_stored(account, 80, period=month)
    # Home Assistant stores a new device about ten seconds after it is created.
    device = await device_id(account)
    registry = home_assistant.storage / "core.device_registry"

    async def written() -> bool | None:
        return (registry.exists() and device in registry.read_text()) or None

    await eventually(written, within=WITHIN)
    # After a kill, the recorder warns about the unclean shutdown of its database.
    log.expect("homeassistant.components.recorder.util", 2)
    await home_assistant.kill()
    await home_assistant.start()
    await account.refresh()
    await account.shows(status="ok", budget_usage_pct=80)
    assert await automations.messages() == []

    await reload(account)
    await account.shows(status="ok", budget_usage_pct=80)
    log.expect(LOGGER)
    await simulator.stop()
    await account.refresh()
    await account.shows(status="error", budget_usage_pct="unavailable")
    spend(simulator.account, 0.91)
    await simulator.start()
    await account.refresh()
    await account.shows(status="ok", budget_usage_pct=91)
    # A level that only an automation uses was crossed in the outage.
    await automations.have_sent(1)
    assert await automations.messages() == ["nearly: 90 %"]
    await home_assistant.call_action("persistent_notification.dismiss_all")

    await home_assistant.call_action("automation.reload")
    await home_assistant.restart()
    await account.refresh()
    await account.shows(status="ok", budget_usage_pct=91)
    assert await automations.messages() == []

    await home_assistant.stop()
    spend(simulator.account, 1)
    await home_assistant.start()
    await automations.have_sent(1)
    await account.refresh()
    assert await automations.messages() == ["100 %"]
    await home_assistant.call_action("persistent_notification.dismiss_all")

    simulator.account.roll_over("month")
    period = simulator.account.today
    await reload(account)
    await account.shows(status="ok", billing_cycle_start=period.isoformat())
    assert await automations.messages() == []
    spend(simulator.account, 0.5)
    await account.refresh()
    await automations.have_sent(1)
    assert await automations.messages() == ["50 %"]
    alert = (await account.states())["alerts"]["attributes"]
    assert alert["event_type"] == "spend_level"
    assert alert["period"] == period.isoformat()
    assert (alert["level"], alert["spend"], alert["budget"]) == (50, 250, 500)

    # Levels are crossed while Home Assistant is down after a kill.
    await level_is_stored(account, 50, period=period)
    log.expect("homeassistant.components.recorder.util", 2)
    await home_assistant.kill()
    spend(simulator.account, 1.2)
    await home_assistant.start()
    await automations.have_sent(4)
    await account.refresh()
    reached = ["100 %", "80 %", f"{name}: 80 %", "nearly: 90 %"]
    assert await automations.messages() == sorted(reached)
    alert = (await account.states())["alerts"]["attributes"]
    assert alert["level"] == 100

    # Without the account, the automations stay on.
    await home_assistant.request(
        "DELETE", f"/api/config/config_entries/entry/{account.entry_id}"
    )
    await home_assistant.call_action("automation.reload")
    for automation in await automations.ids():
        assert await automations.state(automation) == "on"


async def test_spend_level_blueprint(
    account: LiveAccount, automations: Automations, simulator: Simulator
) -> None:
    name = (await account.entry())["title"]
    assistant = await automations.add(
        alias="Assistant", triggers=[], conditions=[], actions=[]
    )
    await automations.add_blueprint(
        "spend_level",
        accounts={"device_id": [await device_id(account)]},
        actions=[{"action": "automation.turn_off", "target": {"entity_id": assistant}}],
    )
    for part in (0.5, 0.8, 0.81, 1):
        assert await automations.state(assistant) == "on"
        spend(simulator.account, part)
        await reload(account)
    titles = [title for title, _ in await automations.have_sent(2)]
    assert titles == [f"{name}: {level}% of the budget" for level in (80, 100)]
    await account.home_assistant.states_once(
        lambda states: states[assistant]["state"] == "off", within=WITHIN
    )


STATUS = {
    Fault.THROTTLED: "limited",
    Fault.UNAUTHORIZED: "auth",
    Fault.SERVER_ERROR: "error",
}


@pytest.mark.parametrize(
    ("blueprint", "fault", "failed", "recovered"),
    [
        ("throttled", Fault.THROTTLED, "throttled", "no longer throttled"),
        (
            "account_problem",
            Fault.UNAUTHORIZED,
            "API key rejected",
            "works again",
        ),
        ("account_problem", Fault.SERVER_ERROR, "unavailable", "works again"),
    ],
)
async def test_failure_blueprints(
    account: LiveAccount,
    automations: Automations,
    log: ExpectedLog,
    simulator: Simulator,
    blueprint: str,
    fault: Fault,
    failed: str,
    recovered: str,
) -> None:
    name = (await account.entry())["title"]
    await automations.add_blueprint(blueprint)
    log.expect(LOGGER, 2)

    simulator.fail(fault)
    await account.refresh()
    await account.shows(status=STATUS[fault])
    assert await automations.notifications() == []
    await reload(account)
    [(title, _)] = await automations.have_sent(1)
    assert title == f"{name}: {failed}"

    simulator.recover()
    await account.refresh()
    sent = await automations.have_sent(2)
    assert {title for title, _ in sent} == {title, f"{name}: {recovered}"}


async def test_digest_blueprint(
    account: LiveAccount, automations: Automations, simulator: Simulator
) -> None:
    spend(simulator.account, 0.25)
    await account.refresh()
    await account.shows(monthly_spend=125)
    soon = datetime.now(UTC) + timedelta(seconds=5)
    await automations.add_blueprint(
        "daily_digest",
        account=account.entry_id,
        time=soon.strftime("%H:%M:%S"),
        models=1,
    )
    [(title, message)] = await automations.have_sent(1)
    assert title == (await account.entry())["title"]
    assert "- Spent in this billing period: 125.00 USD\n" in message
    assert "- Budget left: 375.00 USD\n" in message
    # A single day gives no forecast.
    assert "Forecast" not in message
    assert message.endswith("% of its limit")


async def test_options(
    account: LiveAccount, screenshots: Path, simulator: Simulator
) -> None:
    spend(simulator.account, 0.25)
    async with open_page(account.home_assistant) as page:
        budget = page.get_by_role("spinbutton", name="Budget per billing period")
        levels = page.get_by_role("toolbar", name="Spend levels")
        submit = page.get_by_role("button", name="Submit")

        await page.goto(f"/config/integrations/integration/{DOMAIN}")
        await page.get_by_role("button", name="Configure").click()
        await page.get_by_text("Budget and alerts").click()
        await expect(levels.get_by_role("button", name="Remove 80")).to_be_visible()
        await page.screenshot(path=screenshots / "alerts.png")

        await budget.fill("0")
        await levels.get_by_role("button", name="Add").click()
        await page.get_by_placeholder("Search | Add custom item").fill("lots")
        await page.get_by_role("option", name="lots").click()
        await submit.click()
        for error in (
            "Enter an amount above 0, such as 50 or 12.5, or leave the field empty.",
            "Enter percentages one at a time, above 0 and up to 1000, such as 80 or 99.5.",
        ):
            await expect(page.get_by_text(error)).to_be_visible()
        await page.screenshot(path=screenshots / "wrong_alerts.png")

        await budget.fill("250")
        await levels.get_by_role("button", name="Remove lots").click()
        await submit.click()
        await expect(page.get_by_text("Options successfully saved.")).to_be_visible()
    await account.shows(budget_usage_pct=50, remaining_budget=125)
    alert = (await account.states())["alerts"]["attributes"]
    assert (alert["level"], alert["spend"], alert["budget"]) == (50, 125, 250)
