"""The integration in the frontend of a complete Home Assistant."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from playwright.async_api import Page, expect

from tests.simulator import Simulator

from .access_key import MODELS, base_url_of, form_of
from .account import DOMAIN, LiveAccount
from .browser import ENDPOINTS, fill_in_access_key, fill_in_account, open_page
from .conftest import API_KEY, ExpectedLog
from .instance import HomeAssistant


async def test_set_up(
    home_assistant: HomeAssistant, simulator: Simulator, screenshots: Path
) -> None:
    async with open_page(home_assistant) as page:
        await page.goto("/config/dashboard")
        await page.get_by_role("link", name="Devices & services").click()
        await page.get_by_role("button", name="Add integration").click()
        await page.get_by_placeholder("Search for a brand name").fill("Alibaba")
        await page.get_by_text("Alibaba Cloud Model Studio").click()

        await fill_in_account(page, api_key="sk-wrong", base_url=simulator.base_url)
        await expect(
            page.get_by_text("Model Studio rejected this API key.")
        ).to_be_visible()
        await page.screenshot(path=screenshots / "wrong_key.png")

        await fill_in_account(page, api_key=API_KEY)
        await page.get_by_role("button", name="Skip and finish").click()

        [entry] = await home_assistant.entries(DOMAIN)
        account = LiveAccount(home_assistant, entry["entry_id"])
        entities = await account.entities()
        await page.goto(f"/config/integrations/integration/{DOMAIN}")
        # The first element with this name is the entry, the second one its device.
        await page.get_by_text(entry["title"]).nth(1).click()
        await expect_figures(
            page,
            entities,
            {
                "status": "OK",
                "account_available": "Connected",
                "monthly_spend": f"${simulator.account.monthly_spend}",
                "spend_limit": "$500.00",
                "rpm": "1,200 requests/min",
            },
        )
        await page.screenshot(path=screenshots / "account.png")

        await page.get_by_role("link", name="qwen-plus").click()
        used = int((await account.states())["model_qwen-plus_used"]["state"])
        await expect_figures(page, entities, {"model_qwen-plus_used": f"{used:,}"})
        await page.screenshot(path=screenshots / "model.png")


async def test_access_key(
    home_assistant: HomeAssistant,
    simulator: Simulator,
    screenshots: Path,
    log: ExpectedLog,
) -> None:
    """An AccessKey can be entered, corrected, changed and replaced in the frontend."""
    simulator.account.answer = "limits"
    form = form_of(simulator, simulator.prometheus_url)
    wrong = f"{form['access_key_secret']}-of-yesterday"
    async with open_page(home_assistant) as page:
        key_id = page.get_by_role("textbox", name="AccessKey ID")
        secret = page.get_by_role("textbox", name="AccessKey secret")
        endpoints = page.get_by_role("button", name="Endpoints")
        submit = page.get_by_role("button", name="Submit")

        await page.goto("/config/integrations/dashboard")
        await page.get_by_role("button", name="Add integration").click()
        await page.get_by_placeholder("Search for a brand name").fill("Alibaba")
        await page.get_by_text("Alibaba Cloud Model Studio").click()
        await fill_in_account(page, api_key=API_KEY, base_url=base_url_of(simulator))
        await expect(endpoints).to_have_attribute("aria-expanded", "false")
        await page.screenshot(path=screenshots / "access_key.png")

        await fill_in_access_key(page, form | {"access_key_secret": wrong})
        await expect(
            page.get_by_text("Alibaba Cloud rejected this AccessKey (Signature")
        ).to_be_visible()
        await page.screenshot(path=screenshots / "wrong_access_key.png")
        await expect(key_id).to_have_value(form["access_key_id"])
        await expect(secret).to_have_value(wrong)

        # The endpoints are still filled in.
        await secret.fill(form["access_key_secret"])
        await expect(secret).to_have_attribute("type", "password")
        await submit.click()
        for model in MODELS:
            await expect(
                page.get_by_role("button", name=f"Remove {model}")
            ).to_be_visible()
        await page.screenshot(path=screenshots / "models.png")
        await submit.click()
        await page.get_by_role("button", name="Skip and finish").click()

        [entry] = await home_assistant.entries(DOMAIN)
        account = LiveAccount(home_assistant, entry["entry_id"])
        states = await account.has("monthly_spend", "available_balance")
        device = (await account.devices())[entry["title"]]
        await page.goto(f"/config/devices/device/{device['id']}")
        await expect_figures(
            page,
            await account.entities(),
            {
                key: f"CN¥{float(states[key]['state']):,.2f}"
                for key in ("monthly_spend", "available_balance")
            },
        )

        await page.goto(f"/config/integrations/integration/{DOMAIN}")
        row = page.locator("ha-config-entry-row")
        await row.get_by_role("button", name="Menu").first.click()
        await page.get_by_role("menuitem", name="Reconfigure").click()
        await page.get_by_text("AccessKey", exact=True).click()
        await expect(key_id).to_have_value(form["access_key_id"])
        await expect(secret).to_have_value("")
        await expect(endpoints).to_have_attribute("aria-expanded", "true")
        for name, url in form["endpoints"].items():
            await expect(
                page.get_by_role("textbox", name=ENDPOINTS[name])
            ).to_have_value(url)
        await page.screenshot(path=screenshots / "reconfigure.png")

        # The section shows the error of its field and stays expanded.
        prometheus = page.get_by_role("textbox", name=ENDPOINTS["prometheus_url"])
        await prometheus.fill("ftp://elsewhere.example")
        await submit.click()
        await expect(
            page.get_by_text("The URL of Prometheus can't be used.")
        ).to_be_visible()
        await page.screenshot(path=screenshots / "wrong_endpoint.png")
        await prometheus.fill(form["endpoints"]["prometheus_url"])
        await submit.click()
        await expect(page.get_by_text("Reconfiguration was successful")).to_be_visible()

        # The reauth form shows why the AccessKey is rejected.
        log.expect("custom_components.alibaba_cloud", 7)
        # Disabling ends what is still read in the background.
        await account.disable()
        simulator.access_keys.clear()
        await account.enable()
        await page.goto(f"/config/integrations/integration/{DOMAIN}")
        await page.get_by_role("button", name="Reconfigure").click()
        await expect(
            page.get_by_text("no longer accepts the AccessKey")
        ).to_be_visible()
        await expect(page.get_by_text("InvalidAccessKeyId")).to_be_visible()
        await page.screenshot(path=screenshots / "reauth_access_key.png")


async def expect_figures(
    page: Page, entities: Mapping[str, dict[str, Any]], figures: Mapping[str, str]
) -> None:
    """Expect figures on the page of a device, by the key of their entity."""
    rows = page.locator("hui-sensor-entity-row, hui-simple-entity-row")
    for key, figure in figures.items():
        name = page.get_by_text(entities[key]["original_name"], exact=True)
        await expect(rows.filter(has=name)).to_contain_text(figure)
