"""A Chromium that is logged in to a Home Assistant."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
import json
import os
import shutil
import subprocess
from typing import Any

from playwright.async_api import Page, async_playwright, expect

from .instance import HomeAssistant

ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
EXPECT_WITHIN = 30_000
"""Milliseconds to wait for an expected element, even on a busy machine."""
ENDPOINTS = {
    "billing_endpoint": "Model Studio OpenAPI",
    "balance_endpoint": "Billing OpenAPI",
    "prometheus_url": "Prometheus",
}
"""Labels of the fields for endpoints in the AccessKey form."""
# Settings of the frontend besides the language.
SETTINGS = {
    "dockedSidebar": "docked",
    "selectedTheme": {"dark": False},
}


def install() -> str:
    """Return the path of Chromium; install it with apt if it is missing.

    Raises:
        RuntimeError: Chromium is missing and can't be installed.

    """
    if path := shutil.which("chromium"):
        return path
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise RuntimeError(
            "The tests of the frontend need Chromium: install it so that the command "
            "`chromium` is there."
        )
    for command in (["update"], ["install", "--yes", "chromium"]):
        subprocess.run(
            ["apt-get", "-qq", *command],
            check=True,
            stdout=subprocess.DEVNULL,
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        )
    return install()


@asynccontextmanager
async def open_page(
    home_assistant: HomeAssistant,
    *,
    width: int = 1280,
    height: int = 900,
    scale: float = 1,
    language: str = "en",
) -> AsyncIterator[Page]:
    """Open a page of a logged-in browser with Home Assistant's URL as the base URL.

    scale: pixels of a picture per pixel of the page.
    language: the language of the frontend, such as `zh-Hans`.
    """
    expect.set_options(timeout=EXPECT_WITHIN)
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=install(), args=ARGUMENTS
        )
        context = await browser.new_context(
            base_url=home_assistant.url,
            viewport={"width": width, "height": height},
            device_scale_factor=scale,
            color_scheme="light",
            locale="en-US",
            reduced_motion="reduce",
        )
        await context.add_init_script(script=_local_storage(home_assistant, language))
        yield await context.new_page()
        await browser.close()


async def fill_in_account(
    page: Page, *, api_key: str, base_url: str | None = None
) -> None:
    """Fill in and submit the form of an account.

    base_url: None if the form already contains it.
    """
    await page.get_by_role("textbox", name="API key").fill(api_key)
    submit = page.get_by_role("button", name="Submit")
    if base_url:
        await page.get_by_role("button", name="Region").first.click()
        await page.get_by_text("Other URL", exact=True).last.click()
        await submit.click()
        await page.get_by_role("textbox", name="URL").fill(base_url)
    await submit.click()


async def fill_in_access_key(page: Page, form: Mapping[str, Any]) -> None:
    """Fill in and submit the AccessKey form, whose endpoints must be collapsed."""
    await page.get_by_role("textbox", name="AccessKey ID").fill(form["access_key_id"])
    await page.get_by_role("textbox", name="AccessKey secret").fill(
        form["access_key_secret"]
    )
    await page.get_by_role("button", name="Endpoints", expanded=False).click()
    for name, url in form["endpoints"].items():
        await page.get_by_role("textbox", name=ENDPOINTS[name]).fill(url)
    await page.get_by_role("button", name="Submit").click()


def _local_storage(home_assistant: HomeAssistant, language: str) -> str:
    """Return a script that logs in the frontend through its local storage."""
    tokens: dict[str, Any] = {
        "hassUrl": home_assistant.url,
        "clientId": home_assistant.client_id,
        "access_token": home_assistant.access_token,
        "refresh_token": home_assistant.refresh_token,
        "token_type": "Bearer",
        "expires_in": 1800,
        # In milliseconds; the far future, as the token outlives the page anyway.
        "expires": 4102444800000,
    }
    items = {"hassTokens": tokens, "selectedLanguage": language, **SETTINGS}
    return "".join(
        f"localStorage.setItem({json.dumps(name)}, {json.dumps(json.dumps(value))});"
        for name, value in items.items()
    )
