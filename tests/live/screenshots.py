"""Take the pictures of the documentation in the frontend of a whole Home Assistant.

The account is a simulated one, late in a month, and Home Assistant is given the
statistics that it would have by then.
"""

import argparse
import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
import sys
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.async_api import FloatRect, Page, expect

from tests.simulator import Account, Fault, Simulator

from .account import LiveAccount
from .browser import open_page
from .dashboard import dashboard_of
from .instance import ROOT, HomeAssistant, eventually

API_KEY = "sk-simulator"
NAME = "Model Studio"
DASHBOARD_PATH = "model-studio"

HOUR = timedelta(hours=1)
HISTORY = timedelta(days=16)
DAY_OF_MONTH = 24
TIME_OF_DAY = timedelta(hours=16, minutes=30)

STILL = 5
"""How many times in a row a page must look the same."""
STILL_WITHIN = 30.0
MARGIN = 16
"""Pixels around an element."""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the options of the command line; exits where they make no sense."""
    parser = argparse.ArgumentParser(prog="scripts/screenshots", description=__doc__)
    parser.add_argument(
        "folder",
        type=Path,
        nargs="?",
        default=ROOT / "assets/screenshots",
        help="where the pictures go (default: assets/screenshots)",
    )
    return parser.parse_args(arguments)


async def take(folder: Path) -> None:
    """Take all pictures, into a folder that exists."""
    now = datetime.now(UTC)
    account = Account(clock=lambda: now)
    account.advance(ahead(account.now))
    with TemporaryDirectory() as directory:
        async with (
            Simulator(account=account) as simulator,
            HomeAssistant(Path(directory)) as home_assistant,
            open_page(home_assistant, height=900, scale=2) as page,
        ):
            await page.goto("/config/integrations/dashboard")
            await page.get_by_role("button", name="Add integration").click()
            await page.get_by_placeholder("Search for a brand name").fill("Alibaba")
            await page.get_by_text("Alibaba Cloud Model Studio").click()
            await page.get_by_role("textbox", name="API key").fill(API_KEY)
            await picture(page, folder / "set_up.png", of="dialog[open]")

            live = await LiveAccount.set_up(
                home_assistant, api_key=API_KEY, base_url=simulator.base_url
            )
            device = await call_by_name(live)
            await give_history(live, now, account.now - now)

            simulator.fail(Fault.THROTTLED)
            await live.refresh()
            await live.shows(status="limited")
            simulator.recover()
            await live.refresh()
            await live.shows(status="ok")
            await page.goto(f"/config/devices/device/{device}")
            await expect(page.get_by_text("Monthly spend").first).to_be_visible()
            await picture(page, folder / "account.png")

            await home_assistant.command(
                "lovelace/dashboards/create",
                url_path=DASHBOARD_PATH,
                title=NAME,
                icon="mdi:cloud-outline",
            )
            await home_assistant.command(
                "lovelace/config/save",
                url_path=DASHBOARD_PATH,
                config=await dashboard_of(live),
            )
            await page.goto(f"/{DASHBOARD_PATH}/account")
            await expect(page.locator("canvas")).to_have_count(2)
            await picture(page, folder / "dashboard.png")

            simulator.api_keys = {"sk-another"}
            await live.refresh()
            await live.shows(status="auth")
            await page.goto("/config/integrations/dashboard")
            await picture(page, folder / "notice.png", of="ha-config-flow-card")
            await page.get_by_role("button", name="Reconfigure").click()
            await page.get_by_role("textbox", name="API key").fill(API_KEY)
            await picture(page, folder / "reauth.png", of="dialog[open]")


def ahead(now: datetime) -> timedelta:
    """Return how long it is to the time at which the account is shown."""
    then = now.replace(day=DAY_OF_MONTH, hour=0, minute=0, second=0) + TIME_OF_DAY
    if then < now:
        then = (then + timedelta(days=31)).replace(day=DAY_OF_MONTH)
    return then - now


async def call_by_name(account: LiveAccount) -> str:
    """Name the account and its device as a user would; return the device's id.

    They are named after the host otherwise, which is that of the simulator.
    """
    home_assistant = account.home_assistant
    title = (await account.entry())["title"]
    device: str = (await account.devices())[title]["id"]
    await home_assistant.command(
        "config_entries/update", entry_id=account.entry_id, title=NAME
    )
    await home_assistant.command(
        "config/device_registry/update", device_id=device, name_by_user=NAME
    )
    return device


async def give_history(account: LiveAccount, now: datetime, offset: timedelta) -> None:
    """Give Home Assistant the statistics of the account's last weeks.

    offset: by how much the account is ahead of the clock.
    """
    states = await account.states()
    first = (now - HISTORY).replace(minute=0, second=0, microsecond=0)
    hours = [first + number * HOUR for number in range(HISTORY // HOUR)]
    past = [figures_at(hour + offset) for hour in hours]
    for key in past[0]:
        is_sum = key == "monthly_spend"
        await account.home_assistant.command(
            "recorder/import_statistics",
            metadata={
                "statistic_id": states[key]["entity_id"],
                "source": "recorder",
                "name": None,
                "mean_type": int(not is_sum),
                "has_sum": is_sum,
                "unit_class": None if is_sum else "unitless",
                "unit_of_measurement": states[key]["attributes"]["unit_of_measurement"],
            },
            stats=[
                {"start": hour.isoformat()} | statistic(figures[key], is_sum=is_sum)
                for hour, figures in zip(hours, past, strict=True)
            ],
        )


def figures_at(moment: datetime) -> dict[str, float]:
    """Return what the account reports at a moment, as far as the dashboard graphs it."""
    data = Account(clock=lambda: moment).respond({}, "")["data"]
    figures: dict[str, float] = {"monthly_spend": data["monthly_spend"]}
    for model in data["models"]:
        percentage = 100 * model["used"] / model["limit"]
        figures[f"model_{model['model']}_usage_pct"] = percentage
    return figures


def statistic(figure: float, *, is_sum: bool) -> dict[str, float]:
    """Return the statistics of an hour in which a figure was what it was."""
    if is_sum:
        return {"state": figure, "sum": figure}
    return {"mean": figure, "min": figure, "max": figure}


async def picture(page: Page, path: Path, *, of: str | None = None) -> None:
    """Take a picture of a page once nothing moves on it any more.

    of: the element it is cut out around.
    """
    pictures: list[bytes] = []

    async def when_still() -> bytes | None:
        clip = None
        if of and (box := await page.locator(of).bounding_box()):
            clip = FloatRect(
                x=box["x"] - MARGIN,
                y=box["y"] - MARGIN,
                width=box["width"] + 2 * MARGIN,
                height=box["height"] + 2 * MARGIN,
            )
        pictures.append(await page.screenshot(clip=clip))
        return pictures[-1] if pictures[-STILL:] == STILL * pictures[-1:] else None

    png = await eventually(when_still, within=STILL_WITHIN)
    with Image.open(BytesIO(png)) as image:
        image.convert("RGB").quantize(256).save(path, optimize=True)
    sys.stdout.write(f"{path}\n")


def main() -> None:
    """Take what the command line asks for."""
    folder: Path = parse_arguments().folder
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(folder))


if __name__ == "__main__":
    main()
