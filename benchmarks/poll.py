"""What a poll costs Home Assistant, beside the least it can cost and what rivals take.

The floor is what nobody can do without: fetch the answer and decode it. The rivals are
what a user would write without this integration:

`rest` has one resource and a sensor with a template for each figure. Its templates find
a model by its position in the list, which is the cheapest they can do: by name, as is
needed once a model comes or goes, they would search the list for each figure.

`rest and template` has the whole answer in the attributes of a single `rest` sensor, and
a template sensor for each figure of that. It writes nothing while nothing changes.

All are polled in turn in one Home Assistant, round by round, and compared by the median
CPU of the event loop's thread: what another process does to the machine meanwhile is in
all of them. Set-up, memory and blocks are measured in a fresh process for each.
"""

import argparse
import asyncio
from collections.abc import Awaitable, Callable, Collection
import gc
import logging
from statistics import median
import tracemalloc
from typing import Any

import orjson

from custom_components.alibaba_cloud.sources import async_get_session
from homeassistant.components.recorder import get_instance
from homeassistant.core import HomeAssistant
from homeassistant.helpers import entity_registry as er
from homeassistant.setup import async_setup_component

from .common import (
    API_KEY,
    DOMAIN,
    IDLE,
    POLL_INTERVAL,
    Block,
    Blocks,
    Cost,
    Goal,
    MovedClock,
    Result,
    Service,
    Table,
    Writes,
    arguments,
    at_least,
    at_most,
    home_assistant,
    imported,
    in_fresh_process,
    loop_cpu,
    measured,
    peak_memory,
    progress,
    report,
    reset_peak_memory,
    set_up_accounts,
    settled,
    writes,
)

type Poll = Callable[[], Awaitable[object]]

FLOOR = "floor"
INTEGRATION = "this integration"
REST = "rest"
REST_TEMPLATE = "rest and template"
CASES = (INTEGRATION, REST, REST_TEMPLATE)

SIZES = (10, 100, 500)
UNCHANGED = "unchanged"
CHANGED = "5 % changed"
SHARES = {UNCHANGED: 0.0, CHANGED: 0.05}
ROUNDS = 40
RIVALS_ROUNDS = 8
"""They take hundreds of times longer, and their medians are that much steadier."""

MINUTES = {INTEGRATION: 20, REST: 2, REST_TEMPLATE: 2}
"""After set-up, in which blocks are looked for. What Home Assistant and the integration
put off is done within 20; the rivals block at every poll."""
RUNS = {INTEGRATION: 3, REST: 1, REST_TEMPLATE: 1}

HEADERS = {"Authorization": f"Bearer {API_KEY}"}


# The rivals


ACCOUNT_FIGURES = {
    "status": "code",
    "credit_balance": "data.credits",
    "available_balance": "data.available",
    "spend_limit": "data.spend_limit",
    "daily_spend": "data.daily_spend",
    "monthly_spend": "data.monthly_spend",
    "tokens_used": "data.tokens_used",
    "requests_used": "data.requests_used",
    "rpm": "data.rate_limit.rpm",
    "tpm": "data.rate_limit.tpm",
    "billing_cycle_start": "data.billing_period.start",
    "billing_cycle_end": "data.billing_period.end",
}
"""By name, where each stands in the answer."""
MODEL_FIGURES = ("used", "limit", "rpm", "tpm")
USAGE = "{{% set row = {row} %}}{{{{ (row.used * 100 / row.limit) | round(4) }}}}"
SOURCE = "sensor.model_studio"


def resource(base_url: str, sensors: list[dict[str, Any]]) -> dict[str, Any]:
    """Return a resource of `rest`, polled as this integration polls."""
    return {
        "resource": f"{base_url}/quotas",
        "headers": HEADERS,
        "scan_interval": POLL_INTERVAL,
        "sensor": sensors,
    }


def rest_sensors(models: int) -> list[dict[str, Any]]:
    """Return a sensor for each figure, with a template that takes it from the answer."""
    sensors: list[dict[str, Any]] = [
        {"name": f"Rest {name}", "value_template": f"{{{{ value_json.{path} }}}}"}
        for name, path in ACCOUNT_FIGURES.items()
    ]
    for number in range(models):
        row = f"value_json.data.models[{number}]"
        for figure in MODEL_FIGURES:
            sensor: dict[str, Any] = {
                "name": f"Rest {number} {figure}",
                "value_template": f"{{{{ {row}.{figure} }}}}",
            }
            if figure == "used":
                sensor["json_attributes_path"] = f"$.data.models[{number}]"
                sensor["json_attributes"] = ["limit"]
            sensors.append(sensor)
        sensors.append(
            {"name": f"Rest {number} usage", "value_template": USAGE.format(row=row)}
        )
    return [_of_rest(number, sensor) for number, sensor in enumerate(sensors)]


def _of_rest(number: int, sensor: dict[str, Any]) -> dict[str, Any]:
    """Return a sensor with what makes it known to the registry."""
    return sensor | {"unique_id": f"rest_{number}"}


def source_sensors() -> list[dict[str, Any]]:
    """Return the sensor that has the whole answer in its attributes."""
    attributes = {
        path.split(".")[1] for path in ACCOUNT_FIGURES.values() if "." in path
    }
    return [
        {
            "name": "Model Studio",
            "unique_id": "source",
            "value_template": "{{ value_json.code }}",
            "json_attributes_path": "$.data",
            "json_attributes": ["models", *sorted(attributes)],
        }
    ]


def template_sensors(models: int) -> list[dict[str, Any]]:
    """Return a template sensor for each figure, of the attributes of the source."""
    sensors: list[dict[str, Any]] = []
    for name, path in ACCOUNT_FIGURES.items():
        _, _, figure = path.partition(".")
        attribute, _, inner = figure.partition(".")
        value = f"state_attr('{SOURCE}', '{attribute}')" if attribute else f"'{path}'"
        value += f".{inner}" if inner else ""
        sensors.append({"name": f"Template {name}", "state": f"{{{{ {value} }}}}"})
    for number in range(models):
        row = f"state_attr('{SOURCE}', 'models')[{number}]"
        for figure in MODEL_FIGURES:
            sensor: dict[str, Any] = {
                "name": f"Template {number} {figure}",
                "state": f"{{{{ {row}.{figure} }}}}",
            }
            if figure == "used":
                sensor["attributes"] = {"limit": f"{{{{ {row}.limit }}}}"}
            sensors.append(sensor)
        sensors.append(
            {"name": f"Template {number} usage", "state": USAGE.format(row=row)}
        )
    return [
        sensor | {"unique_id": f"template_{number}"}
        for number, sensor in enumerate(sensors)
    ]


# The cases


async def import_cases(hass: HomeAssistant) -> None:
    """Have all imported that any of the cases needs."""
    await imported(hass, DOMAIN, "rest", "template", "binary_sensor", "event", "sensor")


async def set_up(
    hass: HomeAssistant, cases: Collection[str], base_url: str, models: int
) -> dict[str, Poll]:
    """Set cases up in a Home Assistant; return what polls each."""
    polls: dict[str, Poll] = {}
    if INTEGRATION in cases:
        [coordinator] = await set_up_accounts(hass, [base_url])
        polls[INTEGRATION] = coordinator.async_refresh
    sensors = {
        case: source_sensors() if case == REST_TEMPLATE else rest_sensors(models)
        for case in (REST, REST_TEMPLATE)
        if case in cases
    }
    if not sensors:
        return polls
    resources = [resource(base_url, of_case) for of_case in sensors.values()]
    assert await async_setup_component(hass, "rest", {"rest": resources})
    await hass.async_block_till_done()
    for case, coordinator in zip(
        sensors, hass.data["rest"]["coordinator"], strict=True
    ):
        polls[case] = coordinator.async_refresh
    if REST_TEMPLATE in cases:
        config = [{"sensor": template_sensors(models)}]
        assert await async_setup_component(hass, "template", {"template": config})
        await hass.async_block_till_done()
    return polls


async def check(hass: HomeAssistant, polls: dict[str, Poll], models: int) -> None:
    """Make sure that each case has all its states, and that they say something.

    A poll that was under way while a rival was set up may have timed out.
    """
    for poll in polls.values():
        await poll()
    await settled(hass)
    figures = models * (len(MODEL_FIGURES) + 1) + len(ACCOUNT_FIGURES)
    states = hass.states.async_all()
    assert len(states) >= figures * len(polls), (len(states), figures)
    # Of the account alone there is what cannot be known yet: an alert, a forecast.
    certain = {
        entry.entity_id
        for entry in er.async_get(hass).entities.values()
        if entry.platform != DOMAIN or "_model_" in entry.unique_id
    }
    assert not [
        state
        for state in states
        if state.state == "unavailable"
        or (state.state == "unknown" and state.entity_id in certain)
    ]


def floor(hass: HomeAssistant, base_url: str) -> Poll:
    """Return what fetches and decodes the answer, and no more."""
    session = async_get_session(hass)

    async def fetch() -> object:
        async with session.get(f"{base_url}/quotas", headers=HEADERS) as response:
            return orjson.loads(await response.read())

    return fetch


# The measures


async def _measure_polls(models: int) -> dict[str, Any]:
    """Return, by share of models that change, the CPU and the writes of each case."""
    figures: dict[str, Any] = {}
    with Service(models) as service:
        [base_url] = service.base_urls
        async with home_assistant() as hass:
            await import_cases(hass)
            polls = await set_up(hass, CASES, base_url, models)
            await check(hass, polls, models)
            polls = {FLOOR: floor(hass, base_url), **polls}
            for name, share in SHARES.items():
                figures[name] = {
                    "cpu": await _poll_in_turn(hass, service, polls, share),
                    "writes": await _count_writes(hass, service, polls, share),
                }
    return figures


async def _poll_in_turn(
    hass: HomeAssistant, service: Service, polls: dict[str, Poll], share: float
) -> dict[str, float]:
    """Return the median CPU seconds of a poll of each case."""
    took: dict[str, list[float]] = {case: [] for case in polls}
    for number in range(-RIVALS_ROUNDS, ROUNDS):
        service.move(share)
        for case, poll in polls.items():
            if number < 0 or case in (FLOOR, INTEGRATION):
                took[case].append(await loop_cpu(hass, poll))
    # What the first round changes is more than a round does.
    return {case: median(seconds[1:]) for case, seconds in took.items()}


async def _count_writes(
    hass: HomeAssistant, service: Service, polls: dict[str, Poll], share: float
) -> dict[str, Writes]:
    """Return what a poll of each case writes."""
    for poll in polls.values():
        await poll()
    await settled(hass)
    service.move(share)
    return {case: await writes(hass, poll) for case, poll in polls.items()}


def measure_polls(models: int) -> dict[str, Any]:
    """Do so in this process."""
    return asyncio.run(_measure_polls(models))


async def _measure_case(case: str, models: int) -> dict[str, Any]:
    """Return what setting a case up costs, its memory, and its longest blocks."""
    blocks: dict[str, Block] = {}
    with Service(models) as service:
        [base_url] = service.base_urls
        async with home_assistant() as hass:
            await import_cases(hass)
            before = reset_peak_memory()
            with Blocks() as seen, measured() as cost:
                polls = await set_up(hass, [case], base_url, models)
            blocks["set-up"] = seen.longest()
            await check(hass, polls, models)
            clock = MovedClock()
            with Blocks() as seen:
                await _pass(hass, service, clock, MINUTES[case])
            blocks["after"] = seen.longest()
            collections = seen.collections
            memory = peak_memory() - before
            if case == INTEGRATION:
                logging.disable()
                service.fail()
                with Blocks() as seen:
                    await _pass(hass, service, clock, 1)
                blocks["outage"] = seen.longest()
                collections = collections + seen.collections
    return {
        "cost": cost,
        "memory": memory,
        "blocks": blocks,
        "collection": max(collections, default=0.0),
    }


async def _pass(
    hass: HomeAssistant, service: Service, clock: MovedClock, minutes: int
) -> None:
    """Let minutes pass, with 5 % changed at each poll.

    The loop's clock is moved, so that what is put off is done, and each poll made, by the
    timers that are set for it.
    """
    for _ in range(minutes * 60 // POLL_INTERVAL):
        service.move(SHARES[CHANGED])
        for _ in range(3):
            clock.advance(POLL_INTERVAL / 3)
            await asyncio.sleep(IDLE)
            await hass.async_block_till_done(wait_background_tasks=True)
        await get_instance(hass).async_block_till_done()


def measure_case(case: str, models: int) -> dict[str, Any]:
    """Do so in this process."""
    return asyncio.run(_measure_case(case, models))


async def _measure_objects(case: str, models: int) -> dict[str, int]:
    """Return the bytes of the objects that a case keeps, and of those of its own code.

    What Home Assistant keeps for entities and devices is in the former alone.
    """
    with Service(models) as service:
        [base_url] = service.base_urls
        async with home_assistant() as hass:
            await import_cases(hass)
            gc.collect()
            tracemalloc.start()
            polls = await set_up(hass, [case], base_url, models)
            for _ in range(2):
                service.move(SHARES[CHANGED])
                await polls[case]()
            await settled(hass)
            gc.collect()
            kept = tracemalloc.take_snapshot()
            tracemalloc.stop()
    sizes = [
        (statistic.traceback[0].filename, statistic.size)
        for statistic in kept.statistics("filename")
    ]
    return {
        "all": sum(size for _, size in sizes),
        "own": sum(size for name, size in sizes if f"/{DOMAIN}/" in name),
    }


def measure_objects(case: str, models: int) -> dict[str, int]:
    """Do so in this process."""
    return asyncio.run(_measure_objects(case, models))


# The report


def main() -> None:
    """Measure and report."""

    def prepare(parser: argparse.ArgumentParser) -> None:
        parser.add_argument(
            "--models",
            type=int,
            nargs="+",
            default=SIZES,
            help="sizes of an account (default: %(default)s)",
        )

    options = arguments("What a poll costs, beside the floor and rivals.", prepare)
    sizes = sorted(set(options.models))
    polls: dict[int, dict[str, Any]] = {}
    cases: dict[int, dict[str, Any]] = {}
    for models in sizes:
        progress(f"poll: polls of {models} models")
        polls[models] = in_fresh_process(measure_polls, models)
        cases[models] = {}
        for case in CASES:
            progress(f"poll: {case}, {models} models")
            cases[models][case] = _median_case(
                [
                    in_fresh_process(measure_case, case, models)
                    for _ in range(RUNS[case])
                ]
            )
    objects = {}
    for case in CASES:
        progress(f"poll: objects of {case}, {sizes[-1]} models")
        objects[case] = in_fresh_process(measure_objects, case, sizes[-1])
    report(result_of(polls, cases, objects), options.json)


def _median_case(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Return the median of the costs, and the least of the longest blocks.

    What others do to the machine can make a block longer, never shorter.
    """
    blocks = {
        when: min((run["blocks"][when] for run in runs), key=lambda block: block.cpu)
        for when in runs[0]["blocks"]
    }
    costs = [run["cost"] for run in runs]
    return {
        "cost": Cost(
            loop_cpu=median(cost.loop_cpu for cost in costs),
            cpu=median(cost.cpu for cost in costs),
            wall=median(cost.wall for cost in costs),
        ),
        "memory": median(run["memory"] for run in runs),
        "blocks": blocks,
        "collection": max(run["collection"] for run in runs),
    }


def result_of(
    polls: dict[int, dict[str, Any]],
    cases: dict[int, dict[str, Any]],
    objects: dict[str, dict[str, int]],
) -> Result:
    """Return what was measured, and what it means."""
    return Result(
        "poll",
        tables=[
            _cpu_table(polls),
            _writes_table(polls),
            _set_up_table(cases),
            _memory_table(cases, objects),
        ],
        goals=[*_poll_goals(polls), *_case_goals(cases, objects)],
        notes=[
            (
                "CPU is that of the event loop's thread, the median of "
                f"{ROUNDS + RIVALS_ROUNDS - 1} polls ({RIVALS_ROUNDS - 1} of the rivals)."
            ),
            (
                f"Blocks after set-up are those of {MINUTES[INTEGRATION]} minutes with 5 % "
                f"changed at each poll ({MINUTES[REST]} of the rivals), in CPU. Those of "
                f"{INTEGRATION} are of the best of {RUNS[INTEGRATION]} runs: what else the "
                "machine does can only make them longer."
            ),
            (
                "In an outage, every entity becomes unavailable. Blocks are without Python's "
                "garbage collections, which go through all that Home Assistant holds and "
                "come to whoever is at work: up to "
                f"{max(c[INTEGRATION]['collection'] for c in cases.values()) * 1000:.0f} ms."
            ),
            (
                "Peak memory is that of the whole process beyond an empty Home Assistant, "
                "with what its recorder takes to write all first states at once."
            ),
        ],
        figures={"polls": polls, "cases": cases, "objects": objects},
    )


def _cpu_table(polls: dict[int, dict[str, Any]]) -> Table:
    """Return the CPU of a poll."""
    table = Table(
        "CPU of a poll on the event loop, in ms",
        [
            "Models",
            "Poll",
            FLOOR,
            *CASES,
            f"{INTEGRATION} : {FLOOR}",
            f"{REST} : {INTEGRATION}",
            f"{REST_TEMPLATE} : {INTEGRATION}",
        ],
    )
    for models, changes in polls.items():
        for name, figures in changes.items():
            cpu = figures["cpu"]
            ours = cpu[INTEGRATION]
            table.rows.append(
                [
                    str(models),
                    name,
                    *(f"{cpu[case] * 1000:.2f}" for case in (FLOOR, *CASES)),
                    f"{ours / cpu[FLOOR]:.2f}",
                    f"{cpu[REST] / ours:.0f}",
                    f"{cpu[REST_TEMPLATE] / ours:.1f}",
                ]
            )
    return table


def _writes_table(polls: dict[int, dict[str, Any]]) -> Table:
    """Return what a poll writes."""
    table = Table(
        "States written, events fired and rows recorded by a poll",
        ["Models", "Poll", *CASES],
    )
    for models, changes in polls.items():
        for name, figures in changes.items():
            counts = [figures["writes"][case] for case in CASES]
            table.rows.append(
                [
                    str(models),
                    name,
                    *(
                        f"{count.states}, {count.events}, {count.rows}"
                        for count in counts
                    ),
                ]
            )
    return table


def _set_up_table(cases: dict[int, dict[str, Any]]) -> Table:
    """Return the cost of set-up, and the blocks."""
    table = Table(
        "Set-up, and the longest block of the event loop",
        [
            "Models",
            "Case",
            "CPU of set-up, s",
            "of the loop, s",
            "Set up within, s",
            "Block in set-up, ms",
            "after, ms",
            "in an outage, ms",
        ],
    )
    for models, by_case in cases.items():
        for case, figures in by_case.items():
            cost, blocks = figures["cost"], figures["blocks"]
            table.rows.append(
                [
                    str(models),
                    case,
                    f"{cost.cpu:.2f}",
                    f"{cost.loop_cpu:.2f}",
                    f"{cost.wall:.2f}",
                    *(
                        f"{blocks[when].cpu * 1000:.1f}" if when in blocks else ""
                        for when in ("set-up", "after", "outage")
                    ),
                ]
            )
    return table


def _memory_table(
    cases: dict[int, dict[str, Any]], objects: dict[str, dict[str, int]]
) -> Table:
    """Return the memory of a model, in the largest account."""
    models = max(cases)
    table = Table(
        f"Memory of each of {models} models, in KB",
        ["Case", "Peak of the process", "Objects kept", "of those of its own code"],
    )
    for case, kept in objects.items():
        own = _kilobytes(kept["own"], models) if case == INTEGRATION else ""
        table.rows.append(
            [
                case,
                _kilobytes(cases[models][case]["memory"], models),
                _kilobytes(kept["all"], models),
                own,
            ]
        )
    return table


def _kilobytes(size: float, models: int) -> str:
    """Return a size per model."""
    return f"{size / models / 1024:.1f}"


def _poll_goals(polls: dict[int, dict[str, Any]]) -> list[Goal]:
    """Hold the polls against what is wanted."""
    largest = max(polls)

    def floors(name: str) -> list[float]:
        cpus = [changes[name]["cpu"] for changes in polls.values()]
        return [cpu[INTEGRATION] / cpu[FLOOR] for cpu in cpus]

    def under_rest(name: str) -> float:
        cpu = polls[largest][name]["cpu"]
        return float(cpu[REST] / cpu[INTEGRATION])

    written = [changes[UNCHANGED]["writes"][INTEGRATION] for changes in polls.values()]
    return [
        at_most(f"{UNCHANGED}: times the floor, at every size", 2, floors(UNCHANGED)),
        at_least(f"{UNCHANGED}: times under `rest`", 300, under_rest(UNCHANGED)),
        at_most(f"{CHANGED}: times the floor, at every size", 15, floors(CHANGED)),
        at_least(f"{CHANGED}: times under `rest`", 50, under_rest(CHANGED)),
        Goal(
            f"{UNCHANGED}: nothing is written",
            ", ".join(f"{w.states} states, {w.rows} rows" for w in written[-1:]),
            all(w == Writes(0, 0, 0) for w in written),
        ),
    ]


def _case_goals(
    cases: dict[int, dict[str, Any]], objects: dict[str, dict[str, int]]
) -> list[Goal]:
    """Hold set-up, blocks and memory against what is wanted."""
    largest = max(cases)
    ours, rest = cases[largest][INTEGRATION], cases[largest][REST]
    return [
        at_most(
            f"Set-up of {largest} models: share of the CPU of `rest`",
            0.25,
            [ours["cost"].cpu / rest["cost"].cpu],
        ),
        at_most(
            f"After set-up of {largest} models: longest block of the loop, in ms, "
            "and in an outage",
            10,
            [ours["blocks"][when].cpu * 1000 for when in ("after", "outage")],
        ),
        at_most(
            "Memory of a model, in KB, of this integration's own code",
            20,
            [objects[INTEGRATION]["own"] / largest / 1024],
        ),
    ]


if __name__ == "__main__":
    main()
