"""An account whose API key reads limits only, with an AccessKey for the rest."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from tests.prometheus import MINUTE, Prometheus, Series, Usage
from tests.simulator import Account, Model, Simulator
from tests.simulator.account import BILLING_ZONE, DAY, WORKSPACE_ID

from .account import DOMAIN, WITHIN, LiveAccount, enter_account
from .instance import HomeAssistant, eventually

HOST = "localhost"
"""Another name of the simulator's host, which becomes part of the entry's name."""
MODELS = ("qwen-max", "qwen-plus", "qwen3-coder-plus", "qwen-vl-max")
"""The selected models."""

SPEND_A_DAY = 5000
"""In USD, of a complete account."""
WORKSPACE_BUDGET = 120_000
LEAST, MOST = 0.04, 0.8
"""The lowest and highest share of its token limit that a model uses per minute."""
STEP = 0.03
"""The maximum change of that share from one minute to the next."""
INPUT_SHARE = 0.7
"""The share of the tokens that are input. The others are output."""
THROTTLED_ABOVE = 0.5
"""The share of the token limit above which calls are throttled."""
FAILED = 0.01
"""The share of the calls that fail for another reason."""
KINDS_SINCE = 3 * DAY.total_seconds()
"""The age, in seconds, of the oldest usage by kind. Estimates need no older one."""


def busy_account(**settings: Any) -> Account:
    """Return an account with much usage: that of `usage_of`."""
    usual: dict[str, Any] = {"answer": "limits", "base_spend": 120, "credits": 6000}
    return Account(**usual | settings)


def complete_account() -> Account:
    """Return a busy account that also has assets and a Token Plan.

    It is billed in USD, like the list prices of the simulator. At these prices, its usage
    costs about as much as is billed.
    """
    return busy_account(
        currency="USD",
        base_spend=SPEND_A_DAY,
        credits=60 * SPEND_A_DAY,
        throttled=0.02,
        has_assets=True,
        has_token_plan=True,
    )


def usage_of(models: Iterable[Model], now: datetime, *, ahead: timedelta) -> Usage:
    """Return the usage of models from a day before the month until `ahead` of now.

    The usage stays below the limits. The same minute of a month always has the same
    usage, and two consecutive minutes differ.
    """
    month = now.astimezone(BILLING_ZONE).replace(
        day=1, hour=0, minute=0, second=0, microsecond=0
    )
    # A day of the previous month, which totals of this month must not include.
    start = month - DAY
    minutes = range(int(start.timestamp()), int((now + ahead).timestamp()) + 1, MINUTE)
    series: list[Series] = []
    for model in models:
        random = Random(f"{month} {model.name}")
        tokens: dict[int, int | None] = {}
        calls: dict[str, dict[int, int | None]] = {"200": {}, "429": {}, "500": {}}
        used = random.uniform(LEAST, MOST)
        for minute in minutes:
            used = min(max(used + random.uniform(-STEP, STEP), LEAST), MOST)
            tokens[minute] = int(used * model.tpm * random.uniform(0.95, 1))
            # Calls use less of their limit than tokens, so the load follows the tokens.
            called = int(used * model.rpm * random.uniform(0.3, 0.7))
            throttled = int(called * max(used - THROTTLED_ABOVE, 0))
            failed = int(called * FAILED)
            calls["200"][minute] = called - throttled - failed
            calls["429"][minute] = throttled
            calls["500"][minute] = failed
        lately = {m: n for m, n in tokens.items() if m >= now.timestamp() - KINDS_SINCE}
        put_in = {m: int((n or 0) * INPUT_SHARE) for m, n in lately.items()}
        put_out = {m: (n or 0) - put_in[m] for m, n in lately.items()}
        kinds = {"input_tokens": put_in, "output_tokens": put_out}
        labels = {
            "model": model.name,
            "workspace_id": WORKSPACE_ID,
            "apikey_id": "1280413",
        }
        series += (
            Series(
                metric="model_usage",
                labels={**labels, "usage_type": "total_tokens"},
                minutes=tokens,
            ),
            *(
                Series(
                    metric="model_usage",
                    labels={**labels, "usage_type": kind},
                    minutes=amounts,
                )
                for kind, amounts in kinds.items()
            ),
            *(
                Series(
                    metric="model_call_count",
                    labels={**labels, "status_code": status},
                    minutes=amounts,
                )
                for status, amounts in calls.items()
            ),
        )
    return Usage(series=tuple(series))


async def serve_usage(
    usage: Usage, simulator: Simulator, directory: Path, *, port: int = 0
) -> Prometheus:
    """Start a Prometheus that serves usage and accepts the account's AccessKey.

    Raises:
        PrometheusError: Prometheus is not installed or does not start.

    """
    [(key_id, secret)] = simulator.access_keys.items()
    return await Prometheus.start(
        directory, usage.openmetrics(), username=key_id, password=secret, port=port
    )


def base_url_of(simulator: Simulator) -> str:
    """Return the base URL to set up the account with."""
    return simulator.base_url.replace("127.0.0.1", HOST)


def form_of(
    simulator: Simulator, prometheus_url: str, **changes: str
) -> dict[str, Any]:
    """Return the input for the AccessKey form."""
    [(key_id, secret)] = simulator.access_keys.items()
    return {
        "access_key_id": key_id,
        "access_key_secret": secret,
        "region": "cn-beijing",
        "endpoints": {
            "billing_endpoint": simulator.openapi_url,
            "balance_endpoint": simulator.openapi_url,
            "prometheus_url": prometheus_url,
        },
        **changes,
    }


async def set_up(
    home_assistant: HomeAssistant, simulator: Simulator, prometheus_url: str
) -> LiveAccount:
    """Set up the account with the selected models.

    The instance with the URL of Prometheus is selected, if the account has one.
    """
    [api_key] = simulator.api_keys
    step = await enter_account(
        home_assistant, api_key=api_key, base_url=base_url_of(simulator)
    )
    form = form_of(simulator, prometheus_url)
    instances = [it for it in simulator.account.instances if it.url == prometheus_url]
    if instances:
        del form["endpoints"]["prometheus_url"]
    for answer in (
        form,
        *({"instance": it.id} for it in instances),
        {"all_models": False, "models": list(MODELS)},
    ):
        step = await home_assistant.continue_flow(step["flow_id"], **answer)
    assert step["type"] == "create_entry", step
    return LiveAccount(home_assistant, step["result"]["entry_id"])


async def follow_groups(account: LiveAccount) -> None:
    """Follow a workspace, which gets a budget, and an API key.

    Wait until their past spend is imported.

    Raises:
        TimeoutError: the import takes too long.

    """
    step = await account.home_assistant.set_options(
        account.entry_id,
        {"next_step_id": "groups"},
        {"workspaces": [WORKSPACE_ID], "api_keys": ["1280413"]},
        {
            "workspaces": {f"Production ({WORKSPACE_ID})": WORKSPACE_BUDGET},
            "api_keys": {},
        },
    )
    assert step["type"] == "create_entry", step

    prefix = f"{DOMAIN}:{account.entry_id.lower()}_"
    kinds = ("_workspace_spend_", "_api_key_spend_")

    async def all_there() -> bool | None:
        listed = await account.home_assistant.command("recorder/list_statistic_ids")
        ids = [it["statistic_id"] for it in listed]
        own = " ".join(it for it in ids if it.startswith(prefix))
        return all(kind in own for kind in kinds) or None

    await eventually(all_there, within=WITHIN)


async def past_spend(account: LiveAccount, currency: str = "cny") -> dict[str, str]:
    """Wait until past spend is imported; return the statistic IDs by model.

    The empty name is the account.

    Raises:
        TimeoutError: the import takes too long.

    """
    total = f"{DOMAIN}:{account.entry_id.lower()}_{currency}_spend"
    ids = {"": total} | {
        model: f"{total}_{model.replace('-', '_')}" for model in MODELS
    }

    async def all_there() -> bool | None:
        listed = await account.home_assistant.command("recorder/list_statistic_ids")
        return {*ids.values()} <= {it["statistic_id"] for it in listed} or None

    await eventually(all_there, within=WITHIN)
    return ids
