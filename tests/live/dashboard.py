"""The dashboard of the documentation, for whatever the account's device is called."""

from pathlib import Path
import re
from typing import Any

from homeassistant.util.yaml import parse_yaml

from .account import LiveAccount

FILE = Path(__file__).with_name("dashboard.yaml")
DEVICE = "model_studio_cn_beijing"
"""What the entity ids in the file start with."""


async def dashboard_of(account: LiveAccount) -> dict[str, Any]:
    """Return the dashboard with the entities of an account.

    Raises:
        LookupError: it shows an entity that the account does not have.

    """
    entity_ids = await account.entity_ids()
    device = entity_ids["status"].removeprefix("sensor.").removesuffix("_status")
    text = FILE.read_text().replace(DEVICE, device)
    shown = set(re.findall(r"\b(?:binary_)?sensor\.\w+", text))
    if missing := shown.difference(entity_ids.values()):
        raise LookupError(f"{FILE.name} shows {', '.join(sorted(missing))}")
    dashboard = parse_yaml(text)
    assert isinstance(dashboard, dict)
    return dashboard
