"""Fifty kills of a Home Assistant: nothing is lost, nothing is doubled.

A whole Home Assistant in a process of its own has two accounts: one that reports usage,
and one that reports limits alone and has an AccessKey. It is killed (SIGKILL) while it
polls, while it writes its storage and while the user is in a flow, at moments that the
seed decides, and started again. After each start all is there that was there: accounts,
devices, entities under their ids, and each row of each statistic; nothing is there twice,
and no error is in the log.

It runs in the environment of the tests of a whole Home Assistant, `.venv-run`.
"""

import argparse
import asyncio
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
import json
from math import isclose
import os
from pathlib import Path
from random import Random
import signal
import sys
from tempfile import TemporaryDirectory
import time
from typing import Any, NamedTuple

import aiohttp

from tests.live.account import LiveAccount
from tests.live.instance import HomeAssistant
from tests.simulator import (
    DEFAULT_ACCESS_KEY_ID,
    DEFAULT_ACCESS_KEY_SECRET,
    Account,
    Model,
    Simulator,
)
from tests.simulator.billing import total_on

from .common import API_KEY, DOMAIN, Goal, Result, Table, arguments, progress, report

KILLS = 50
MOMENTS = ("polling", "writing", "in a flow")

LIMITS_KEY = "sk-simulator-limits"
THIRD_KEY = "sk-simulator-third"

MINUTE = timedelta(minutes=1)
DAY = timedelta(days=1)

WITHIN = 60.0
"""Seconds in which all is there again."""
STATISTICS = 300
"""Seconds of which the shortest statistics are compiled."""
LATEST = {"polling": 0.5, "writing": 3.0, "in a flow": 1.5}
"""Seconds until the kill, at most."""
LATEST_WRITE = 12.0
"""Seconds after which Home Assistant has written its registries, which it does last."""

ENTRIES = "/api/config/config_entries"

# Models of an account that reports limits; one of them costs nothing.
CHOICES: tuple[tuple[str, ...], ...] = (
    ("qwen-max", "qwen-plus", "qwen-long"),
    ("qwen-max", "qwen-turbo", "deepseek-v3"),
)
# Models of an account that reports usage.
ALL: tuple[str, ...] = ()
FEW = ("qwen-max", "qwen-plus", "text-embedding-v4")

# What becomes of requests to a process that is killed.
CUT_OFF = (aiohttp.ClientError, ConnectionError, TypeError, asyncio.CancelledError)


class Victim(HomeAssistant):
    """A Home Assistant that is killed."""

    def half_written(self) -> set[str]:
        """Return the files that were begun and have not taken their name yet."""
        return {path.name for path in self.storage.glob("tmp*")}

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process
        return self._process.pid


def kill_as_it_writes(pid: int, directory: str, within: float) -> None:
    """End a process as soon as it begins a file, at the latest after so many seconds.

    In a process of its own, as a file is whole after a fraction of a millisecond.
    """
    end = time.monotonic() + within
    # Paths would take too long.
    files = partial(os.listdir, directory)
    before = set(files())
    while time.monotonic() < end:
        if any(name.startswith("tmp") for name in set(files()) - before):
            break
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


class Deed(NamedTuple):
    """Something that goes on when the process is killed."""

    name: str
    act: Callable[[], Awaitable[None]]
    prepare: Callable[[], Awaitable[None]] | None = None


@dataclass(frozen=True, kw_only=True)
class Kill:
    """One kill, and what was found after it."""

    moment: str
    deed: str
    half_written: int
    """Files that were begun, and not whole."""
    started_in: float
    """Seconds until Home Assistant was there again."""
    complaints: list[str]
    errors: list[str]
    """Of the log."""


class World:
    """A Home Assistant with its accounts, and all that is known of them."""

    def __init__(
        self,
        victim: Victim,
        watcher: Executor,
        services: dict[str, Simulator],
        random: Random,
    ) -> None:
        """Know nothing yet; the watcher has a process of its own."""
        self.victim = victim
        self.watcher = watcher
        self.services = services
        self.random = random
        self.accounts: dict[str, LiveAccount] = {}
        self.third: str | None = None
        """An account that is set up and removed again, where it is there."""
        self.chosen = {"usage": ALL, "limits": CHOICES[0]}
        """What is chosen, by what is stored."""
        self.choosing: dict[str, tuple[str, ...]] = {}
        """What was being chosen at the kill."""
        self.gone: Model | None = None
        self.device_ids: dict[str, str] = {}
        """By what identifies a device, of all that were stored at the kill."""
        self.entity_ids: dict[str, str] = {}
        """By unique id, of all that ever were."""
        self.unique_ids: dict[str, set[str]] = defaultdict(set)
        """Of all that ever were, by what identifies their device."""
        self.rows: dict[tuple[str, str], dict[int, tuple[Any, ...]]] = {}
        """Of the statistics, by statistic and period."""
        self.first = self.account.monthly_spend
        """What the first month came to, when it was looked at first."""
        self.months: dict[datetime, Decimal] = {}
        """What each month came to that is over, by its beginning."""
        self._logged = 0

    @property
    def account(self) -> Account:
        """The account that reports usage."""
        return self.services["usage"].account

    async def set_up(self) -> None:
        """Set both accounts up, and give entities ids of the user's own."""
        limits = self.services["limits"]
        self.accounts["usage"] = await LiveAccount.set_up(
            self.victim, api_key=API_KEY, base_url=self.services["usage"].base_url
        )
        step = await self.victim.start_flow(DOMAIN)
        for data in (
            {
                "api_key": LIMITS_KEY,
                # Its entities are named after it. If they were named as those of the
                # other account, each would take the id that a removed one has left.
                "base_url": limits.base_url.replace("127.0.0.1", "localhost"),
            },
            {
                "access_key_id": DEFAULT_ACCESS_KEY_ID,
                "access_key_secret": DEFAULT_ACCESS_KEY_SECRET,
                "region": "cn-beijing",
                "endpoints": {
                    "billing_endpoint": limits.openapi_url,
                    "balance_endpoint": limits.openapi_url,
                    "prometheus_url": limits.prometheus_url,
                },
            },
            {"models": CHOICES[0]},
        ):
            step = await self.victim.continue_flow(step["flow_id"], **data)
        assert step["type"] == "create_entry", step
        self.accounts["limits"] = LiveAccount(self.victim, step["result"]["entry_id"])
        await self.accounts["limits"].shows(status="ok")
        for name, key in (("usage", "model_qwen-max_used"), ("limits", "status")):
            entity_ids = await self.accounts[name].entity_ids()
            await self.victim.command(
                "config/entity_registry/update",
                entity_id=entity_ids[key],
                new_entity_id=f"sensor.{name}_as_i_call_it",
            )
        # What is not stored by then is so at the stop.
        await self.victim.restart()
        assert not (found := await self.complaints()), found
        self._logged = len(self.victim.log())

    async def kill(self, moment: str) -> Kill:
        """Kill it at a moment, start it again, and look at what is there."""
        deed = self._deed(moment)
        if deed.prepare:
            await deed.prepare()
        before = self.victim.half_written()
        doing = asyncio.ensure_future(deed.act())
        if moment == "writing" and self.random.random() < 0.7:
            await asyncio.get_running_loop().run_in_executor(
                self.watcher,
                kill_as_it_writes,
                self.victim.pid,
                str(self.victim.storage),
                LATEST_WRITE,
            )
        else:
            await asyncio.sleep(self.random.uniform(0, LATEST[moment]))
        await self.victim.kill()
        doing.cancel()
        with suppress(*CUT_OFF):
            await doing
        half_written = self.victim.half_written() - before
        complaints = list(self._remember_stored())
        began = time.monotonic()
        await self.victim.start()
        started_in = time.monotonic() - began
        return Kill(
            moment=moment,
            deed=deed.name,
            half_written=len(half_written),
            started_in=started_in,
            complaints=complaints + await self.complaints(),
            errors=self._errors(),
        )

    # What goes on when it is killed

    def _deed(self, moment: str) -> Deed:
        deeds = {
            "polling": [Deed("other figures", self._poll)],
            "writing": [
                Deed("a month's end", self._end_month, self._have_shown),
                Deed("other models chosen", self._choose),
                Deed("a model gone or back", self._rotate),
                Deed("a reload", self._reload),
            ],
            "in a flow": [
                Deed("a form", self._look_at_form),
                Deed("other models chosen", self._choose),
                Deed("an account reconfigured", self._reconfigure),
                Deed("an account set up or removed", self._change_third),
            ],
        }
        return self.random.choice(deeds[moment])

    async def _poll(self) -> None:
        """Have other figures read."""
        if self.account.today.day < 27:
            self.account.advance(self.random.uniform(5, 600) * MINUTE)
        await self.accounts["usage"].refresh()

    async def _have_shown(self) -> None:
        """Have the database know what is spent."""
        spent = float(self.account.monthly_spend)
        await self.accounts["usage"].shows(monthly_spend=spent)
        await asyncio.sleep(1.5)

    async def _end_month(self) -> None:
        """Have spend start again at nothing, which is stored at once."""
        start = self.account.now.replace(day=1, hour=0, minute=0, second=0)
        self.months[start] = self.account.monthly_spend
        self.account.roll_over("month")
        await self.accounts["usage"].refresh()

    async def _choose(self) -> None:
        """Choose other models."""
        name = self.random.choice(["usage", "limits"])
        options = (ALL, FEW) if name == "usage" else CHOICES
        chosen = options[options.index(self.chosen[name]) - 1]
        self.choosing[name] = chosen
        flow = f"{ENTRIES}/options/flow"
        step = await self.victim.request(
            "POST", flow, {"handler": self.accounts[name].entry_id}
        )
        for data in ({"next_step_id": "models"}, {"models": list(chosen)}):
            await self.victim.request("POST", f"{flow}/{step['flow_id']}", data)

    async def _rotate(self) -> None:
        """Have a model vanish, or return."""
        models = self.account.models
        if self.gone:
            models.append(self.gone)
            self.gone = None
        else:
            self.gone = self.random.choice([m for m in models if m.name not in FEW])
            models.remove(self.gone)
        await self.accounts["usage"].refresh()

    async def _reload(self) -> None:
        """Reload an account."""
        account = self.accounts[self.random.choice(["usage", "limits"])]
        await self.victim.request("POST", f"{ENTRIES}/entry/{account.entry_id}/reload")

    async def _look_at_form(self) -> None:
        """Open a form and leave it."""
        await self.victim.start_flow(DOMAIN)

    async def _change_third(self) -> None:
        """Set up another account, or remove it."""
        if self.third:
            await self.victim.request("DELETE", f"{ENTRIES}/entry/{self.third}")
            return
        form = await self.victim.start_flow(DOMAIN)
        await self.victim.continue_flow(
            form["flow_id"], api_key=THIRD_KEY, base_url=self.services["third"].base_url
        )

    async def _reconfigure(self) -> None:
        """Enter the key of an account once more."""
        menu = await self.victim.request(
            "POST",
            f"{ENTRIES}/flow",
            {"handler": DOMAIN, "entry_id": self.accounts["usage"].entry_id},
        )
        form = await self.victim.continue_flow(menu["flow_id"], next_step_id="api_key")
        await self.victim.continue_flow(
            form["flow_id"], api_key=API_KEY, base_url=self.services["usage"].base_url
        )

    # What is there after it

    def _remember_stored(self) -> Iterator[str]:
        """Take up what is stored; say what of it should not be."""
        entries = {e["entry_id"]: e for e in self._stored("config_entries")["entries"]}
        for name, account in self.accounts.items():
            if account.entry_id not in entries:
                yield f"{name} is not stored"
                continue
            chosen = tuple(entries[account.entry_id]["options"].get("models", ALL))
            if chosen not in {self.chosen[name], self.choosing.get(name)}:
                yield f"{name}: {chosen} chosen, not {self.chosen[name]}"
            self.chosen[name] = chosen
        self.choosing.clear()
        self.device_ids = {
            identifier: device["id"]
            for devices in self._stored("device_registry").values()
            for device in devices
            for domain, identifier in device.get("identifiers", ())
            if domain == DOMAIN
        }

    def _stored(self, key: str) -> dict[str, list[dict[str, Any]]]:
        stored = json.loads((self.victim.storage / f"core.{key}").read_text())
        return dict(stored["data"])

    def _errors(self) -> list[str]:
        """Return the errors of the log, and what the integration warns of."""
        entries = self.victim.log()[self._logged :]
        self._logged += len(entries)
        return [
            f"{entry.logger} {entry.text}"
            for entry in entries
            if entry.level in {"ERROR", "CRITICAL"}
            or "Traceback" in entry.text
            or (entry.level == "WARNING" and entry.logger.endswith(DOMAIN))
        ]

    async def complaints(self) -> list[str]:
        """Return what is not as it should be, once that is nothing, or time is up."""
        end = time.monotonic() + WITHIN
        while found := [text async for text in self._complaints()]:
            if time.monotonic() > end:
                break
            await asyncio.sleep(0.2)
        return found

    async def _complaints(self) -> AsyncIterator[str]:
        entries = {e["entry_id"]: e for e in await self.victim.entries(DOMAIN)}
        own = {account.entry_id: name for name, account in self.accounts.items()}
        others = entries.keys() - own
        self.third = next(iter(others), None)
        if len(others) > 1:
            yield f"{len(others)} other accounts"
        if lost := own.keys() - entries:
            yield f"no {', '.join(own[entry_id] for entry_id in lost)}"
            return
        for entry in entries.values():
            if entry["state"] != "loaded":
                yield f"{entry['title']} is {entry['state']}"
        devices = [
            (identifier, device)
            for device in await self.victim.devices()
            for domain, identifier in device["identifiers"]
            if domain == DOMAIN
        ]
        for text in self._of_devices(devices, entries):
            yield text
        states = await self.victim.states()
        identifiers = {device["id"]: identifier for identifier, device in devices}
        entities = [
            entity
            for entity in await self.victim.entities()
            if entity["platform"] == DOMAIN
        ]
        for text in self._of_entities(entities, identifiers, states, entries):
            yield text
        async for text in self._of_statistics():
            yield text
        for text in self._of_sums():
            yield text

    def _of_devices(
        self, devices: list[tuple[str, dict[str, Any]]], entries: dict[str, Any]
    ) -> Iterator[str]:
        """Compare the devices with the models that are listed, and chosen."""
        names: dict[str, list[str]] = defaultdict(list)
        for identifier, device in devices:
            names[device["config_entry_id"]].append(device["name"])
            if self.device_ids.get(identifier, device["id"]) != device["id"]:
                yield f"another device {device['name']}"
        for entry_id in names.keys() - entries:
            yield f"devices without an account: {names[entry_id]}"
        for name, account in self.accounts.items():
            models = self.chosen[name] or self.services[name].account.model_names
            wanted = sorted([entries[account.entry_id]["title"], *models])
            there = sorted(names[account.entry_id])
            if there != wanted:
                yield f"{name}: devices {there}, not {wanted}"

    def _of_entities(
        self,
        entities: list[dict[str, Any]],
        identifiers: dict[str, str],
        states: dict[str, dict[str, Any]],
        entries: dict[str, Any],
    ) -> Iterator[str]:
        """Compare the entities with all that ever were."""
        there: dict[str, set[str]] = defaultdict(set)
        for entity in entities:
            unique_id, entity_id = entity["unique_id"], entity["entity_id"]
            if entity["config_entry_id"] not in entries:
                yield f"{entity_id} without an account"
            known = self.entity_ids.setdefault(unique_id, entity_id)
            if known != entity_id:
                yield f"{known} has become {entity_id}"
            there[identifiers.get(entity["device_id"], "")].add(unique_id)
            state = states.get(entity_id, {}).get("state")
            if not entity["disabled_by"] and state in {None, "unavailable"}:
                yield f"{entity_id} is {state}"
        if len(entities) != sum(map(len, there.values())):
            yield "entities twice"
        for identifier, unique_ids in there.items():
            self.unique_ids[identifier] |= unique_ids
            if lost := self.unique_ids[identifier] - unique_ids:
                yield f"no {', '.join(sorted(self.entity_ids[i] for i in lost))}"

    async def _of_statistics(self) -> AsyncIterator[str]:
        """Compare the statistics with what they said before."""
        own = set(self.entity_ids.values())
        ids = [
            listed["statistic_id"]
            for listed in await self.victim.command("recorder/list_statistic_ids")
            if listed["source"] == DOMAIN or listed["statistic_id"] in own
        ]
        for period in ("hour", "5minute"):
            found = await self.victim.command(
                "recorder/statistics_during_period",
                start_time=datetime.fromtimestamp(0, UTC).isoformat(),
                statistic_ids=ids,
                period=period,
                types=["last_reset", "mean", "state", "sum"],
            )
            known = {statistic for statistic, of in self.rows if of == period}
            for statistic in known | found.keys():
                rows = {
                    row["start"]: (row["state"], row["sum"], row["last_reset"])
                    for row in found.get(statistic, ())
                }
                if len(rows) != len(found.get(statistic, ())):
                    yield f"{statistic}: rows twice"
                before = self.rows.get((statistic, period), {})
                if before.items() - rows.items():
                    yield f"{statistic}: rows lost, or others"
                # What is lost stays so.
                self.rows[statistic, period] = before | rows

    def _of_sums(self) -> Iterator[str]:
        """Compare what the statistics add up to with what was spent, and billed."""
        usage, limits = self.accounts["usage"], self.accounts["limits"]
        monthly = self.entity_ids[f"{usage.entry_id}_monthly_spend"]
        for state, total, reset in self.rows.get((monthly, "5minute"), {}).values():
            over = [
                spent
                for start, spent in self.months.items()
                if start.timestamp() * 1000 < reset
            ]
            right = float(sum(over, -self.first)) + state
            if not isclose(total, right, abs_tol=1e-6):
                yield f"{monthly}: {total}, not {right}"
        bill = self.services["limits"].account
        billed = f"{DOMAIN}:{limits.entry_id.lower()}_{bill.currency.lower()}_spend"
        right, day = Decimal(), bill.first_day
        rows = self.rows.get((billed, "hour"), {})
        if not rows:
            yield "no past"
        for start, (_, total, _) in sorted(rows.items()):
            while day <= datetime.fromtimestamp(start / 1000, UTC).date():
                right += total_on(bill, day)
                day += DAY
            if not isclose(total, right, abs_tol=1e-6):
                yield f"{billed} up to {day - DAY}: {total}, not {right}"


async def restart(kills: int, seed: int) -> Result:
    """Kill and start so many times; return what was found."""
    random = Random(seed)
    # Its time goes on when it is told to, and is over by now.
    past = datetime.now(UTC).replace(day=1, hour=4) - 1000 * DAY
    limited = Account(
        answer="limits", history_start=datetime.now(UTC).date() - 60 * DAY
    )
    with TemporaryDirectory() as directory, ProcessPoolExecutor(1) as watcher:
        # It takes its time at first.
        watcher.submit(os.getpid).result()
        victim = Victim(Path(directory))
        async with (
            Simulator(account=Account(clock=lambda: past)) as usage,
            Simulator(account=limited) as limits,
            Simulator(account=Account(models=[Model(name="third")])) as third,
        ):
            # With one key at one host they would be one account.
            limits.api_keys = {LIMITS_KEY}
            third.api_keys = {THIRD_KEY}
            services = {"usage": usage, "limits": limits, "third": third}
            world = World(victim, watcher, services, random)
            await victim.start()
            try:
                await world.set_up()
                found = []
                for number in range(kills):
                    found.append(await world.kill(MOMENTS[number % len(MOMENTS)]))
                    progress(f"{number + 1:3}: {_line(found[-1])}")
                # Once more with all statistics there are.
                await asyncio.sleep(STATISTICS - time.time() % STATISTICS + 20)
                complaints = await world.complaints()
            finally:
                await victim.kill()
            return _result(found, complaints, world)


def _line(kill: Kill) -> str:
    """Return a kill in a line."""
    wrong = "; ".join([*kill.complaints, *kill.errors]) or "all there"
    half = ", as it wrote" if kill.half_written else ""
    return f"{kill.moment}{half} ({kill.deed}): {wrong}, in {kill.started_in:.0f} s"


def _result(kills: list[Kill], at_last: list[str], world: World) -> Result:
    """Return what was found."""
    complaints = [text for kill in kills for text in kill.complaints] + at_last
    errors = [text for kill in kills for text in kill.errors]
    rows = sum(map(len, world.rows.values()))
    table = Table(
        "Kills",
        ["While", "Doing", "Times", "As a file was written", "Started in (s, at most)"],
    )
    for (moment, deed), times in sorted(
        Counter((k.moment, k.deed) for k in kills).items()
    ):
        those = [kill for kill in kills if (kill.moment, kill.deed) == (moment, deed)]
        table.rows.append(
            [
                moment,
                deed,
                str(times),
                str(sum(kill.half_written > 0 for kill in those)),
                f"{max(kill.started_in for kill in those):.0f}",
            ]
        )
    good = sum(not kill.complaints for kill in kills)
    return Result(
        name="restart",
        goals=[
            Goal(
                "No account, device, entity id or statistic lost, nothing doubled",
                "; ".join(complaints[:5])
                or f"{good} of {len(kills)} kills: {len(world.unique_ids)} devices,"
                f" {len(world.entity_ids)} entities, {len(world.rows)} statistics"
                f" with {rows} rows",
                not complaints,
            ),
            Goal(
                "No error in the log",
                "; ".join(errors[:5]) or "none",
                not errors,
            ),
        ],
        tables=[table],
        figures={
            "kills": [asdict(kill) for kill in kills],
            "complaints": complaints,
            "errors": errors,
            "rows": rows,
        },
    )


def main() -> int:
    """Return the exit status."""
    options = arguments(__doc__, _add_options)
    found = asyncio.run(restart(options.kills, options.seed))
    report(found, options.json)
    return int(not all(goal.met for goal in found.goals))


def _add_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--kills", type=int, default=KILLS, help=f"(default: {KILLS})")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")


if __name__ == "__main__":
    sys.exit(main())
