"""The automations of a running Home Assistant and their notifications."""

from itertools import count
from typing import Any

from .account import DOMAIN, WITHIN
from .instance import ROOT, HomeAssistant, eventually

BLUEPRINTS = ROOT / "blueprints" / "automation"
IDS = count(1)
"""IDs for automations; a reused ID would restore the state of the old automation."""


class Automations:
    """The automations of a Home Assistant and their notifications."""

    def __init__(self, home_assistant: HomeAssistant) -> None:
        """Store the Home Assistant."""
        self.home_assistant = home_assistant

    async def ids(self) -> dict[str, str]:
        """Return the IDs of the automations by entity ID."""
        return {
            entity_id: state["attributes"]["id"]
            for entity_id, state in (await self.home_assistant.states()).items()
            if entity_id.startswith("automation.")
        }

    async def add(self, **config: Any) -> str:
        """Add an automation; return its entity ID."""
        wanted = str(next(IDS))
        await self.home_assistant.request(
            "POST", f"/api/config/automation/config/{wanted}", config
        )

        async def entity() -> str | None:
            for entity_id, automation in (await self.ids()).items():
                if automation == wanted:
                    return entity_id
            return None

        entity_id = await eventually(entity, within=WITHIN)
        assert await self.state(entity_id) == "on"
        return entity_id

    async def add_blueprint(self, name: str, **inputs: Any) -> str:
        """Import a blueprint and add an automation with it; return its entity ID."""
        path = f"{DOMAIN}/{name}.yaml"
        await self.home_assistant.command(
            "blueprint/save",
            domain="automation",
            path=path,
            yaml=(BLUEPRINTS / path).read_text(),
            allow_override=True,
        )
        return await self.add(alias=name, use_blueprint={"path": path, "input": inputs})

    async def state(self, entity_id: str) -> str:
        """Return the state of an automation, `on` or `off`."""
        state: str = (await self.home_assistant.states())[entity_id]["state"]
        return state

    async def remove(self) -> None:
        """Remove all automations and notifications."""
        for automation in (await self.ids()).values():
            await self.home_assistant.request(
                "DELETE", f"/api/config/automation/config/{automation}"
            )
        await self.home_assistant.call_action("persistent_notification.dismiss_all")

    async def notifications(self) -> list[tuple[str | None, str]]:
        """Return the title and message of all notifications, oldest first."""
        notifications = await self.home_assistant.command("persistent_notification/get")
        return [
            (it["title"], it["message"])
            for it in sorted(notifications, key=lambda it: str(it["created_at"]))
        ]

    async def messages(self) -> list[str]:
        """Return the messages of the notifications, sorted."""
        return sorted(message for _, message in await self.notifications())

    async def have_sent(self, number: int) -> list[tuple[str | None, str]]:
        """Wait for a number of notifications; return all of them.

        Raises:
            AssertionError: there are fewer until the timeout.

        """

        async def sent() -> list[tuple[str | None, str]] | None:
            notifications = await self.notifications()
            return notifications if len(notifications) >= number else None

        try:
            return await eventually(sent, within=WITHIN)
        except TimeoutError:
            raise AssertionError(await self.notifications()) from None
