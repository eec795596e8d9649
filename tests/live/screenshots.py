"""Take the pictures of the documentation in the frontend of a complete Home Assistant.

The simulated account is late in a month, and its statistics of the last weeks are
imported. The account with an AccessKey is a second one, late on the current day. The
integration imports its past spend.
"""

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
import sys
from tempfile import TemporaryDirectory

from PIL import Image
from playwright.async_api import FloatRect, Page, expect

from tests.prometheus import Prometheus
from tests.simulator import Account, Fault, Simulator

from . import access_key
from .account import LiveAccount
from .browser import fill_in_account, open_page
from .instance import ROOT, HomeAssistant, eventually

API_KEY = "sk-simulator"
NAME = "Model Studio"
DASHBOARD_PATH = "model-studio"

HOUR = timedelta(hours=1)
HISTORY = timedelta(days=16)
DAY_OF_MONTH = 24
TIME_OF_DAY = timedelta(hours=16, minutes=30)

STILL = 5
"""The number of equal pictures in a row after which a page is still."""
STILL_WITHIN = 30.0
MARGIN = 16
"""The margin around an element in pixels."""


def parse_arguments(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the command-line options; exit with an error if they are invalid."""
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
    """Take all pictures and write them to an existing folder."""
    await take_account(folder)
    await take_access_key(folder)


async def take_account(folder: Path) -> None:
    """Take the pictures of an account whose API key reads money and usage."""
    now = datetime.now(UTC)
    account = Account(clock=lambda: now)
    account.advance(ahead(account.now))
    with TemporaryDirectory() as directory:
        async with (
            Simulator(account=account) as simulator,
            HomeAssistant(Path(directory)) as home_assistant,
            open_page(home_assistant, height=900, scale=2) as page,
        ):
            await add_integration(page)
            await page.get_by_role("textbox", name="API key").fill(API_KEY)
            await picture(page, folder / "set_up.png", of="dialog[open]")

            live = await LiveAccount.set_up(
                home_assistant, api_key=API_KEY, base_url=simulator.base_url
            )
            device = await rename(live)
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

            await show_dashboard(home_assistant, page, height=1070)
            await expect(page.locator("hui-gauge-card")).to_have_count(
                1 + len(account.models)
            )
            await picture(page, folder / "dashboard.png")
            await page.set_viewport_size({"width": 1280, "height": 900})

            simulator.api_keys = {"sk-another"}
            await live.refresh()
            await live.shows(status="auth")
            await page.goto("/config/integrations/dashboard")
            await picture(page, folder / "notice.png", of="ha-config-flow-card")
            await page.get_by_role("button", name="Reconfigure").click()
            await page.get_by_role("textbox", name="API key").fill(API_KEY)
            await picture(page, folder / "reauth.png", of="dialog[open]")


async def take_access_key(folder: Path) -> None:
    """Take the pictures of an account with an AccessKey."""
    now = datetime.now(UTC)
    account = access_key.complete_account()
    account.clock = lambda: now
    midnight = account.now.replace(hour=0, minute=0, second=0, microsecond=0)
    account.advance(max(midnight + TIME_OF_DAY - account.now, timedelta()))
    usage = access_key.usage_of(account.models, now, ahead=HOUR)
    with TemporaryDirectory() as directory:
        async with (
            Simulator(account=account) as simulator,
            HomeAssistant(Path(directory, "home_assistant")) as home_assistant,
            open_page(home_assistant, height=900, scale=2) as page,
            AsyncExitStack() as stack,
        ):
            prometheus_url = simulator.prometheus_url
            if Prometheus.is_available():
                prometheus = await stack.enter_async_context(
                    await access_key.serve_usage(
                        usage, simulator, Path(directory, "prometheus")
                    )
                )
                prometheus_url = prometheus.url

            await add_integration(page)
            await fill_in_account(
                page, api_key=API_KEY, base_url=access_key.base_url_of(simulator)
            )
            form = access_key.form_of(simulator, prometheus_url)
            for name, key in (
                ("AccessKey ID", "access_key_id"),
                ("AccessKey secret", "access_key_secret"),
            ):
                await page.get_by_role("textbox", name=name).fill(form[key])
            await picture(page, folder / "access_key.png", of="dialog[open]")

            live = await access_key.set_up(home_assistant, simulator, prometheus_url)
            await rename(live)
            await access_key.past_spend(live, "usd")
            await access_key.follow_groups(live)
            await live.has("estimated_daily_spend", *spend_and_load_of_models())
            # Workspaces, API keys and the alerts are not shown.
            await show_dashboard(home_assistant, page, height=1850)
            # The graphs show the spend per day and per month, and per day that of
            # models, workspaces and API keys.
            await expect(page.locator("canvas")).to_have_count(5)
            await picture(page, folder / "spend.png")


def spend_and_load_of_models() -> Iterator[str]:
    """Yield the keys of the models' spend and load; some are read later than others."""
    for model in access_key.MODELS:
        yield f"model_{model}_monthly_spend"
        yield f"model_{model}_load_pct"


async def add_integration(page: Page) -> None:
    """Start to set up an account."""
    await page.goto("/config/integrations/dashboard")
    await page.get_by_role("button", name="Add integration").click()
    await page.get_by_placeholder("Search for a brand name").fill("Alibaba")
    await page.get_by_text("Alibaba Cloud Model Studio").click()


async def show_dashboard(
    home_assistant: HomeAssistant, page: Page, *, height: int
) -> None:
    """Add the dashboard and open it in a window of this height."""
    await page.set_viewport_size({"width": 1280, "height": height})
    await home_assistant.command(
        "lovelace/dashboards/create",
        url_path=DASHBOARD_PATH,
        title=NAME,
        icon="mdi:cloud-outline",
    )
    await home_assistant.command(
        "lovelace/config/save",
        url_path=DASHBOARD_PATH,
        config={"strategy": {"type": "custom:alibaba-cloud"}},
    )
    await page.goto(f"/{DASHBOARD_PATH}")


def ahead(now: datetime) -> timedelta:
    """Return the time until the account reaches the time of the pictures."""
    then = now.replace(day=DAY_OF_MONTH, hour=0, minute=0, second=0) + TIME_OF_DAY
    if then < now:
        then = (then + timedelta(days=31)).replace(day=DAY_OF_MONTH)
    return then - now


async def rename(account: LiveAccount) -> str:
    """Rename the account and its device; return the device ID.

    Their default names contain the host of the simulator.
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
    """Import statistics of the spend of the last weeks.

    offset: the time by which the account is ahead of the clock.
    """
    sensor = (await account.states())["monthly_spend"]
    first = (now - HISTORY).replace(minute=0, second=0, microsecond=0)
    hours = [first + number * HOUR for number in range(HISTORY // HOUR)]
    spends = [spend_at(hour + offset) for hour in hours]
    await account.home_assistant.command(
        "recorder/import_statistics",
        metadata={
            "statistic_id": sensor["entity_id"],
            "source": "recorder",
            "name": None,
            "mean_type": 0,
            "has_sum": True,
            "unit_class": None,
            "unit_of_measurement": sensor["attributes"]["unit_of_measurement"],
        },
        stats=[
            {"start": hour.isoformat(), "state": spend, "sum": spend - spends[0]}
            for hour, spend in zip(hours, spends, strict=True)
        ],
    )


def spend_at(moment: datetime) -> float:
    """Return the monthly spend of the account at a moment."""
    spend: float = Account(clock=lambda: moment).respond({}, "")["data"][
        "monthly_spend"
    ]
    return spend


async def picture(page: Page, path: Path, *, of: str | None = None) -> None:
    """Take a picture of a page once its content no longer changes.

    of: the selector of the element to show; None is the whole page.
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
    """Take all pictures into the folder from the command line."""
    folder: Path = parse_arguments().folder
    folder.mkdir(parents=True, exist_ok=True)
    asyncio.run(take(folder))


if __name__ == "__main__":
    main()
