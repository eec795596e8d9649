"""Decides the alerts of prepaid assets and of the Token Plan. No I/O."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta
from decimal import Decimal

from ..model_studio.prepaid import AssetKind
from .alerts import (
    Alert,
    AlertKind,
    AlertOptions,
    AlertState,
    Decision,
    Observation,
    new_alert,
)
from .windows import billing_day

CREDITS_REARM = 10
"""Low credits are re-armed once the share left is this many points above the level.

Near 100 %, half of the way from the level to 100 % is enough.
"""
_REMEMBERED_FOR = timedelta(days=30)
"""An alerted end is remembered for at least this long after its day."""
REMEMBERED = 32
"""The number of latest ends that are remembered for longer.

While the clock is wrong and months ahead, every end looks long over.
"""


def judge_credits(
    state: AlertState, observation: Observation, options: AlertOptions
) -> Decision:
    """Alert low credits of the Token Plan, once until they are refreshed."""
    plan = observation.account.token_plan
    total, left = plan.credits, plan.credits_left
    if not options.low_credits or not total or left is None or left > total:
        return state, []
    share, refresh = left * 100 / total, plan.refresh
    if state.credits_alerted:
        last = state.credits_refresh
        is_refreshed = last is not None and refresh is not None and refresh > last
        if not is_refreshed and share <= _rearm_above(options.low_credits):
            return state, []
        state = replace(state, credits_alerted=False, credits_refresh=None)
    if share > options.low_credits:
        return state, []
    alert = new_alert(
        observation,
        AlertKind.CREDITS_LOW,
        state.rounds,
        level=options.low_credits,
        amount=left,
        usage_pct=plan.credits_used_pct,
    )
    return replace(state, credits_alerted=True, credits_refresh=refresh), [alert]


def _rearm_above(level: Decimal) -> Decimal:
    """Return the share left, in %, above which low credits are re-armed."""
    return min(level + CREDITS_REARM, (level + 100) / 2)


def judge_endings(
    state: AlertState, observation: Observation, options: AlertOptions
) -> Decision:
    """Alert assets that expire and subscriptions that end soon, once per last day."""
    today = observation.today
    if today is None or not options.expiry_days:
        return state, []
    current = (*_expiring(observation), *_subscription(observation))
    listed = {alert.alert_id for alert in current}
    newest = sorted(state.endings, key=lambda known: state.endings[known])[-REMEMBERED:]
    endings = {
        alert_id: last_day
        for alert_id, last_day in state.endings.items()
        if last_day >= today - _REMEMBERED_FOR
        or alert_id in listed
        or alert_id in newest
    }
    alerts = [
        alert
        for alert in current
        if alert.ends
        and 0 <= (alert.ends - today).days <= options.expiry_days
        and alert.alert_id not in endings
    ]
    endings |= {alert.alert_id: alert.ends for alert in alerts if alert.ends}
    if endings != state.endings:
        state = replace(state, endings=endings)
    return state, alerts


def _expiring(observation: Observation) -> Iterator[Alert]:
    """Yield one alert for all assets of the same kind, unit and last day.

    There is none if the unit or one of the amounts is unknown.
    """
    groups: dict[tuple[AssetKind, str, date], list[Decimal | None]] = {}
    for asset in observation.account.expiring:
        if asset.expires and asset.unit:
            group = asset.kind, asset.unit, _last_day(asset.expires)
            groups.setdefault(group, []).append(asset.amount)
    for (kind, unit, ends), amounts in groups.items():
        known = [amount for amount in amounts if amount is not None]
        if len(known) == len(amounts):
            yield new_alert(
                observation,
                AlertKind.CREDIT_EXPIRING,
                f"{kind} {unit} {ends}",
                asset=kind,
                amount=sum(known, Decimal()),
                unit=unit,
                ends=ends,
            )


def _subscription(observation: Observation) -> Iterator[Alert]:
    """Yield the alert of the end of the Token Plan's subscription, if it is known."""
    if observation.account.token_plan.ends:
        ends = _last_day(observation.account.token_plan.ends)
        yield new_alert(
            observation, AlertKind.SUBSCRIPTION_ENDING, ends.isoformat(), ends=ends
        )


def _last_day(ends: datetime) -> date:
    """Return the day that a moment ends: midnight is the end of the day before."""
    return billing_day(ends - timedelta.resolution)
