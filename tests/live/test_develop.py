"""The script `scripts/develop`."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
import json
import os
from pathlib import Path
import signal
import socket
from typing import Any

import aiohttp
import pytest

from tests.prometheus import Prometheus
from tests.simulator import (
    DEFAULT_ACCESS_KEY_ID,
    DEFAULT_ACCESS_KEY_SECRET,
    Account,
    Simulator,
)
from tests.simulator.account import Answer

from .access_key import MODELS
from .account import DOMAIN
from .instance import HOST, LOG_ENTRY, NOT_INHERITED, ROOT, free_port, free_ports

READY = "Ctrl-C ends it."
SOURCES = (
    *("spend", "balance", "rates", "totals", "history", "assets", "token_plan"),
    *("workspaces", "api_keys"),
)
"""The sources of an AccessKey by their names in the log."""
WITHIN = 180.0


@asynccontextmanager
async def develop(
    directory: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the script; the `stdout` of the process contains all its output."""
    inherited = {k: v for k, v in os.environ.items() if k not in NOT_INHERITED}
    process = await asyncio.create_subprocess_exec(
        str(ROOT / "scripts/develop"),
        f"--directory={directory}",
        *arguments,
        env=inherited | dict(environment or {}),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        # A clean stop also ends the processes that the script started.
        with suppress(ProcessLookupError):
            process.terminate()
        try:
            await ended(process)
        finally:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def output_until(process: asyncio.subprocess.Process, *texts: str) -> str:
    """Return the output of a process until it contains all texts, or until its end."""
    assert process.stdout
    output = ""
    async with asyncio.timeout(WITHIN):
        while not all(text in output for text in texts) and (
            line := await process.stdout.readline()
        ):
            output += line.decode()
    return output


async def ended(process: asyncio.subprocess.Process) -> int:
    """Wait until a process ends; return its exit status."""
    async with asyncio.timeout(WITHIN):
        return await process.wait()


def entries(directory: Path) -> dict[str, dict[str, Any]]:
    """Return the accounts that Home Assistant has stored, by title."""
    stored = json.loads((directory / ".storage/core.config_entries").read_text())
    return {
        entry["title"]: entry
        for entry in stored["data"]["entries"]
        if entry["domain"] == DOMAIN
    }


async def answer_of(url: str, **query: str) -> dict[str, Any]:
    """Return the answer of a simulator or Prometheus."""
    login = aiohttp.encode_basic_auth(DEFAULT_ACCESS_KEY_ID, DEFAULT_ACCESS_KEY_SECRET)
    async with (
        aiohttp.ClientSession(headers={"Authorization": login}) as session,
        session.get(url, params=query) as response,
    ):
        answer: dict[str, Any] = await response.json()
        return answer


async def test_simulated_accounts(tmp_path: Path) -> None:
    port, ports = free_port(), free_ports(3)
    options = [f"--port={port}", f"--simulator-port={ports[0]}"]
    plain, with_access_key = (f"http://{HOST}:{it}/control" for it in ports[:2])
    prometheus = f"http://{HOST}:{ports[2]}"
    if not Prometheus.is_available():
        prometheus = f"http://{HOST}:{ports[1]}/prometheus"

    async def check(process: asyncio.subprocess.Process) -> str:
        """Wait until all sources of the AccessKey are read; return the output."""
        output = await output_until(
            process, READY, prometheus, *(f" {it} data in" for it in SOURCES)
        )
        assert READY in output
        for url in (f"http://{HOST}:{port}", plain, with_access_key, prometheus):
            assert url in output
        assert output.count("success: True") >= len(SOURCES) + 2
        assert "success: False" not in output
        logged = [line for line in output.splitlines() if LOG_ENTRY.match(line)]
        assert not [line for line in logged if DEFAULT_ACCESS_KEY_SECRET in line]
        assert (await answer_of(plain))["answer"] == "account"
        assert (await answer_of(with_access_key))["answer"] == "limits"
        answer = await answer_of(
            f"{prometheus}/api/v1/query", query="sum by (model) (model_usage)"
        )
        models = {row["metric"]["model"] for row in answer["data"]["result"]}
        assert models > set(MODELS)
        return output

    async with develop(tmp_path, *options) as process:
        await check(process)
        assert (await answer_of(plain))["requests"]
        async with develop(tmp_path, *options) as other:
            assert f"Port {port} can't be used" in await output_until(other, READY)
            assert await ended(other) == 1
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0
    for it in (port, *ports):
        socket.create_server((HOST, it)).close()
    before = entries(tmp_path / "simulator")
    assert before.keys() == {"Model Studio (127.0.0.1)", "Model Studio (localhost)"}
    entry = before["Model Studio (localhost)"]
    assert entry["data"]["prometheus_url"] == prometheus
    assert entry["options"]["models"] == list(MODELS)
    assert entry["options"]["workspaces"]

    async with develop(tmp_path, *options) as process:
        await check(process)
        process.send_signal(signal.SIGINT)
        assert await ended(process) == 0
    assert entries(tmp_path / "simulator") == before


@pytest.mark.parametrize("number", range(2 + Prometheus.is_available()))
async def test_port_taken(tmp_path: Path, number: int) -> None:
    """The script reports a port that is in use before anything starts."""
    ports = free_ports(3)
    with socket.create_server((HOST, ports[number])):
        async with develop(
            tmp_path, f"--port={free_port()}", f"--simulator-port={ports[0]}"
        ) as process:
            output = await output_until(process, READY)
            assert await ended(process) == 1
    assert output.splitlines()[-1] == (
        f"Port {ports[number]} can't be used (Address already in use):"
        " choose another one with --simulator-port."
    )
    assert not (tmp_path / "simulator").exists()


@pytest.mark.parametrize(
    ("answer", "accepted"), [("account", True), ("account", False), ("limits", True)]
)
async def test_key_in_environment(
    tmp_path: Path, answer: Answer, accepted: bool
) -> None:
    async with Simulator(account=Account(answer=answer)) as service:
        service.api_keys = {"sk-real"} if accepted else set()
        async with develop(
            tmp_path,
            f"--port={free_port()}",
            environment={
                "ALIBABA_CLOUD_API_KEY": "sk-real",
                "ALIBABA_CLOUD_BASE_URL": service.base_url,
            },
        ) as process:
            output = await output_until(process, READY)
            assert (READY in output) is accepted
            assert "Simulator" not in output
            assert "sk-real" not in output
            if accepted:
                process.send_signal(signal.SIGTERM)
            else:
                assert f"No account could be set up at {service.base_url}" in output
            assert await ended(process) == int(not accepted)
