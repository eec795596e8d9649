"""What the tests share: one Home Assistant, and for each test an account of its own."""

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from pathlib import Path
import re

import pytest

from tests.simulator import DEFAULT_ACCESS_KEY_SECRET, Account, Simulator

from .account import DOMAIN, LiveAccount
from .automations import Automations
from .instance import HomeAssistant, LogEntry

API_KEY = "sk-simulator"
SECRETS = ("sk-", DEFAULT_ACCESS_KEY_SECRET)
"""What is in each API key and secret of an AccessKey, right or wrong."""

NOTICES = {
    # Of every custom integration.
    "homeassistant.loader": "We found a custom integration alibaba_cloud ",
    # Of what a busy machine interrupts for half a second.
    "homeassistant.helpers.entity": r"Updating state for .* took \d",
    # A new test's account is at an earlier hour than the last one's of the same name.
    "homeassistant.components.sensor.recorder": "(?s).*not strictly increasing",
    # A page that the browser closes while Home Assistant answers it.
    "homeassistant": r"(?s)(?!.*custom_components).*Cannot write to closing transport",
}
"""What Home Assistant logs, by logger, whatever the integration does."""


class ExpectedLog:
    """What a test leads Home Assistant to complain about."""

    def __init__(self) -> None:
        """Expect nothing."""
        self.expected = Counter[str]()

    def expect(self, logger: str, entries: int = 1) -> None:
        """Expect so many warnings or errors of a logger; a traceback is never right."""
        self.expected[logger] += entries


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the pictures that the tests take be kept."""
    parser.addoption("--screenshots", type=Path, help="folder for pictures of pages")


@pytest.fixture
def screenshots(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the folder for pictures of pages."""
    folder: Path = request.config.getoption("--screenshots") or tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
async def instance(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[HomeAssistant]:
    """Run a Home Assistant."""
    async with HomeAssistant(tmp_path_factory.mktemp("home_assistant")) as instance:
        yield instance


@pytest.fixture
async def home_assistant(instance: HomeAssistant) -> HomeAssistant:
    """Have Home Assistant run, whatever an earlier test did to it."""
    if not instance.is_alive:
        await instance.start()
    return instance


@pytest.fixture
def log(home_assistant: HomeAssistant) -> Iterator[ExpectedLog]:
    """Fail a test that has Home Assistant log anything unexpected."""
    before = len(home_assistant.log())
    expected = ExpectedLog()
    yield expected
    entries = home_assistant.log()[before:]
    problems = [entry for entry in entries if entry.is_problem and not _notice(entry)]
    assert Counter(entry.logger for entry in problems) == expected.expected, problems
    assert not [entry for entry in problems if "Traceback" in entry.text]
    assert not [
        entry for entry in entries if any(secret in entry.text for secret in SECRETS)
    ]


@pytest.fixture
async def simulator(
    home_assistant: HomeAssistant, log: ExpectedLog
) -> AsyncIterator[Simulator]:
    """Serve an account whose figures stand still until it is advanced.

    Whatever was set up at it is removed before it stops.
    """
    now = datetime.now(UTC)
    async with Simulator(account=Account(clock=lambda: now)) as simulator:
        yield simulator
        if home_assistant.is_alive:
            for entry in await home_assistant.entries(DOMAIN):
                await home_assistant.request(
                    "DELETE", f"/api/config/config_entries/entry/{entry['entry_id']}"
                )


@pytest.fixture
async def account(home_assistant: HomeAssistant, simulator: Simulator) -> LiveAccount:
    """Have the account set up."""
    return await LiveAccount.set_up(
        home_assistant, api_key=API_KEY, base_url=simulator.base_url
    )


@pytest.fixture
async def automations(home_assistant: HomeAssistant) -> AsyncIterator[Automations]:
    """Have no automation before the test, and none after it."""
    automations = Automations(home_assistant)
    yield automations
    if home_assistant.is_alive:
        await automations.remove()


def _notice(entry: LogEntry) -> bool:
    """Tell whether it says nothing of the integration."""
    return any(
        entry.logger == logger and re.match(text, entry.text)
        for logger, text in NOTICES.items()
    )
