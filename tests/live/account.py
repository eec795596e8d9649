"""An account in a running Home Assistant, seen through its APIs."""

from math import isclose
from typing import Any, Self

from .instance import HomeAssistant, States, eventually

DOMAIN = "alibaba_cloud"

# Long enough for the next regular poll and one that is delayed.
WITHIN = 75.0


class LiveAccount:
    """A config entry and its entities by key.

    A key is the unique ID without the entry ID, such as `model_NAME_used` for a model.
    """

    def __init__(self, home_assistant: HomeAssistant, entry_id: str) -> None:
        """Store an existing entry."""
        self.home_assistant = home_assistant
        self.entry_id = entry_id

    @classmethod
    async def set_up(
        cls, home_assistant: HomeAssistant, *, api_key: str, base_url: str
    ) -> Self:
        """Set up an account with a valid API key."""
        step = await enter_account(home_assistant, api_key=api_key, base_url=base_url)
        assert step["type"] == "create_entry", step
        return cls(home_assistant, step["result"]["entry_id"])

    async def entry(self) -> dict[str, Any]:
        """Return the config entry as the frontend receives it."""
        for entry in await self.home_assistant.entries(DOMAIN):
            if entry["entry_id"] == self.entry_id:
                return entry
        raise LookupError(self.entry_id)

    async def reload(self) -> None:
        """Reload the entry, which polls all sources at once."""
        await self.home_assistant.request(
            "POST", f"/api/config/config_entries/entry/{self.entry_id}/reload"
        )

    async def disable(self) -> None:
        """Disable the entry."""
        await self._set_disabled_by("user")

    async def enable(self) -> None:
        """Enable the entry again."""
        await self._set_disabled_by(None)

    async def _set_disabled_by(self, disabled_by: str | None) -> None:
        await self.home_assistant.command(
            "config_entries/disable", entry_id=self.entry_id, disabled_by=disabled_by
        )

    async def entities(self) -> dict[str, dict[str, Any]]:
        """Return the registered entities by key."""
        return {
            entity["unique_id"].removeprefix(f"{self.entry_id}_"): entity
            for entity in await self.home_assistant.entities()
            if entity["config_entry_id"] == self.entry_id
        }

    async def entity_ids(self) -> dict[str, str]:
        """Return the entity IDs by key."""
        return {
            key: entity["entity_id"] for key, entity in (await self.entities()).items()
        }

    async def devices(self) -> dict[str, dict[str, Any]]:
        """Return the devices by name."""
        return {
            device["name"]: device
            for device in await self.home_assistant.devices()
            if self.entry_id == device["config_entry_id"]
        }

    async def states(self) -> States:
        """Return the states by key."""
        states = await self.home_assistant.states()
        return {
            key: states[entity_id]
            for key, entity_id in (await self.entity_ids()).items()
            if entity_id in states
        }

    async def has(self, *keys: str) -> States:
        """Wait until these figures are known; return all states by key.

        An entity that was registered before is unavailable until its source is read.

        Raises:
            AssertionError: a figure is not known in time.

        """

        async def known_states() -> States | None:
            states = await self.states()
            return None if missing(states) else states

        def missing(states: States) -> dict[str, str | None]:
            shown = {key: states.get(key, {}).get("state") for key in keys}
            return {
                key: state
                for key, state in shown.items()
                if state in {None, "unavailable", "unknown"}
            }

        try:
            return await eventually(known_states, within=WITHIN)
        except TimeoutError:
            missing_now = missing(await self.states())
            raise AssertionError(f"unknown figures: {missing_now}") from None

    async def shows(self, **wanted: str | float) -> States:
        """Wait for expected states; return all states by key.

        wanted: the expected states by key; numeric states are numbers.

        Raises:
            AssertionError: the states differ until the timeout.

        """

        async def known_ids() -> dict[str, str] | None:
            entity_ids = await self.entity_ids()
            return entity_ids if wanted.keys() <= entity_ids.keys() else None

        def is_shown(states: States) -> bool:
            return all(
                is_state(states.get(entity_ids[key], {}).get("state"), state)
                for key, state in wanted.items()
            )

        try:
            entity_ids = await eventually(known_ids, within=WITHIN)
            await self.home_assistant.states_once(is_shown, within=WITHIN)
        except TimeoutError:
            states = await self.states()
            shown = {key: states.get(key, {}).get("state") for key in wanted}
            raise AssertionError(f"wanted {wanted}, shown {shown}") from None
        return await self.states()

    async def refresh(self) -> None:
        """Poll the account now with the action `homeassistant.update_entity`."""
        entity_ids = await self.entity_ids()
        await self.home_assistant.call_action(
            "homeassistant.update_entity", entity_id=entity_ids["status"]
        )

    async def reauth_flow(self) -> dict[str, Any] | None:
        """Return the reauth flow of the account; None without one."""
        flows = [
            flow
            for flow in await self.home_assistant.flows(DOMAIN, "reauth")
            if flow["context"]["entry_id"] == self.entry_id
        ]
        assert len(flows) < 2
        return flows[0] if flows else None


async def enter_account(
    home_assistant: HomeAssistant, *, api_key: str, base_url: str
) -> dict[str, Any]:
    """Start to set up an account with a URL; return the step after the URL."""
    step = await home_assistant.start_flow(DOMAIN)
    for answer in ({"api_key": api_key, "base_url": "url"}, {"url": base_url}):
        step = await home_assistant.continue_flow(step["flow_id"], **answer)
    return step


def is_state(shown: str | None, wanted: str | float) -> bool:
    """Return whether a state is the expected one; numbers need only be close."""
    if isinstance(wanted, str) or shown in {None, "unavailable", "unknown"}:
        return shown == wanted
    return isclose(float(shown), wanted, abs_tol=1e-4)
