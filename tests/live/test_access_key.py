"""An account whose AccessKey reads money and usage, in a complete Home Assistant."""

from collections.abc import AsyncIterator, Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
import json
from typing import Any

import pytest

from tests.prometheus import MINUTE, Prometheus, Usage
from tests.simulator import Account, Instance, Simulator
from tests.simulator.account import BILLING_ZONE, DAY, HISTORY
from tests.simulator.billing import balance, total_on, trend

from . import access_key
from .access_key import MODELS, base_url_of, form_of
from .account import DOMAIN, WITHIN, LiveAccount, enter_account
from .conftest import API_KEY, ExpectedLog
from .instance import HomeAssistant, States, eventually

ONE_MINUTE = timedelta(seconds=MINUTE)
LOGGER = f"custom_components.{DOMAIN}"

RATES = {
    "tokens": "model_usage",
    "requests": "model_call_count",
}
FAILED_CALLS = ("error_rate_pct", "throttled_calls")
TOTALS = {"tokens_used": "model_usage", "requests_used": "model_call_count"}
MODEL_TOTALS = {"tokens_used": "tokens", "requests_used": "requests"}
"""Keys of an account's totals with the keys of a model's totals."""
USE = (
    *TOTALS,
    *(
        f"model_{model}_{key}"
        for model in MODELS
        for key in ("load_pct", *MODEL_TOTALS.values())
    ),
)
"""The keys of all figures from Prometheus."""


@pytest.fixture(scope="module")
def usage() -> Usage:
    """Return the usage of the models, also for the time of the tests."""
    return access_key.usage_of(
        Account().models, datetime.now(UTC), ahead=timedelta(hours=2)
    )


@pytest.fixture(scope="module")
async def prometheus(
    tmp_path_factory: pytest.TempPathFactory, usage: Usage
) -> AsyncIterator[Prometheus | None]:
    """Serve the usage; None if Prometheus is not installed."""
    if not Prometheus.is_available():
        yield None
        return
    directory = tmp_path_factory.mktemp("prometheus")
    async with await access_key.serve_usage(usage, Simulator(), directory) as server:
        yield server


@pytest.fixture
def prometheus_url(simulator: Simulator, prometheus: Prometheus | None) -> str:
    """Return the URL of Prometheus; without a server, that of the simulator."""
    return prometheus.url if prometheus else simulator.prometheus_url


@pytest.fixture
def simulator(simulator: Simulator) -> Simulator:
    """Serve an API key that reads limits only, and a bill with a refund.

    The bill has more models than one answer can name.
    """
    account = simulator.account
    account.answer = "limits"
    account.extra_models = 40
    account.adjust(account.today, "qwen-vl-max", Decimal("-1.23"))
    return simulator


@pytest.fixture
async def account(
    home_assistant: HomeAssistant, simulator: Simulator, prometheus_url: str
) -> LiveAccount:
    """Set up the account and wait until all sources are read."""
    account = await access_key.set_up(home_assistant, simulator, prometheus_url)
    await account.shows(**figures(simulator.account))
    await access_key.past_spend(account)
    return account


def billed(
    account: Account, start: date, end: date, model: str | None = None
) -> Decimal:
    """Return the bill of some days of a month, of the account or of a model."""
    query = {
        "granularity": "MONTH",
        "timePeriod": json.dumps({"start": start.isoformat(), "end": end.isoformat()}),
        "groupBy": '[{"code": "BASE_MODEL"}]',
    }
    if model:
        wanted = {"code": "BASE_MODEL", "values": [model], "selectType": "IN"}
        query["filter"] = json.dumps({"dimensions": [wanted]})
    return Decimal(trend(account, query)["costTotals"]["amount"])


def spend(account: Account) -> dict[str, Decimal]:
    """Return the billed spend by the key of its entity."""
    today = account.today
    amounts: dict[str, Decimal] = {}
    for key, start in (
        ("daily_spend", today),
        ("monthly_spend", today.replace(day=1)),
    ):
        amounts[key] = billed(account, start, today)
        parts = {
            f"model_{model}_{key}": billed(account, start, today, model)
            for model in MODELS
        }
        amounts |= parts
        amounts[f"other_models_{key}"] = amounts[key] - sum(parts.values())
    return amounts


def balances(account: Account) -> dict[str, Decimal]:
    """Return the balances by the key of their entity."""
    answer = balance(account)
    return {
        "available_balance": Decimal(answer["AvailableAmount"].replace(",", "")),
        "credit_balance": Decimal(answer["CreditAmount"]),
    }


def figures(account: Account) -> dict[str, str | float]:
    """Return the states that do not change with time, by key."""
    money = {**spend(account), **balances(account)}
    states: dict[str, str | float] = {key: float(it) for key, it in money.items()}
    for model in account.models:
        if model.name in MODELS:
            states[f"model_{model.name}_rpm"] = model.rpm
            states[f"model_{model.name}_tpm"] = model.tpm
    return {"status": "ok", "account_available": "on", **states}


def minutes(start: datetime, end: datetime) -> Iterable[datetime]:
    """Yield the full minutes between two times and the last one before them."""
    for minute in range(
        int(start.timestamp()) // MINUTE, int(end.timestamp()) // MINUTE + 1
    ):
        yield datetime.fromtimestamp(minute * MINUTE, UTC)


def totals_of(states: States, key: str) -> dict[str, int]:
    """Return the use of this month from states by model; "" is the account."""
    return {
        "": int(states[key]["state"]),
        **{
            model: int(states[f"model_{model}_{MODEL_TOTALS[key]}"]["state"])
            for model in MODELS
        },
    }


def check_load(
    states: States, usage: Usage, account: Account, earliest: datetime, latest: datetime
) -> None:
    """Check that the load of all models is that of the same complete minute.

    earliest, latest: the period in which the load was read.
    """
    shown = {
        model: float(states[f"model_{model}_load_pct"]["state"]) for model in MODELS
    }
    possible = []
    for minute in minutes(earliest, latest):
        time = minute - 2 * ONE_MINUTE
        rates = {
            key: usage.totals(metric, time - ONE_MINUTE, time)
            for key, metric in RATES.items()
        }
        possible.append(
            {
                model.name: pytest.approx(
                    100
                    * max(
                        rates["tokens"][model.name] / model.tpm,
                        rates["requests"][model.name] / model.rpm,
                    ),
                    abs=1e-4,
                )
                for model in account.models
                if model.name in MODELS
            }
        )
    assert shown in possible


def failed_calls(usage: Usage, now: datetime) -> dict[str, Any]:
    """Return the error rates and the throttled calls of the last whole minute, by key."""
    minute = int(now.timestamp()) - 2 * MINUTE
    calls: dict[str, dict[str, int]] = {model: {} for model in MODELS}
    for series in usage.series:
        if series.metric == RATES["requests"] and series.model in calls:
            amount = series.minutes[minute] or 0
            calls[series.model][series.labels["status_code"]] = amount
    figures: dict[str, Any] = {}
    for model, by_status in calls.items():
        total = sum(by_status.values())
        share = 100 * (total - by_status["200"]) / total
        figures[f"model_{model}_error_rate_pct"] = pytest.approx(share, abs=1e-3)
        figures[f"model_{model}_throttled_calls"] = by_status["429"]
    return figures


async def imported(account: LiveAccount) -> dict[str, dict[date, Decimal]]:
    """Return the imported past spend by model and day; "" is the account.

    The amounts are those that a statistics graph shows.
    """
    config = await account.home_assistant.command("get_config")
    assert config["time_zone"] == "UTC"
    ids = await access_key.past_spend(account)
    statistics = await account.home_assistant.command(
        "recorder/statistics_during_period",
        start_time=datetime.fromtimestamp(0, UTC).isoformat(),
        statistic_ids=list(ids.values()),
        period="day",
        types=["change"],
    )
    return {
        model: {
            datetime.fromtimestamp(row["start"] / 1000, UTC).date(): Decimal(
                f"{row['change']:.2f}"
            )
            for row in statistics[statistic_id]
        }
        for model, statistic_id in ids.items()
    }


def past(account: Account) -> dict[str, dict[date, Decimal]]:
    """Return the billed past spend by model and day; "" is the account."""
    days = [account.today - number * DAY for number in range(HISTORY.days, 0, -1)]
    return {"": {day: total_on(account, day) for day in days}} | {
        model: {day: billed(account, day, day, model) for day in days}
        for model in MODELS
    }


async def restart(account: LiveAccount) -> None:
    """Restart Home Assistant."""
    await account.home_assistant.restart()


async def test_set_up(
    home_assistant: HomeAssistant,
    simulator: Simulator,
    prometheus: Prometheus | None,
    prometheus_url: str,
    usage: Usage,
) -> None:
    """The set-up accepts both keys, and all figures match the bill and the usage."""
    form = await enter_account(
        home_assistant, api_key=API_KEY, base_url=base_url_of(simulator)
    )
    assert form["step_id"] == "access_key"
    assert [field["name"] for field in form["data_schema"]] == [
        "access_key_id",
        "access_key_secret",
        "region",
        "endpoints",
    ]

    right = form_of(simulator, prometheus_url)
    wrong = f"{right['access_key_secret']}-of-yesterday"
    form = await home_assistant.continue_flow(
        form["flow_id"], **{**right, "access_key_secret": wrong}
    )
    assert form["step_id"] == "access_key"
    assert form["errors"] == {"base": "invalid_access_key"}
    assert "SignatureDoesNotMatch" in form["description_placeholders"]["error"]
    # The form keeps the input, so that the user can correct it.
    secret = form["data_schema"][1]
    assert secret["description"] == {"suggested_value": wrong}

    form = await home_assistant.continue_flow(form["flow_id"], **right)
    assert form["step_id"] == "models"
    _, field = form["data_schema"]
    assert field["description"]["suggested_value"] == sorted(
        simulator.account.model_names
    )
    before = datetime.now(UTC)
    step = await home_assistant.continue_flow(
        form["flow_id"], all_models=False, models=list(MODELS)
    )
    assert step["type"] == "create_entry"
    assert step["title"] == "Model Studio (localhost)"
    account = LiveAccount(home_assistant, step["result"]["entry_id"])

    await account.shows(**figures(simulator.account))
    states = await account.has(*USE)
    after = datetime.now(UTC)
    for key, amount in spend(simulator.account).items():
        assert Decimal(states[key]["state"]) == amount
        assert states[key]["attributes"]["unit_of_measurement"] == "CNY"
    for key in ("daily_spend", "monthly_spend"):
        parts = [
            f"other_models_{key}",
            *(f"model_{model}_{key}" for model in MODELS),
        ]
        assert sum(Decimal(states[part]["state"]) for part in parts) == Decimal(
            states[key]["state"]
        )
    assert states["status"]["attributes"]["failed_sources"] == {}
    if prometheus is None:
        return

    month = datetime.now(BILLING_ZONE).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    for key, metric in TOTALS.items():
        possible = []
        for end in minutes(before, after):
            by_model = usage.totals(metric, month, end)
            possible.append(
                {"": sum(by_model.values()), **{it: by_model[it] for it in MODELS}}
            )
        assert totals_of(states, key) in possible
    check_load(states, usage, simulator.account, before, after)


async def test_permission_missing(
    home_assistant: HomeAssistant,
    log: ExpectedLog,
    simulator: Simulator,
    prometheus_url: str,
) -> None:
    """A missing permission is named; the source works once it is granted."""
    simulator.denied = {"QueryAccountBalance"}
    log.expect(LOGGER)
    form = await enter_account(
        home_assistant, api_key=API_KEY, base_url=base_url_of(simulator)
    )
    menu = await home_assistant.continue_flow(
        form["flow_id"], **form_of(simulator, prometheus_url)
    )
    assert menu["step_id"] == "partial_access"
    placeholders = menu["description_placeholders"]
    assert placeholders["balance"].startswith("✗ NotAuthorized")
    assert placeholders["spend"] == placeholders["rates"] == "✓"
    form = await home_assistant.continue_flow(
        menu["flow_id"], next_step_id="accept_access_key"
    )
    assert form["step_id"] == "models"
    step = await home_assistant.continue_flow(
        form["flow_id"], all_models=False, models=list(MODELS)
    )
    account = LiveAccount(home_assistant, step["result"]["entry_id"])

    missing = balances(simulator.account)
    states = await account.shows(
        **{
            key: state
            for key, state in figures(simulator.account).items()
            if key not in missing
        }
    )
    assert missing.keys().isdisjoint(states)
    [(source, text)] = states["status"]["attributes"]["failed_sources"].items()
    assert source == "balance"
    assert "AliyunBSSReadOnlyAccess" in text

    simulator.denied = set()
    await account.reload()
    states = await account.shows(**figures(simulator.account))
    assert states["status"]["attributes"]["failed_sources"] == {}


async def test_live_use_moves_by_itself(
    account: LiveAccount,
    simulator: Simulator,
    prometheus: Prometheus | None,
    usage: Usage,
) -> None:
    if prometheus is None:
        pytest.skip("There is no Prometheus: scripts/setup prometheus")
    before = await account.has(*USE)
    entity_ids = await account.entity_ids()
    keys = [f"model_{model}_load_pct" for model in MODELS]

    def moved(states: States) -> bool:
        return all(
            states[entity_ids[key]]["state"] != before[key]["state"] for key in keys
        )

    start = datetime.now(UTC)
    states = await account.home_assistant.states_once(moved, within=WITHIN)
    end = datetime.now(UTC)
    check_load(
        {key: states[entity_ids[key]] for key in keys},
        usage,
        simulator.account,
        start,
        end,
    )


async def test_failed_calls(
    home_assistant: HomeAssistant,
    simulator: Simulator,
    prometheus: Prometheus | None,
    usage: Usage,
) -> None:
    """They are shown once the user enables them. The set-up lists the instance."""
    if prometheus is None:
        pytest.skip("There is no Prometheus: scripts/setup prometheus")
    simulator.account.instances = [
        Instance(id="rw-1", name="Model Studio", url=prometheus.url)
    ]
    account = await access_key.set_up(home_assistant, simulator, prometheus.url)
    keys = [f"model_{model}_{key}" for model in MODELS for key in FAILED_CALLS]
    await account.has(*USE)
    entities = await account.entities()
    for key in keys:
        assert entities[key]["disabled_by"] == "integration"
        await home_assistant.command(
            "config/entity_registry/update",
            entity_id=entities[key]["entity_id"],
            disabled_by=None,
        )
    start = datetime.now(UTC)
    await account.reload()
    states = await account.has(*keys)
    end = datetime.now(UTC)

    shown = {key: float(states[key]["state"]) for key in keys}
    assert shown in [failed_calls(usage, minute) for minute in minutes(start, end)]
    assert sum(shown.values()) > 0


async def test_past_spend(account: LiveAccount, simulator: Simulator) -> None:
    """All past spend is imported; after a restart, revised bills are applied."""
    wanted = past(simulator.account)
    assert len(wanted[""]) == HISTORY.days > 365

    async def as_wanted() -> bool | None:
        return await imported(account) == wanted or None

    await eventually(as_wanted, within=WITHIN)

    revised = simulator.account.today - 3 * DAY
    simulator.account.adjust(revised, "qwen-max", Decimal("-4.56"))
    for name in ("", "qwen-max"):
        wanted[name][revised] -= Decimal("4.56")
    await account.home_assistant.restart()

    await account.shows(**figures(simulator.account))
    await eventually(as_wanted, within=WITHIN)


async def test_access_key_revoked(
    account: LiveAccount,
    log: ExpectedLog,
    simulator: Simulator,
    prometheus: Prometheus | None,
    prometheus_url: str,
) -> None:
    """A revoked AccessKey starts one reauth flow and leaves the API key's figures."""
    home_assistant = account.home_assistant
    good = simulator.access_keys
    form = form_of(simulator, prometheus_url)
    wanted = figures(simulator.account)
    revoked = wanted | dict.fromkeys(
        (*spend(simulator.account), *balances(simulator.account)), "unavailable"
    )
    simulator.access_keys = {}

    failed = {"spend", "balance", "history", "assets", "token_plan"}
    if prometheus is None:
        # The simulator serves the metrics and rejects the AccessKey, too.
        failed |= {"rates", "totals"}

    async def all_failed() -> bool | None:
        states = await account.states()
        shown = states["status"]["attributes"].get("failed_sources", {})
        return shown.keys() == failed or None

    for again in (LiveAccount.reload, restart):
        log.expect(LOGGER, len(failed))
        await again(account)
        states = await account.shows(**revoked)
        assert states["api_key_problem"]["state"] == "off"
        await eventually(all_failed, within=WITHIN)
        flow = await eventually(account.reauth_flow, within=WITHIN)
        assert flow["step_id"] == "reauth_access_key"

    step = await home_assistant.continue_flow(flow["flow_id"], **form)
    assert step["errors"] == {"base": "invalid_access_key"}

    simulator.access_keys = good
    step = await home_assistant.continue_flow(flow["flow_id"], **form)

    assert step["reason"] == "reauth_successful"
    states = await account.shows(**wanted)
    assert states["status"]["attributes"]["failed_sources"] == {}
    assert await account.reauth_flow() is None
