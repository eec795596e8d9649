"""Tests of the snapshot, and of the library's independence."""

import ast
from collections.abc import Iterator
from copy import replace
from dataclasses import FrozenInstanceError, fields
from datetime import date
from decimal import Decimal
from pathlib import Path
import subprocess
import sys
from typing import Any

import pytest

from custom_components.alibaba_cloud import model_studio
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    BillingPeriod,
    ModelUsage,
    Money,
    QuotasKind,
    RateLimit,
    Spend,
)
from custom_components.alibaba_cloud.model_studio.client import LimitsListing
from custom_components.alibaba_cloud.model_studio.models import Number
from custom_components.alibaba_cloud.model_studio.quotas import (
    LimitsPage,
    limits_account,
    parse_answer,
)
from tests.common import FIXTURES

from .common import NOW, usd

PACKAGE = Path(model_studio.__file__).parent


def usage(used: Number | None, limit: Number | None) -> ModelUsage:
    """Return a model with a quota."""
    return ModelUsage(name="qwen-max", used=used, limit=limit)


def answers() -> Iterator[AccountSnapshot]:
    """Yield a snapshot of each of the two answers."""
    account = parse_answer((FIXTURES / "account.json").read_bytes())
    assert isinstance(account, AccountSnapshot)
    yield account
    page = parse_answer((FIXTURES / "limits.json").read_bytes())
    assert isinstance(page, LimitsPage)
    yield limits_account(page.limits)


@pytest.mark.parametrize(
    ("used", "limit", "percentage"),
    [
        (820, 1000, 82.0),
        (0, 1000, 0.0),
        (1, 3, 33.3333),
        (2.5, 10, 25.0),
        (1000, 1000, 100.0),
        (1500, 1000, 150.0),
        (10**17, 1, 10.0**19),
        (820, 0, None),
        (820, 0.0, None),
        (820, None, None),
        (None, 1000, None),
        (None, None, None),
        (0, 0, None),
    ],
)
def test_usage_pct(
    used: Number | None, limit: Number | None, percentage: float | None
) -> None:
    """The percentage is unknown without usage or a limit above 0."""
    assert usage(used, limit).usage_pct == percentage


@pytest.mark.parametrize("limit", [1e-300, 5e-324])
def test_usage_pct_is_finite(limit: float) -> None:
    assert usage(10**17, limit).usage_pct is None


@pytest.mark.parametrize(
    ("used", "tokens", "level"),
    [(820, 50, 82.0), (820, None, 82.0), (None, 50, 5.0), (None, None, None)],
)
def test_level_pct(
    used: Number | None, tokens: Number | None, level: float | None
) -> None:
    """The level for alerts is the share of the quota or, without one, the load."""
    model = replace(
        usage(used, 1000), rate_limit=RateLimit(tpm=1000), tokens_per_minute=tokens
    )
    assert model.level_pct == level


@pytest.mark.parametrize(
    ("account", "available"),
    [
        (AccountSnapshot(daily_spend=usd("0")), "spend"),
        (AccountSnapshot(monthly_spend=usd("0")), "spend"),
        (AccountSnapshot(tokens_used=0), "usage"),
        (AccountSnapshot(requests_used=0), "usage"),
        (AccountSnapshot(rate_limit=RateLimit(rpm=0)), "limits"),
        (AccountSnapshot(rate_limit=RateLimit(tpm=0)), "limits"),
        (AccountSnapshot(models={"qwen-max": usage(None, 0)}), "limits"),
        (AccountSnapshot(models={"qwen-max": usage(0, None)}), "usage"),
        (AccountSnapshot(models={"qwen-max": usage(None, None)}), None),
        (AccountSnapshot(available_balance=usd("1")), None),
        (AccountSnapshot(spend_limit=usd("1")), None),
    ],
)
def test_available_data(account: AccountSnapshot, available: str | None) -> None:
    """The available data depend on the reported figures; 0 counts as reported."""
    assert account.available_data == available


@pytest.mark.parametrize(
    ("spend", "limit", "over"),
    [
        (usd("499.99"), usd("500"), False),
        (usd("500"), usd("500.00"), True),
        (usd("500.01"), usd("500"), True),
        (usd("0"), usd("500"), False),
        (usd("-5"), usd("500"), False),
        (usd("5"), usd("0"), None),
        (usd("5"), usd("-1"), None),
        (usd("5"), None, None),
        (None, usd("500"), None),
        (None, None, None),
        (Money(amount=Decimal(900), currency="CNY"), usd("500"), None),
    ],
)
def test_over_spend_limit(
    spend: Money | None, limit: Money | None, over: bool | None
) -> None:
    """Spend at the limit is over the limit."""
    account = AccountSnapshot(monthly_spend=spend, spend_limit=limit)
    assert account.over_spend_limit is over


def test_figures_are_unknown_by_default() -> None:
    account = AccountSnapshot()
    assert account.rate_limit == RateLimit(rpm=None, tpm=None)
    assert account.billing_period == BillingPeriod(start=None, end=None)
    assert account.models == {}
    assert not account.models_complete
    assert account.quotas_kind is QuotasKind.UNREAD
    assert account.credit_balance is None
    assert account.monthly_spend is None
    assert account.tokens_used is None
    assert account.over_spend_limit is None
    assert account.available_data is None


@pytest.mark.parametrize(
    "value",
    [
        usd("1"),
        RateLimit(rpm=1, tpm=2),
        BillingPeriod(start=date(2026, 8, 1), end=date(2026, 8, 31)),
        *answers(),
        LimitsPage(rows=(), limits=(), total=0),
        LimitsListing(account=AccountSnapshot(), pages=1, rows=0, total=0),
        Spend(amount=Decimal(1), currency="USD", since=NOW, start=NOW.date()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_are_frozen(value: Any) -> None:
    """Fields can't be set, removed or added."""
    for field in fields(value):
        with pytest.raises(FrozenInstanceError):
            setattr(value, field.name, None)
        with pytest.raises(FrozenInstanceError):
            delattr(value, field.name)
    assert not hasattr(value, "__dict__")


def test_figures_of_a_model_are_frozen() -> None:
    model: Any = usage(1, 2)
    for name in ModelUsage._fields:
        with pytest.raises(AttributeError):
            setattr(model, name, None)
    assert not hasattr(model, "__dict__")


@pytest.mark.parametrize("account", [AccountSnapshot(), *answers()])
def test_models_are_read_only(account: AccountSnapshot) -> None:
    models: Any = account.models
    with pytest.raises(TypeError):
        models["other"] = usage(1, 2)
    for name in models:
        with pytest.raises(TypeError):
            del models[name]
    assert not hasattr(models, "clear")
    assert not hasattr(models, "update")


@pytest.mark.parametrize(
    ("one", "other"), list(zip(answers(), answers(), strict=True)), ids=str
)
def test_equal_bodies_make_equal_snapshots(
    one: AccountSnapshot, other: AccountSnapshot
) -> None:
    assert one is not other
    assert one == other
    assert one.models is not other.models


def imports() -> Iterator[tuple[str, str]]:
    """Yield the file and the module of each absolute import in the library."""
    for path in PACKAGE.glob("**/*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                yield from ((path.name, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                # One dot is the library itself, two dots are the integration.
                assert node.level < 2, f"{path.name} imports from above the library"
                if not node.level:
                    yield path.name, node.module or ""


def test_library_imports_nothing_of_home_assistant() -> None:
    found = {module.partition(".")[0] for _, module in imports()}
    assert "aiohttp" in found
    assert found - sys.stdlib_module_names == {"aiohttp", "orjson", "yarl"}


def test_library_can_be_used_without_home_assistant() -> None:
    """A separate process imports the library without Home Assistant."""
    code = (
        "import sys\n"
        "sys.path.append(sys.argv[1])\n"
        "import model_studio\n"
        "print(*(name for name in sys.modules if name.partition('.')[0] in"
        " ('homeassistant', 'custom_components', 'voluptuous', 'probatio')))"
    )
    run = subprocess.run(
        [sys.executable, "-I", "-c", code, PACKAGE.parent],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.split() == []


def test_every_exported_name_exists() -> None:
    for name in model_studio.__all__:
        assert getattr(model_studio, name) is not None
    assert len(set(model_studio.__all__)) == len(model_studio.__all__)
