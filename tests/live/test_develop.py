"""`scripts/develop`, as a developer runs it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
import json
import os
from pathlib import Path
import signal
import socket

import aiohttp
import pytest

from tests.simulator import Simulator

from .account import DOMAIN
from .instance import HOST, NOT_INHERITED, ROOT, free_port

READY = "Ctrl-C ends it."
WITHIN = 180.0


@asynccontextmanager
async def develop(
    directory: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run the script; what it prints comes from its `stdout`."""
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
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def output_until(process: asyncio.subprocess.Process, text: str) -> str:
    """Return what a process prints until a text, or until its end."""
    assert process.stdout
    output = ""
    async with asyncio.timeout(WITHIN):
        while text not in output and (line := await process.stdout.readline()):
            output += line.decode()
    return output


async def ended(process: asyncio.subprocess.Process) -> int:
    """Return the exit status of a process once it has ended."""
    async with asyncio.timeout(WITHIN):
        return await process.wait()


def entry_ids(directory: Path) -> set[str]:
    """Return the ids of the accounts that Home Assistant has stored."""
    stored = json.loads((directory / ".storage/core.config_entries").read_text())
    return {
        entry["entry_id"]
        for entry in stored["data"]["entries"]
        if entry["domain"] == DOMAIN
    }


async def test_simulated_account(tmp_path: Path) -> None:
    ports = {"port": free_port(), "simulator-port": free_port()}
    options = [f"--{name}={port}" for name, port in ports.items()]
    control = f"http://{HOST}:{ports['simulator-port']}/control"

    async with develop(tmp_path, *options) as process:
        output = await output_until(process, READY)
        assert f"http://{HOST}:{ports['port']}" in output
        assert control in await output_until(process, '"fault": null')
        async with (
            aiohttp.ClientSession() as session,
            session.get(control) as response,
        ):
            assert (await response.json())["requests"]
        async with develop(tmp_path, *options) as other:
            assert f"Port {ports['port']} can't be used" in await output_until(
                other, READY
            )
            assert await ended(other) == 1
        process.send_signal(signal.SIGTERM)
        assert await ended(process) == 0
    for port in ports.values():
        socket.create_server((HOST, port)).close()
    before = entry_ids(tmp_path / "simulator")
    assert len(before) == 1

    async with develop(tmp_path, *options) as process:
        assert READY in await output_until(process, READY)
        process.send_signal(signal.SIGINT)
        assert await ended(process) == 0
    assert entry_ids(tmp_path / "simulator") == before


@pytest.mark.parametrize("accepted", [True, False])
async def test_key_in_environment(tmp_path: Path, accepted: bool) -> None:
    async with Simulator() as service:
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
