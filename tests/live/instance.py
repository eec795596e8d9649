"""A complete Home Assistant in its own process, controlled through its APIs."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from itertools import count
import json
import os
from pathlib import Path
from random import randrange
import re
import socket
import sys
from typing import Any, Self

import aiohttp

ROOT = Path(__file__).parents[2]
LAUNCHER = Path(__file__).with_name("launcher.py")

HOST = "127.0.0.1"
SERVER_PORTS = (10_000, 32_000)
"""The first and the last port to choose from. Linux gives connections higher ones."""
USER = "developer"
PASSWORD = "developer"

RESTART_EXIT_CODE = 100
"""The exit status with which Home Assistant requests a restart."""

START_WITHIN = 120.0
STOP_WITHIN = 60.0
POLL_INTERVAL = 0.1

CONFIGURATION = """\
frontend:
config:
history:
logbook:
recorder:
  # What a killed process loses of its states.
  commit_interval: 1
automation: !include automations.yaml
script: {}
system_health:
my:
energy:
"""

# Variables that would change how Home Assistant runs, or give it an account.
NOT_INHERITED = {
    "ALIBABA_CLOUD_API_KEY",
    "DASHSCOPE_API_KEY",
    "DASHSCOPE_BASE_URL",
    "DASHSCOPE_HTTP_BASE_URL",
    "PYTHONDONTWRITEBYTECODE",
    "SETUP_PORT",
    "SUPERVISOR",
    "SUPERVISOR_TOKEN",
    "all_proxy",
    "http_proxy",
    "https_proxy",
}

LOG_ENTRY = re.compile(
    r"^\d{4}-\d\d-\d\d [\d:.+]+ (?P<level>[A-Z]+) \(.*?\) \[(?P<logger>[^]]+)\] "
    r"(?P<text>.*)$"
)
PROBLEM_LEVELS = {"WARNING", "ERROR", "CRITICAL"}

type State = dict[str, Any]
type States = dict[str, State]


class StartError(Exception):
    """Raised if Home Assistant does not start; the text is the reason."""


class CommandError(Exception):
    """Raised if Home Assistant rejects a request or command; the text is the reason."""


@dataclass(frozen=True, kw_only=True)
class LogEntry:
    """A log entry; the text may have several lines."""

    level: str
    logger: str
    text: str

    @property
    def is_problem(self) -> bool:
        """Whether the entry is a warning, an error or a traceback."""
        return self.level in PROBLEM_LEVELS or "Traceback" in self.text


class Connection:
    """An authenticated WebSocket connection."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        """Store a socket that is already authenticated."""
        self._socket = socket
        self._ids = count(1)
        self._events: list[Any] = []

    async def command(self, kind: str, **fields: Any) -> Any:
        """Return the result of a command.

        Raises:
            CommandError: Home Assistant rejects the command.

        """
        number = next(self._ids)
        await self._socket.send_json({"id": number, "type": kind, **fields})
        while True:
            message = await self._socket.receive_json()
            if message["type"] == "event":
                self._events.append(message["event"])
            elif message["id"] == number:
                break
        if not message["success"]:
            raise CommandError(f"{kind}: {message['error']['message']}")
        return message["result"]

    async def event(self) -> Any:
        """Wait for the next event of a subscription and return it."""
        if self._events:
            return self._events.pop(0)
        while (message := await self._socket.receive_json())["type"] != "event":
            pass
        return message["event"]


class HomeAssistant:
    """A Home Assistant whose configuration directory is kept after the end.

    As an asynchronous context manager, Home Assistant runs until the end of the block.
    The owner is the user `developer` with the password `developer`.

    environment: additional environment variables of the process.
    """

    def __init__(
        self,
        directory: Path,
        *,
        port: int | None = None,
        configuration: str = "",
        environment: Mapping[str, str] | None = None,
        quiet: bool = True,
    ) -> None:
        """Prepare to run in a directory, which need not exist.

        port: None chooses a free one.
        configuration: text to append to `configuration.yaml`.
        quiet: whether the output goes to a file instead of the terminal.
        """
        self.directory = directory
        self.port = port or free_port()
        self.environment = dict(environment or {})
        self.access_token = ""
        self.refresh_token = ""
        self._configuration = CONFIGURATION + configuration
        self._quiet = quiet
        self._process: asyncio.subprocess.Process | None = None
        self._session: aiohttp.ClientSession | None = None

    @property
    def url(self) -> str:
        """The URL of the frontend."""
        return f"http://{HOST}:{self.port}"

    @property
    def client_id(self) -> str:
        """The client ID of the frontend."""
        return f"{self.url}/"

    @property
    def is_alive(self) -> bool:
        """Whether the process runs."""
        return self._process is not None and self._process.returncode is None

    async def __aenter__(self) -> Self:
        """Start Home Assistant."""
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        """Stop Home Assistant."""
        await self.stop()

    async def start(self) -> None:
        """Start the process and wait until all integrations are set up.

        Raises:
            StartError: the start takes too long, or the process ends.

        """
        self._prepare()
        self._session = aiohttp.ClientSession()
        console = self._console.open("ab") if self._quiet else None
        try:
            self._process = await asyncio.create_subprocess_exec(
                # With -P, no module beside the launcher shadows another one.
                sys.executable,
                "-P",
                str(LAUNCHER),
                "--config",
                str(self.directory),
                env=self._process_environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=console,
                stderr=console,
                # A new session does not receive the Ctrl-C of the terminal.
                start_new_session=True,
            )
        finally:
            if console:
                console.close()
        try:
            await eventually(self._log_in, within=START_WITHIN)
            await eventually(self._is_running, within=START_WITHIN)
        except TimeoutError as err:
            await self.kill()
            raise StartError(
                f"Home Assistant is not running after {START_WITHIN:.0f} s"
            ) from err
        except BaseException:
            await self.kill()
            raise

    async def stop(self) -> None:
        """Stop Home Assistant cleanly; do nothing if it has ended.

        Raises:
            TimeoutError: the process did not stop in time and was killed.

        """
        if self._process:
            with suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(STOP_WITHIN):
                    await self._process.wait()
            finally:
                await self.kill()

    async def kill(self) -> None:
        """Kill the process; do nothing if it has ended."""
        if self._process:
            with suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        self._process = None
        if self._session:
            await self._session.close()
        self._session = None

    async def restart(self) -> None:
        """Stop Home Assistant and start it again."""
        await self.stop()
        await self.start()

    async def wait(self) -> int:
        """Wait until the process ends by itself; return its exit status."""
        assert self._process
        return await self._process.wait()

    async def request(
        self, method: str, path: str, data: Mapping[str, Any] | None = None
    ) -> Any:
        """Return the answer to a request of the REST API.

        Raises:
            CommandError: Home Assistant rejects the request.

        """
        assert self._session
        async with self._session.request(
            method,
            f"{self.url}{path}",
            json=data,
            headers={"Authorization": f"Bearer {self.access_token}"},
        ) as response:
            if not response.ok:
                raise CommandError(
                    f"{method} {path}: {response.status} {await response.text()}"
                )
            return await response.json()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Connection]:
        """Open a WebSocket connection."""
        assert self._session
        async with self._session.ws_connect(
            f"{self.url}/api/websocket", max_msg_size=0
        ) as websocket:
            await websocket.receive_json()
            await websocket.send_json(
                {"type": "auth", "access_token": self.access_token}
            )
            answer = await websocket.receive_json()
            if answer["type"] != "auth_ok":
                raise CommandError(answer["message"])
            yield Connection(websocket)

    async def command(self, kind: str, **fields: Any) -> Any:
        """Return the result of a single WebSocket command.

        Raises:
            CommandError: Home Assistant rejects the command.

        """
        async with self.connection() as connection:
            return await connection.command(kind, **fields)

    async def call_action(self, action: str, **data: Any) -> None:
        """Perform an action and wait for its end."""
        domain, _, service = action.partition(".")
        await self.command(
            "call_service", domain=domain, service=service, service_data=data
        )

    async def states(self) -> States:
        """Return all states by entity ID."""
        return _by_entity_id(await self.command("get_states"))

    async def states_once(
        self, condition: Callable[[States], bool], *, within: float
    ) -> States:
        """Wait until the states meet a condition; return all states.

        Raises:
            TimeoutError: the states do not meet the condition in time.

        """
        async with asyncio.timeout(within), self.connection() as connection:
            await connection.command("subscribe_events", event_type="state_changed")
            states = _by_entity_id(await connection.command("get_states"))
            while not condition(states):
                change = (await connection.event())["data"]
                states.pop(change["entity_id"], None)
                if new := change["new_state"]:
                    states[new["entity_id"]] = new
        return states

    async def entities(self) -> list[dict[str, Any]]:
        """Return the entity registry."""
        entities: list[dict[str, Any]] = await self.command(
            "config/entity_registry/list"
        )
        return entities

    async def devices(self) -> list[dict[str, Any]]:
        """Return the device registry."""
        devices: list[dict[str, Any]] = await self.command(
            "config/device_registry/list"
        )
        return devices

    async def entries(self, domain: str) -> list[dict[str, Any]]:
        """Return the config entries of an integration."""
        entries: list[dict[str, Any]] = await self.command(
            "config_entries/get", domain=domain
        )
        return entries

    async def start_flow(self, domain: str) -> dict[str, Any]:
        """Start a config flow; return its first step."""
        step: dict[str, Any] = await self.request(
            "POST",
            "/api/config/config_entries/flow",
            {"handler": domain, "show_advanced_options": False},
        )
        return step

    async def continue_flow(self, flow_id: str, **data: Any) -> dict[str, Any]:
        """Submit the form or menu of a flow; return the next step."""
        step: dict[str, Any] = await self.request(
            "POST", f"/api/config/config_entries/flow/{flow_id}", data
        )
        return step

    async def set_options(
        self, entry_id: str, *answers: Mapping[str, Any]
    ) -> dict[str, Any]:
        """Submit the steps of an options flow; return the last one."""
        path = "/api/config/config_entries/options/flow"
        step: dict[str, Any] = await self.request("POST", path, {"handler": entry_id})
        for answer in answers:
            step = await self.request("POST", f"{path}/{step['flow_id']}", dict(answer))
        return step

    async def flows(self, domain: str, source: str) -> list[dict[str, Any]]:
        """Return the flows in progress of an integration and a source."""
        return [
            flow
            for flow in await self.command("config_entries/flow/progress")
            if flow["handler"] == domain and flow["context"]["source"] == source
        ]

    def log(self) -> list[LogEntry]:
        """Return all log entries of this directory, across all starts.

        They are read from the output of the process, as each start overwrites
        `home-assistant.log`.
        """
        entries: list[LogEntry] = []
        for line in self._console.read_text(errors="replace").splitlines():
            if match := LOG_ENTRY.match(line):
                entries.append(LogEntry(**match.groupdict()))
            elif entries:
                last = entries.pop()
                entries.append(
                    LogEntry(
                        level=last.level,
                        logger=last.logger,
                        text=f"{last.text}\n{line}",
                    )
                )
            else:
                entries.append(LogEntry(level="ERROR", logger="", text=line))
        return entries

    @property
    def _console(self) -> Path:
        """The file with the output of the process, across all starts."""
        return self.directory / "console.log"

    @property
    def storage(self) -> Path:
        """The folder with Home Assistant's stored data."""
        return self.directory / ".storage"

    def _prepare(self) -> None:
        """Write the configuration files."""
        self.storage.mkdir(parents=True, exist_ok=True)
        (self.directory / "configuration.yaml").write_text(self._configuration)
        # The automation editor stores automations in this file.
        (self.directory / "automations.yaml").touch()
        components = self.directory / "custom_components"
        if not components.is_symlink():
            components.symlink_to(ROOT / "custom_components")
        # Store confirmed HTTP settings. Settings in `configuration.yaml` show a dialog
        # on every page until the user confirms them.
        self._store(
            "http",
            3,
            {
                "stable": {
                    "server_host": [HOST],
                    "server_port": self.port,
                    "cors_allowed_origins": [],
                    "login_attempts_threshold": -1,
                    "ip_ban_enabled": False,
                    "ssl_profile": "intermediate_v6",
                    "use_x_frame_options": True,
                    "created_at": "2026-01-01T00:00:00+00:00",
                    "error": None,
                    "error_message": None,
                },
                "pending": None,
                "yaml_migration_done": True,
            },
        )
        if not (self.storage / "onboarding").exists():
            # The step that creates the user is done by `_onboard`.
            done = ["core_config", "analytics", "integration"]
            self._store("onboarding", 4, {"done": done})

    def _store(self, key: str, version: int, data: Mapping[str, Any]) -> None:
        """Write a file of Home Assistant's stored data."""
        (self.storage / key).write_text(
            json.dumps(
                {"version": version, "minor_version": 1, "key": key, "data": data}
            )
        )

    def _process_environment(self) -> dict[str, str]:
        """Return the environment of the process."""
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in NOT_INHERITED and name.lower() not in NOT_INHERITED
        }
        return inherited | self.environment

    async def _log_in(self) -> bool | None:
        """Get new tokens; return True, or None while the login is not possible yet.

        Raises `StartError` if the process has ended.
        """
        assert self._process
        assert self._session
        if self._process.returncode is not None:
            raise StartError(
                f"Home Assistant ended with status {self._process.returncode}:"
                f" {self._last_output()}"
            )
        try:
            code = await self._onboard() or await self._authorization_code()
            async with self._session.post(
                f"{self.url}/auth/token",
                data={
                    "grant_type": "authorization_code",
                    "client_id": self.client_id,
                    "code": code,
                },
            ) as response:
                response.raise_for_status()
                tokens = await response.json()
        except aiohttp.ClientConnectionError, CommandError:
            return None
        self.access_token = tokens["access_token"]
        self.refresh_token = tokens["refresh_token"]
        return True

    async def _onboard(self) -> str | None:
        """Create the user and return an authorization code; None if there is a user."""
        if (self.storage / "auth_provider.homeassistant").exists():
            return None
        answer = await self.request(
            "POST",
            "/api/onboarding/users",
            {
                "name": USER.title(),
                "username": USER,
                "password": PASSWORD,
                "client_id": self.client_id,
                "language": "en",
            },
        )
        code: str = answer["auth_code"]
        return code

    async def _authorization_code(self) -> str:
        """Log in as the frontend does; return an authorization code."""
        client = {"client_id": self.client_id}
        step = await self.request(
            "POST",
            "/auth/login_flow",
            client
            | {"handler": ["homeassistant", None], "redirect_uri": self.client_id},
        )
        step = await self.request(
            "POST",
            f"/auth/login_flow/{step['flow_id']}",
            client | {"username": USER, "password": PASSWORD},
        )
        code: str = step["result"]
        return code

    async def _is_running(self) -> bool | None:
        """Return True once all integrations are set up, None before."""
        config = await self.command("get_config")
        if config["country"] is None:
            # Without a country, Home Assistant creates a repair issue.
            await self.command("config/core/update", country="US", currency="USD")
        return config["state"] == "RUNNING" or None

    def _last_output(self) -> str:
        """Return the last lines of the output of the process."""
        if not self._quiet:
            return "see above"
        return "\n".join(self._console.read_text(errors="replace").splitlines()[-20:])


async def eventually[T](
    attempt: Callable[[], Awaitable[T | None]], *, within: float
) -> T:
    """Repeat an attempt until it returns a result other than None.

    Raises:
        TimeoutError: there is no result in time.

    """
    async with asyncio.timeout(within):
        while (result := await attempt()) is None:  # noqa: ASYNC110 - polls a process
            await asyncio.sleep(POLL_INTERVAL)
    return result


def free_port() -> int:
    """Return a free port, as `free_ports` does."""
    return free_ports(1)[0]


def free_ports(number: int) -> range:
    """Return consecutive free ports that the system gives to no connection.

    A port of those that it does could be taken before the server starts.
    """
    while True:
        first = randrange(*SERVER_PORTS)
        ports = range(first, first + number)
        with suppress(OSError):
            for port in ports:
                socket.create_server((HOST, port)).close()
            return ports


def _by_entity_id(states: list[State]) -> States:
    """Return a list of states by entity ID."""
    return {state["entity_id"]: state for state in states}
