"""Fixtures: one Home Assistant for all tests, and an account for each test."""

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
"""Parts of each valid or invalid API key and AccessKey secret."""

NOTICES = {
    # Logged for every custom integration.
    "homeassistant.loader": "We found a custom integration alibaba_cloud ",
    # Logged on a busy machine for every update that takes half a second.
    "homeassistant.helpers.entity": r"Updating state for .* took \d",
    # The next test's account has the same entity IDs and may be at an earlier time.
    "homeassistant.components.sensor.recorder": "(?s).*not strictly increasing",
    # The browser closed a page while Home Assistant answered.
    "homeassistant": r"(?s)(?!.*custom_components).*Cannot write to closing transport",
}
"""Log entries that are not caused by the integration, by logger."""


class ExpectedLog:
    """The warnings and errors that a test expects."""

    def __init__(self) -> None:
        """Start without expected entries."""
        self.expected = Counter[str]()

    def expect(self, logger: str, entries: int = 1) -> None:
        """Expect a number of warnings or errors of a logger; tracebacks always fail."""
        self.expected[logger] += entries


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the option that keeps the tests' screenshots."""
    parser.addoption("--screenshots", type=Path, help="folder for pictures of pages")


@pytest.fixture
def screenshots(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the folder for screenshots."""
    folder: Path = request.config.getoption("--screenshots") or tmp_path
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
async def instance(
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[HomeAssistant]:
    """Run one Home Assistant for all tests."""
    async with HomeAssistant(tmp_path_factory.mktemp("home_assistant")) as instance:
        yield instance


@pytest.fixture
async def home_assistant(instance: HomeAssistant) -> HomeAssistant:
    """Return the running Home Assistant; start it if an earlier test stopped it."""
    if not instance.is_alive:
        await instance.start()
    return instance


@pytest.fixture
def log(home_assistant: HomeAssistant) -> Iterator[ExpectedLog]:
    """Fail a test if Home Assistant logs unexpected problems or a secret."""
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
    """Serve an account whose time only moves with `advance`.

    All config entries of the integration are removed after the test.
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
    """Set up the account."""
    return await LiveAccount.set_up(
        home_assistant, api_key=API_KEY, base_url=simulator.base_url
    )


@pytest.fixture
async def automations(home_assistant: HomeAssistant) -> AsyncIterator[Automations]:
    """Return the automations; remove all of them after the test."""
    automations = Automations(home_assistant)
    yield automations
    if home_assistant.is_alive:
        await automations.remove()


def _notice(entry: LogEntry) -> bool:
    """Return whether a log entry is not caused by the integration."""
    return any(
        entry.logger == logger and re.match(text, entry.text)
        for logger, text in NOTICES.items()
    )
