"""What a poll costs Home Assistant, compared with the least possible and with a rival.

The floor is to fetch and decode the same answer. The rival is what a user would write
without this integration: one `rest` sensor with the whole answer in its attributes, and a
template sensor for each figure. It finds a model by its position in the list, which is
cheap, and wrong as soon as a model comes or goes.

*With an AccessKey*, this integration also has Prometheus, prices, assets, a Token Plan and a
followed workspace, and all models are in use.

All are polled in turns in one Home Assistant and compared by the median CPU of the event
loop's thread. The service has a process of its own. Set-up, blocks of the event loop and
memory are measured in a fresh process for each.
"""

import argparse
import asyncio
from collections import defaultdict
from collections.abc import Sequence
import gc
import logging
from statistics import median
import sys
import time
import tracemalloc
from typing import Any
from unittest.mock import patch

import orjson

from custom_components.alibaba_cloud.clients import async_get_session
from homeassistant.core import HomeAssistant, StateMachine
from homeassistant.setup import async_setup_component
from tests.simulator.account import WORKSPACE_ID

from .common import (
    API_KEY,
    DOMAIN,
    IDLE,
    POLL_INTERVAL,
    SHARES,
    Goal,
    Poll,
    Service,
    add_account,
    at_most,
    blocks,
    cpu_of_polls,
    home_assistant,
    import_cases,
    in_fresh_process,
    model_names,
    progress,
    report,
    settled,
)

FLOOR, OURS, RIVAL = "floor", "this integration", "rest and template"
FULL = "this integration with an AccessKey"
SIZES = (10, 100, 500)
CHANGED = "5 % changed"
MEMORY = "Memory per model, of this integration's code, KB"
ROUNDS = 41
MINUTES = 20
"""Minutes after set-up in which blocks are measured. All delayed work is done in them."""
RUNS = 3
HEADERS = {"Authorization": f"Bearer {API_KEY}"}

ACCOUNT_FIGURES = {
    "credit_balance": "credits",
    "available_balance": "available",
    "spend_limit": "spend_limit",
    "daily_spend": "daily_spend",
    "monthly_spend": "monthly_spend",
    "tokens_used": "tokens_used",
    "requests_used": "requests_used",
    "rpm": "rate_limit.rpm",
    "tpm": "rate_limit.tpm",
    "billing_cycle_start": "billing_period.start",
    "billing_cycle_end": "billing_period.end",
}
"""What the rival reads from the answer, by the key of the figure."""
MODEL_FIGURES = {
    **{key: f".{key}" for key in ("used", "limit", "rpm", "tpm")},
    "usage_pct": ".used * 100 / row.limit",
}
"""The same for each model."""
SOURCE = "sensor.model_studio"


async def set_up_ours(
    hass: HomeAssistant, base_url: str, access_key: dict[str, str] | None = None
) -> Poll:
    """Set up this integration; return the function that polls it."""
    options = {"workspaces": [WORKSPACE_ID]} if access_key else None
    entry = await add_account(hass, base_url, options=options, **access_key or {})
    poll: Poll = entry.runtime_data.quotas.async_refresh
    return poll


async def set_up_rival(
    hass: HomeAssistant,
    base_url: str,
    models: int,
    resources: Sequence[dict[str, Any]] = (),
    templates: dict[str, str] | None = None,
) -> Poll:
    """Set up the rival, with more resources and templates; return the function to poll it.

    The unique ID of a template sensor is the end of the unique ID of the same figure in
    this integration.
    """
    figures = {path.partition(".")[0] for path in ACCOUNT_FIGURES.values()}
    resource = {
        "resource": f"{base_url}/quotas",
        "headers": HEADERS,
        "scan_interval": POLL_INTERVAL,
        "sensor": [
            {
                "name": "Model Studio",
                "unique_id": "source",
                "value_template": "{{ value_json.code }}",
                "json_attributes_path": "$.data",
                "json_attributes": ["models", *sorted(figures)],
            }
        ],
    }
    states = {
        key: f"{{{{ states.{SOURCE}.attributes.{path} }}}}"
        for key, path in ACCOUNT_FIGURES.items()
    }
    for n, name in enumerate(model_names(models)):
        row = f"{{% set row = state_attr('{SOURCE}', 'models')[{n}] %}}"
        for key, figure in MODEL_FIGURES.items():
            states[f"model_{name}_{key}"] = f"{row}{{{{ row{figure} }}}}"
    sensors = [
        {"name": f"Template {n}", "unique_id": key, "state": state}
        for n, (key, state) in enumerate((states | (templates or {})).items())
    ]
    assert await async_setup_component(hass, "rest", {"rest": [resource, *resources]})
    await hass.async_block_till_done()
    coordinator = hass.data["rest"]["coordinator"][0]
    assert await async_setup_component(
        hass, "template", {"template": [{"sensor": sensors}]}
    )
    await hass.async_block_till_done()
    poll: Poll = coordinator.async_refresh
    return poll


def floor(hass: HomeAssistant, base_url: str) -> Poll:
    """Return a function that only fetches and decodes the answer."""
    session = async_get_session(hass)

    async def fetch() -> object:
        async with session.get(f"{base_url}/quotas", headers=HEADERS) as response:
            return orjson.loads(await response.read())

    return fetch


async def measure_polls(models: int) -> dict[str, float]:
    """Return what polls cost, by the name of the row."""
    figures: dict[str, float] = {}
    with Service(models) as service:
        [base_url], [access_key] = service.base_urls, service.access_keys
        async with home_assistant() as hass:
            await import_cases(hass)
            polls = {
                FLOOR: floor(hass, base_url),
                OURS: await set_up_ours(hass, base_url),
                RIVAL: await set_up_rival(hass, base_url, models),
                FULL: await set_up_ours(hass, base_url, access_key),
            }
            await settled(hass)
            assert len(hass.states.async_all()) > 2 * models * len(MODEL_FIGURES)
            for name, share in SHARES.items():
                took = await cpu_of_polls(
                    hass, service, [*polls.values()], share=share, rounds=ROUNDS
                )
                cpu = dict(zip(polls, map(median, took), strict=True))
                for case in polls:
                    figures[f"{name}: CPU of {case}, ms"] = cpu[case] * 1000
                for case in (OURS, FULL):
                    figures[f"{name}: {case} : {FLOOR}"] = cpu[case] / cpu[FLOOR]
                service.move(share)
                with patch.object(
                    StateMachine,
                    "async_set_internal",
                    autospec=True,
                    side_effect=StateMachine.async_set_internal,
                ) as written:
                    await polls[OURS]()
                    await settled(hass)
                figures[f"{name}: states written"] = written.call_count
    return figures


async def measure_set_up(case: str, models: int) -> list[float]:
    """Return the CPU of set-up and, of this integration, the longest blocks.

    They are those after set-up and in an outage. All are in seconds.
    """
    with Service(models) as service:
        [base_url] = service.base_urls
        async with home_assistant() as hass:
            await import_cases(hass)
            started = time.process_time()
            if case == RIVAL:
                await set_up_rival(hass, base_url, models)
                return [time.process_time() - started]
            await set_up_ours(hass, base_url)
            figures = [time.process_time() - started]
            await settled(hass)
            loop = asyncio.get_running_loop()
            ahead = 0.0
            real = loop.time
            loop.time = lambda: real() + ahead  # type: ignore[method-assign]
            for minutes in (MINUTES, 1):
                with blocks() as took:
                    # The clock of the loop is moved, so that timers start the polls and
                    # all delayed work.
                    for step in range(3 * minutes * 60 // POLL_INTERVAL):
                        service.move(SHARES[CHANGED] if step % 3 == 0 else 0)
                        ahead += POLL_INTERVAL / 3
                        await asyncio.sleep(IDLE)
                        await settled(hass)
                figures.append(max(took))
                logging.disable()
                service.fail()
    return figures


async def measure_memory(models: int) -> int:
    """Return the bytes that the code of this integration keeps."""
    with Service(models) as service:
        [base_url] = service.base_urls
        async with home_assistant() as hass:
            await import_cases(hass)
            gc.collect()
            tracemalloc.start()
            poll = await set_up_ours(hass, base_url)
            service.move(SHARES[CHANGED])
            await poll()
            await settled(hass)
            gc.collect()
            kept = tracemalloc.take_snapshot()
            tracemalloc.stop()
    return sum(
        statistic.size
        for statistic in kept.statistics("filename")
        if f"/{DOMAIN}/" in statistic.traceback[0].filename
    )


def main() -> int:
    """Measure and report; return the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--models", type=int, nargs="+", default=SIZES)
    sizes: Sequence[int] = sorted(set(parser.parse_args().models))
    rows: dict[str, list[float]] = defaultdict(list)
    for models in sizes:
        progress(f"{models} models")
        runs = [in_fresh_process(measure_set_up, OURS, models) for _ in range(RUNS)]
        set_up, after, outage = zip(*runs, strict=True)
        [rival] = in_fresh_process(measure_set_up, RIVAL, models)
        figures = in_fresh_process(measure_polls, models) | {
            f"Set-up: CPU of {OURS}, s": median(set_up),
            f"Set-up: CPU of {RIVAL}, s": rival,
            # Other processes can make a block longer, never shorter.
            "Longest block after set-up, ms": min(after) * 1000,
            "Longest block in an outage, ms": min(outage) * 1000,
            MEMORY: in_fresh_process(measure_memory, models) / models / 1024,
        }
        for name, figure in figures.items():
            rows[name].append(figure)

    def goal(name: str, limit: float) -> Goal:
        return at_most(name, limit, *rows[name])

    return report(
        ["Models", *map(str, sizes)],
        [[name, *(f"{f:.3g}" for f in figures)] for name, figures in rows.items()],
        [
            goal(f"unchanged: {OURS} : {FLOOR}", 2),
            goal("unchanged: states written", 0),
            goal(f"{CHANGED}: {OURS} : {FLOOR}", 10),
            goal(f"unchanged: {FULL} : {FLOOR}", 2),
            goal(f"{CHANGED}: {FULL} : {FLOOR}", 10),
            goal("Longest block after set-up, ms", 10),
            goal("Longest block in an outage, ms", 10),
            at_most(MEMORY, 20, rows[MEMORY][-1]),
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
