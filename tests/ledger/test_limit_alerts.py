"""Alerts of limits that fall, as they do before a model is retired."""

from collections.abc import Sequence

import pytest

from custom_components.alibaba_cloud.ledger import AlertKind, AlertOptions, Observation
from custom_components.alibaba_cloud.model_studio import (
    AccountSnapshot,
    ModelUsage,
    RateLimit,
)

from .common import Account, Look, written


def answer(
    *models: ModelUsage,
    polled: bool = True,
    complete: bool = True,
    failure: AlertKind | None = None,
) -> Look:
    """Return a look at models after an answer."""
    seen = Observation(
        account_id="account",
        account=AccountSnapshot(models_complete=complete),
        models=models,
        polled=polled,
        failure=failure,
    )
    return Look(seen, AlertOptions())


def model(
    rpm: float | None = None,
    tpm: float | None = None,
    limit: float | None = None,
    name: str = "qwen",
) -> ModelUsage:
    """Return a model with these limits."""
    return ModelUsage(name=name, limit=limit, rate_limit=RateLimit(rpm=rpm, tpm=tpm))


def lowered(account: Account, *limits: float | None) -> list[float | None]:
    """Return the limits that an account alerts, of answers with these limits."""
    return [
        alert.limit
        for limit in limits
        for alert in account.see(answer(model(rpm=limit)))
    ]


def test_all_limits() -> None:
    """The alerts say which limit fell, and from what to what."""
    account = Account()
    before, after = model(60, 1000.5, 9), model(30, 1000, 8)
    for look in (answer(before), answer(before), answer(after)):
        assert account.see(look) == []
    alerts = account.see(answer(after))
    assert [written(alert) for alert in alerts] == [
        (
            'limit_lowered {"model": "qwen", "limit_type": "limit", "limit": 8,'
            ' "previous_limit": 9}'
        ),
        (
            'limit_lowered {"model": "qwen", "limit_type": "rpm", "limit": 30,'
            ' "previous_limit": 60}'
        ),
        (
            'limit_lowered {"model": "qwen", "limit_type": "tpm", "limit": 1000,'
            ' "previous_limit": 1000.5}'
        ),
    ]
    assert len({alert.alert_id for alert in alerts}) == 3


@pytest.mark.parametrize(
    ("limits", "alerted"),
    [
        pytest.param([60, 60, 30, 30, 30], [30], id="once"),
        pytest.param([60, 60, 30, 30, 20, 20, 10, 10], [30, 20, 10], id="step by step"),
        pytest.param([60, 60, 30, 20, 20], [20], id="another value"),
        pytest.param([60, 60, 30, 60, 30, 60], [], id="wavers"),
        pytest.param([60, 60, 120, 60, 60], [], id="wavers upwards"),
        pytest.param([60, 60, 30, 30, 60, 60, 30, 30, 20, 20], [30, 20], id="slowly"),
        pytest.param([60, 60, None, 60, 60], [], id="missing"),
        pytest.param([60, 60, 0, 0], [], id="zero"),
        pytest.param([60, 60, 30, None, 30, 60], [], id="missing in between"),
        pytest.param([60, 60, None, None, 30, 30], [30], id="missing before it fell"),
        pytest.param([60, 60, 90, 90, 70, 70], [70], id="after it was raised"),
        pytest.param([60, 30, 30], [], id="never known"),
        pytest.param([30, 30, 60, 60], [], id="raised"),
    ],
)
def test_lowered(limits: Sequence[float | None], alerted: list[float]) -> None:
    """Two answers in a row must agree on the value before and on the one after."""
    assert lowered(Account(), *limits) == alerted


@pytest.mark.parametrize(
    "look",
    [
        pytest.param(answer(model(30), polled=False), id="the same answer"),
        pytest.param(answer(model(30), complete=False), id="incomplete"),
        pytest.param(
            answer(model(30), failure=AlertKind.RATE_LIMITED), id="failed poll"
        ),
    ],
)
def test_no_answer(look: Look) -> None:
    """It confirms nothing."""
    account = Account()
    assert lowered(account, 60, 60, 30) == []
    assert account.state.awaits_answer
    before = account.state.limits
    assert account.see(look) == []
    assert account.state.limits == before
    assert lowered(account, 30) == [30]
    assert not account.state.awaits_answer


def test_models_that_are_not_followed_are_dropped() -> None:
    account = Account()
    other = model(5, name="other")
    account.see(answer(model(60), other, model(name="unlimited")))
    assert account.state.limits.keys() == {"qwen", "other"}
    account.see(answer(other))
    assert account.state.limits.keys() == {"other"}
    account.see(answer(other))
    assert account.ignores(answer(other))
