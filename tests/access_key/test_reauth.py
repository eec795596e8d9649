"""Reauth of the AccessKey or API key of an account with both."""

import pytest

from custom_components.alibaba_cloud.failures import escape_markdown
from homeassistant.config_entries import SOURCE_REAUTH, SOURCE_RECONFIGURE
from homeassistant.core import HomeAssistant
from tests.common import API_KEY, setup, state
from tests.flows import NEW_KEY, VARIABLE, fields, known, placeholder
from tests.simulator import DEFAULT_ACCESS_KEY_ID, Fault, Simulator

from .common import NEW_ACCESS_KEY, AccessFlows, stored, stored_anew

pytestmark = pytest.mark.usefixtures("enable_custom_integrations")


@pytest.mark.logs(
    *(
        f"Error fetching .* {source} data: .*AccessKey"
        for source in ("spend", "balance", "rates", "totals", "assets", "token_plan")
    )
)
async def test_reauth(
    hass: HomeAssistant, flows: AccessFlows, simulator: Simulator
) -> None:
    """A rejected AccessKey starts one reauth flow, which accepts a new one."""
    del simulator.access_keys[DEFAULT_ACCESS_KEY_ID]
    entry = known(hass, **stored(simulator))
    await setup(hass, entry)
    assert state(hass, "status", account=entry.entry_id) == "ok"
    [flow] = hass.config_entries.flow.async_progress()
    assert flow["context"]["source"] == SOURCE_REAUTH
    assert flow["context"]["entry_id"] == entry.entry_id
    form = await flows._checked(
        await hass.config_entries.flow.async_configure(flow["flow_id"])
    )
    assert form["step_id"] == "reauth_access_key"
    assert not form["errors"]
    reason = "InvalidAccessKeyId.NotFound: Specified access key is not found."
    words = f"accepts the AccessKey of Model Studio.\n\n{escape_markdown(reason)}\n\n"
    assert words in await flows.description(form)

    await simulator.stop()
    form = await flows.fill(form)
    assert form["errors"] == {"base": "cannot_connect"}
    # The reason for the flow and the error of the form are separate.
    assert words in await flows.description(form)
    await simulator.start()
    form = await flows.fill(form)
    assert form["errors"] == {"base": "invalid_access_key"}
    flows.entry = entry
    result = await flows.fill(form, **NEW_ACCESS_KEY)
    assert await flows.end(result, SOURCE_REAUTH) == stored_anew(simulator)
    flows.assert_nothing_asked()


@pytest.mark.logs("Error fetching .* spend data", "Error fetching .* balance data")
async def test_reauth_says_what_rejects_the_access_key(
    hass: HomeAssistant, flows: AccessFlows, simulator: Simulator
) -> None:
    """The form names only the source that rejects the AccessKey."""
    simulator.fail(Fault.SERVER_ERROR, at="billing")
    simulator.fail(Fault.UNAUTHORIZED, at="balance")
    entry = known(hass, **stored(simulator))
    await setup(hass, entry)
    [flow] = hass.config_entries.flow.async_progress()
    form = await hass.config_entries.flow.async_configure(flow["flow_id"])
    rejection = placeholder(form, "rejection")
    assert rejection.startswith(escape_markdown("InvalidAccessKeyId.NotFound: "))
    simulator.recover()
    flows.entry = entry
    result = await flows.type_in(form)
    assert await flows.end(result, SOURCE_REAUTH) == stored_anew(simulator)


@pytest.mark.parametrize("loaded", [True, False])
async def test_reauth_where_nothing_is_known_to_be_wrong(
    hass: HomeAssistant, flows: AccessFlows, simulator: Simulator, loaded: bool
) -> None:
    """The form opens without a reason if the AccessKey works again."""
    entry = known(hass, **stored(simulator))
    if loaded:
        await setup(hass, entry)
    form = await flows.reauth_access_key(entry)
    assert placeholder(form, "rejection") == ""
    flows.entry = entry
    result = await flows.type_in(form)
    assert await flows.end(result, SOURCE_REAUTH) == stored_anew(simulator)


@pytest.mark.parametrize("key", [API_KEY, NEW_KEY], ids=["same key", "new key"])
@pytest.mark.parametrize(
    "stored_key",
    [{"api_key": API_KEY}, {"api_key_env": VARIABLE}],
    ids=["key", "variable"],
)
async def test_reauth_of_the_api_key_keeps_the_access_key(
    hass: HomeAssistant,
    flows: AccessFlows,
    simulator: Simulator,
    key: str,
    stored_key: dict[str, str],
) -> None:
    simulator.api_keys = {API_KEY, NEW_KEY}
    flows.monkeypatch.setenv(VARIABLE, API_KEY)
    before = stored(simulator) | stored_key
    if "api_key_env" in stored_key:
        del before["api_key"]
    entry = known(hass, **before)
    await setup(hass, entry)
    form = await flows.reauth(entry)
    assert form["step_id"] == "reauth_confirm"
    flows.entry = entry
    result = await flows.submit(form, api_key=key)
    assert await flows.end(result, SOURCE_REAUTH) == stored(simulator, api_key=key)


@pytest.mark.parametrize("key", [{}, {"api_key": NEW_KEY}], ids=["same key", "new key"])
async def test_reconfiguring_the_api_key_keeps_the_access_key(
    hass: HomeAssistant, flows: AccessFlows, simulator: Simulator, key: dict[str, str]
) -> None:
    async with Simulator(account=simulator.account) as other:
        other.api_keys = {API_KEY, NEW_KEY}
        entry = known(hass, **stored(simulator))
        await setup(hass, entry)
        form = await flows.reconfigure(entry)
        assert set(fields(form)) == {"api_key", "base_url"}
        flows.entry = entry
        result = await flows.submit_url(form, other.base_url, **key)
        assert await flows.end(result, SOURCE_RECONFIGURE) == stored(
            simulator, base_url=other.base_url, **key
        )
        await hass.config_entries.async_unload(entry.entry_id)


async def test_reconfiguring_the_access_key_keeps_the_variable_of_the_api_key(
    flows: AccessFlows, simulator: Simulator
) -> None:
    flows.monkeypatch.setenv(VARIABLE, API_KEY)

    def with_variable(data: dict[str, str]) -> dict[str, str]:
        del data["api_key"]
        return {"api_key_env": VARIABLE, **data}

    form = await flows.ask(SOURCE_RECONFIGURE, with_variable(stored(simulator)))
    result = await flows.type_in(form)
    assert await flows.end(result, SOURCE_RECONFIGURE) == with_variable(
        stored_anew(simulator)
    )


@pytest.mark.parametrize(
    ("currency", "accepted"), [("USD", False), ("CNY", True)], ids=["other", "same"]
)
async def test_reauth_with_an_access_key_of_another_account(
    flows: AccessFlows, simulator: Simulator, currency: str, accepted: bool
) -> None:
    """An AccessKey in another currency is of another account."""
    form = await flows.ask(SOURCE_REAUTH)
    simulator.account.currency = currency
    result = await flows.type_in(form)
    if accepted:
        assert await flows.end(result, SOURCE_REAUTH) == stored_anew(simulator)
    else:
        assert result["errors"] == {"base": "wrong_account"}
        assert flows.entry.data == stored(simulator)
