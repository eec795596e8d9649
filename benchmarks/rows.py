"""The database rows of a busy day, compared with those of the rival of `poll`.

The day passes in minutes, as in `endurance`. An account with ten models and an AccessKey
is used at every moment of it. Both sides poll it as often in one Home Assistant, the rival
with further `rest` sensors for Prometheus: it can't sign requests, such as for the bill.
A figure has a row for each recorded state, and one for each set of attributes. The rival's
`rest` sensors are not compared: they need not be recorded. In the end, both are polled once
more, and must show the same.
"""

import argparse
import asyncio
from collections import defaultdict
from dataclasses import replace
import logging
import re
import sys
from typing import Any

from sqlalchemy import text

from custom_components.alibaba_cloud.sources import Source
from homeassistant.components.recorder import get_instance
from homeassistant.components.recorder.util import session_scope
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from tests.simulator import Simulator

from . import common, endurance, poll

MODELS = 10
DAILY_SPEND = 3_000
"""USD. Usage and spend change from poll to poll."""
THROTTLED = 0.3
TOKENS, CALLS = 'model_usage{usage_type="total_tokens"}', "model_call_count"
QUERIES = {
    "tokens": (60, f"sum by (model) (last_over_time({TOKENS}[1m]))"),
    "calls": (60, f"sum by (model, status_code) (last_over_time({CALLS}[1m]))"),
    # The simulator takes each of these ranges for the month.
    "month_tokens": (900, f"sum by (model) (sum_over_time({TOKENS}[30d:1m]))"),
    "month_calls": (900, f"sum by (model) (sum_over_time({CALLS}[30d:1m]))"),
}
"""The queries of the rival and their interval in seconds, as in this integration."""
COUNT = """
SELECT states_meta.entity_id, COUNT(*) + COUNT(DISTINCT attributes_id),
    SUM(state IS last_state AND attributes_id IS last_attributes_id)
FROM (
    SELECT *, LAG(state) OVER by_entity AS last_state,
        LAG(attributes_id) OVER by_entity AS last_attributes_id
    FROM states WINDOW by_entity AS (PARTITION BY metadata_id ORDER BY state_id)
) JOIN states_meta USING (metadata_id) GROUP BY metadata_id
"""


type Figures = dict[str, tuple[str, int, int]]
"""By the end of the unique ID: the state, the rows, and those that repeat the row before."""


def resource(simulator: Simulator, name: str) -> dict[str, Any]:
    """Return how the rival reads an answer of Prometheus."""
    [(user, password)] = simulator.access_keys.items()
    interval, query = QUERIES[name]
    sensor = {"name": name, "unique_id": name, "json_attributes": ["result"]}
    sensor |= {"json_attributes_path": "$.data", "value_template": "ok"}
    return {
        "resource": f"{simulator.prometheus_url}/api/v1/query",
        "params": {"query": query, "time": "{{ (now().timestamp() // 60 - 2) * 60 }}"},
        "authentication": "basic",
        "username": user,
        "password": password,
        "scan_interval": interval,
        "sensor": [sensor],
    }


def templates(n: int) -> dict[str, str]:
    """Return what the rival shows of a model from Prometheus."""

    def read(query: str, row: int = n) -> str:
        return f"(state_attr('sensor.{query}', 'result')[{row}].value[1] | int)"

    tokens, refused = read("tokens"), read("calls", 2 * n + 1)
    calls = f"({read('calls', 2 * n)} + {refused})"
    row = f"state_attr('{poll.SOURCE}', 'models')[{n}]"
    return {
        "tokens_per_minute": tokens,
        "requests_per_minute": calls,
        "throttled_calls": refused,
        "error_rate_pct": f"{refused} * 100 / {calls}",
        "load_pct": f"[{tokens} * 100 / {row}.tpm, {calls} * 100 / {row}.rpm] | max",
        "tokens": read("month_tokens"),
        "requests": read("month_calls"),
    }


async def figures(hass: HomeAssistant) -> dict[str, Figures]:
    """Return the figures of each side."""

    def count() -> dict[str, tuple[int, int]]:
        with session_scope(hass=hass, read_only=True) as session:
            return {name: (n, w) for name, n, w in session.execute(text(COUNT))}

    recorder = get_instance(hass)
    await recorder.async_add_executor_job(recorder.block_till_done)
    rows = await recorder.async_add_executor_job(count)
    sides: dict[str, Figures] = defaultdict(dict)
    for entity in er.async_get(hass).entities.values():
        key = entity.unique_id.removeprefix(f"{entity.config_entry_id}_")
        state = hass.states.get(entity.entity_id)
        assert state is not None
        sides[entity.platform][key] = (state.state, *rows[entity.entity_id])
    return sides


async def live(loop: endurance.VirtualLoop) -> dict[str, Figures]:
    """Let a day pass; return the figures of each side."""
    account = common.Load(MODELS).account()
    account.clock = loop.clock.utcnow
    account.base_spend, account.throttled = DAILY_SPEND, THROTTLED
    account.credits = account.spend_limit = 100 * DAILY_SPEND
    account.models = [replace(model, limit=10**10) for model in account.models]
    # With another currency, there would be no forecast on the first day.
    account.currency = "USD"
    more = {
        f"model_{name}_{key}": f"{{{{ {figure} }}}}"
        for n, name in enumerate(account.model_names)
        for key, figure in templates(n).items()
    }
    async with Simulator(account=account) as simulator, common.home_assistant() as hass:
        await common.import_cases(hass)
        with loop.watch(get_instance(hass)):
            loop.clock.stands_still = True
            url = simulator.base_url
            await poll.set_up_ours(hass, url, common.access_key(simulator))
            resources = [resource(simulator, name) for name in QUERIES]
            await poll.set_up_rival(hass, url, MODELS, resources, more)
            # Between two polls of all.
            await asyncio.sleep(endurance.DAY.total_seconds() - 10)
            [entry] = hass.config_entries.async_entries(common.DOMAIN)
            sources = entry.runtime_data.sources
            polled = [sources[s] for s in (Source.QUOTAS, Source.RATES, Source.TOTALS)]
            polled += hass.data["rest"]["coordinator"]
            await asyncio.gather(*(each.async_refresh() for each in polled))
            await common.settled(hass)
            loop.clock.stands_still = False
            return await figures(hass)


def plain(state: str) -> str | float | None:
    """Return a state to compare, rounded as in this integration; None without one."""
    try:
        return round(float(state), 4)
    except ValueError:
        return None if state in ("unknown", "unavailable") else state


def main() -> int:
    """Let a day pass and report; return the exit status."""
    argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0]).parse_args()
    log = endurance.Log()
    logging.getLogger().addHandler(log)
    loop = endurance.VirtualLoop(endurance.VirtualTime(endurance.START))
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        sides = runner.run(live(loop))
    ours, rival, rest = sides[common.DOMAIN], sides["template"], sides["rest"]
    groups: dict[str, list[str]] = defaultdict(list)
    for key in sorted(ours, key=lambda key: key not in rival):
        groups[re.sub("^(model|workspace)_[^_]+_", r"\1: ", key)].append(key)
    groups["**all of both**"] = [*rival]
    groups[f"**only {poll.OURS}**"] = [key for key in ours if key not in rival]
    groups["**`rest` sensors**"] = [*rest]

    def rows(side: Figures, keys: list[str]) -> int:
        return sum(side[key][1] for key in keys if key in side)

    wrong = [
        f"{key}: {state}"
        for key, (state, *_) in rival.items()
        if plain(state) is None or plain(state) != plain(ours.get(key, ("unknown",))[0])
    ]
    ratio = rows(ours, [*rival]) / rows(rival, [*rival])
    repeated = sum(repeated for _, _, repeated in ours.values())
    return common.report(
        ["Figure", "Sensors", poll.OURS, poll.RIVAL],
        [
            [name, *map(str, (len(k), rows(ours, k), rows(rival | rest, k)))]
            for name, k in groups.items()
        ],
        [
            common.at_most(f"Rows of both, {poll.OURS} : {poll.RIVAL}", 1, ratio),
            common.at_most(f"Rows of {poll.OURS} that repeat the last", 0, repeated),
            common.Goal("Both show the same", "; ".join(wrong), not wrong),
            common.Goal("Nothing is logged", "; ".join(log.lines), not log.lines),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
