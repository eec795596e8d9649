"""What a bill can be grouped by, and the groups that a user can follow."""

from dataclasses import dataclass
from enum import StrEnum


class Dimension(StrEnum):
    """What a bill is grouped by."""

    MODEL = "BASE_MODEL"
    WORKSPACE = "WORKSPACE_ID"
    API_KEY = "API_KEY_ID"
    BUSINESS_TYPE = "MAAS_TYPE"


@dataclass(frozen=True, kw_only=True, slots=True)
class SpendGroup:
    """A workspace or an API key, by its ID in the bill."""

    dimension: Dimension
    id: str

    @property
    def key(self) -> str:
        """What identifies the group within its account, such as `workspace_llm-1`."""
        return f"{self.dimension.name.lower()}_{self.id}"
