"""Decides the alerts of limits that fall. No I/O.

The vendor lowers the limits of a model step by step before it retires the model.
"""

from dataclasses import replace

from ..model_studio.models import ModelUsage, Number
from .alerts import (
    AlertKind,
    AlertOptions,
    AlertState,
    Decision,
    Observation,
    SeenLimit,
    new_alert,
)

_UNSEEN = SeenLimit()


def judge_limits(
    state: AlertState, observation: Observation, _: AlertOptions
) -> Decision:
    """Alert a limit that fell, once per lower value.

    A value counts once two complete answers in a row report it.
    """
    is_answered = observation.polled and observation.failure is None
    if not is_answered or not observation.account.models_complete:
        return state, []
    limits: dict[str, dict[str, SeenLimit]] = {}
    alerts = []
    for model in observation.models:
        before = state.limits.get(model.name, {})
        for limit_type, value in _limits(model).items():
            last = before.get(limit_type, _UNSEEN)
            limit = _followed(last, value)
            if limit != _UNSEEN:
                limits.setdefault(model.name, {})[limit_type] = limit
            if limit.alerted != last.alerted:
                alerts.append(
                    new_alert(
                        observation,
                        AlertKind.LIMIT_LOWERED,
                        f"{state.rounds} {limit_type}",
                        model=model.name,
                        limit_type=limit_type,
                        limit=limit.known,
                        previous_limit=last.known,
                    )
                )
    return (state if limits == state.limits else replace(state, limits=limits)), alerts


def _limits(model: ModelUsage) -> dict[str, Number | None]:
    """Return the limits of a model by type."""
    return {
        "limit": model.limit,
        "rpm": model.rate_limit.rpm,
        "tpm": model.rate_limit.tpm,
    }


def _followed(last: SeenLimit, value: Number | None) -> SeenLimit:
    """Return a limit after another answer. A value that is missing or 0 is unknown."""
    if not value or value == last.known:
        # Nearly always, nothing changes. A new object for each limit would take time.
        return last if last.seen is None else replace(last, seen=None)
    if value != last.seen:
        return replace(last, seen=value)
    fell = last.known is not None and value < last.known
    is_new = last.alerted is None or value < last.alerted
    return SeenLimit(known=value, alerted=value if fell and is_new else last.alerted)
