"""What identifies the devices of models and groups."""

from hypothesis import given, strategies as st
import pytest

from custom_components.alibaba_cloud.figures import (
    ACCOUNT_BINARY_SENSORS,
    ACCOUNT_SENSORS,
    MODEL_SENSORS,
    STATUS,
    STATUS_BINARY_SENSORS,
)
from custom_components.alibaba_cloud.group_figures import GROUP_SENSORS
from custom_components.alibaba_cloud.model_studio import Dimension, SpendGroup
from custom_components.alibaba_cloud.owners import Owner, identifier, owner_of
from homeassistant.helpers.entity import EntityDescription

# Hypothesis warns about the random generator that Home Assistant's tests register.
pytestmark = pytest.mark.filterwarnings("ignore:It looks like `register_random`")

GROUPS = st.builds(
    SpendGroup,
    dimension=st.sampled_from([Dimension.WORKSPACE, Dimension.API_KEY]),
    id=st.text(),
)
OWNERS = st.none() | st.text() | GROUPS


def keys(owner: Owner) -> set[str]:
    """Return the keys of the figures that an owner can have."""
    if owner is None:
        of_account: tuple[EntityDescription, ...] = (
            STATUS,
            *ACCOUNT_SENSORS,
            *ACCOUNT_BINARY_SENSORS,
            *STATUS_BINARY_SENSORS,
        )
        return {"alerts", *(description.key for description in of_account)}
    if isinstance(owner, SpendGroup):
        return {description.key for description in GROUP_SENSORS[owner.dimension]}
    return {description.key for description in MODEL_SENSORS}


def test_identifiers() -> None:
    assert identifier("account", None) == "account"
    assert identifier("account", "qwen-max") == "account_model_qwen-max"
    workspace = SpendGroup(dimension=Dimension.WORKSPACE, id="llm-1")
    assert identifier("account", workspace) == "account_workspace_llm-1"
    api_key = SpendGroup(dimension=Dimension.API_KEY, id="1280413")
    assert identifier("account", api_key) == "account_api_key_1280413"


@given(OWNERS)
def test_owner_of_a_device(owner: Owner) -> None:
    assert owner_of("account", identifier("account", owner)) == owner


def test_owner_of_another_device() -> None:
    assert owner_of("account", "other_model_qwen-max") is None


@given(OWNERS, OWNERS)
def test_unique_ids_never_collide(one: Owner, other: Owner) -> None:
    """Not even with an account's figures that begin like a group."""
    ids = [
        f"{identifier('account', owner)}_{key}"
        for owner in {one, other}
        for key in keys(owner)
    ]
    assert len(set(ids)) == len(ids)


@pytest.mark.parametrize("prefix", ["model_", "workspace_", "api_key_"])
def test_no_figure_of_the_account_looks_like_that_of_another(prefix: str) -> None:
    """Whatever the name of a model or the ID of a group is."""
    endings = {
        "model_": keys(""),
        "workspace_": keys(SpendGroup(dimension=Dimension.WORKSPACE, id="")),
        "api_key_": keys(SpendGroup(dimension=Dimension.API_KEY, id="")),
    }[prefix]
    alike = [key for key in keys(None) if key.startswith(prefix)]
    assert [key for key in alike for end in endings if key.endswith(f"_{end}")] == []
