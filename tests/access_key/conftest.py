"""Fixtures of the tests of the AccessKey."""

from collections.abc import AsyncIterator, Iterator
import ssl

from freezegun.api import FrozenDateTimeFactory
import pytest

from homeassistant.core import HomeAssistant
from tests.common import NOW
from tests.flows import answering_at, leaks, tls
from tests.simulator import Account, Simulator

from .common import ACCESS_KEY_SECRETS, ACCESS_KEYS, HOSTS, AccessFlows


@pytest.fixture(autouse=True)
def limits(freezer: FrozenDateTimeFactory, simulator: Simulator) -> None:
    """Let the API key read limits only, and accept two AccessKeys."""
    freezer.move_to(NOW)
    simulator.body = None
    simulator.account = Account(answer="limits", catalogue_rows=10)
    simulator.access_keys = dict(ACCESS_KEYS)


@pytest.fixture(autouse=True)
def no_leaks(hass: HomeAssistant, caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Fail a test that shows a secret in the log, a state or a name."""
    yield
    assert leaks(hass, caplog, ACCESS_KEY_SECRETS) == []


@pytest.fixture(scope="module")
def contexts(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """Return the TLS contexts for the vendor's hosts, created with the real clock.

    The library for certificates remembers the first `datetime` class that it sees.
    """
    return tls(tmp_path_factory.mktemp("tls"), HOSTS)


@pytest.fixture
async def vendor(
    hass: HomeAssistant,
    simulator: Simulator,
    contexts: tuple[ssl.SSLContext, ssl.SSLContext],
) -> AsyncIterator[None]:
    """Let the simulator answer at the vendor's hosts."""
    async with answering_at(hass, simulator, contexts):
        yield


@pytest.fixture
def flows(
    hass: HomeAssistant, monkeypatch: pytest.MonkeyPatch, simulator: Simulator
) -> AccessFlows:
    """Return the helper that goes through flows."""
    return AccessFlows(hass, monkeypatch, simulator)
