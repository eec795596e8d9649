"""An account whose API key reads limits only, in a complete Home Assistant."""

from typing import Any

import pytest

from tests.simulator import Account, Request, Simulator

from .account import WITHIN, LiveAccount, enter_account
from .conftest import API_KEY
from .instance import HomeAssistant, eventually

ROWS = 480


@pytest.fixture
def limits(simulator: Simulator) -> Account:
    """Serve an account that reports limits only."""
    simulator.account.answer = "limits"
    assert simulator.account.respond({}, "")["output"]["total"] == ROWS
    return simulator.account


def per_minute(row: dict[str, Any], name: str) -> float:
    """Return the lowest limit of a row per minute."""
    allowed = []
    for kind in ("model_limit", "workspace_limit"):
        limit = row[kind] or {}
        if limit.get(f"{name}_limit") is not None:
            allowed.append(limit[f"{name}_limit"] * 60 / limit[f"{name}_limit_period"])
    return min(allowed, default=float("inf"))


async def test_ten_models_of_hundreds(
    home_assistant: HomeAssistant, simulator: Simulator, limits: Account
) -> None:
    """The selected models have their limits, and a poll is one small request."""
    form = await enter_account(
        home_assistant, api_key=API_KEY, base_url=simulator.base_url
    )
    # Skip the AccessKey.
    assert form["step_id"] == "access_key"
    form = await home_assistant.continue_flow(form["flow_id"])
    assert form["step_id"] == "models"
    _, field = form["data_schema"]
    offered = [option["value"] for option in field["selector"]["select"]["options"]]
    rows: dict[str, list[dict[str, Any]]] = {}
    for page in range(1, 6):
        query = {"page_no": str(page), "page_size": "100"}
        for row in limits.respond(query, "")["output"]["quotas"]:
            rows.setdefault(row["model"], []).append(row)
    assert set(offered) == set(rows)

    several = [model for model, found in rows.items() if len(found) > 1]
    chosen = [*several[:5], *offered[:5]]
    assert len(set(chosen)) == 10
    step = await home_assistant.continue_flow(form["flow_id"], models=chosen)
    account = LiveAccount(home_assistant, step["result"]["entry_id"])

    wanted: dict[str, str | float] = {"status": "ok", "available_data": "limits"}
    for model in chosen:
        for key, name in (("rpm", "request"), ("tpm", "usage")):
            least = min(per_minute(row, name) for row in rows[model])
            if least != float("inf"):
                wanted[f"model_{model}_{key}"] = least
    await account.shows(**wanted)
    assert len(await account.entities()) < 40
    assert (await account.devices()).keys() == {step["title"], *chosen}

    async def polled() -> list[Request] | None:
        return simulator.requests or None

    simulator.requests.clear()
    requests = await eventually(polled, within=WITHIN)
    assert [request.query for request in requests] == [
        {"page_no": "1", "page_size": "1"}
    ]
