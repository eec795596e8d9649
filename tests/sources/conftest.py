"""An account whose API key reads limits only, with an AccessKey."""

from freezegun.api import FrozenDateTimeFactory
import pytest
from pytest_homeassistant_custom_component.common import MockConfigEntry

from homeassistant.core import HomeAssistant
from tests.common import NOW, give_access_key, setup
from tests.simulator import Simulator


@pytest.fixture
def entry(
    hass: HomeAssistant,
    entry: MockConfigEntry,
    simulator: Simulator,
    freezer: FrozenDateTimeFactory,
) -> MockConfigEntry:
    """Return an account whose API key reads limits only, with an AccessKey."""
    freezer.move_to(NOW)
    give_access_key(hass, entry, simulator)
    return entry


@pytest.fixture
async def account(
    hass: HomeAssistant, entry: MockConfigEntry, enable_all_entities: None
) -> MockConfigEntry:
    """Return this account, set up, with all its entities."""
    await setup(hass, entry)
    return entry
