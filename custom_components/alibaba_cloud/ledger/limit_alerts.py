"""Decides the alerts of limits that fall. No I/O.

The vendor lowers the limits of a model step by step before it retires the model.
"""

from collections.abc import Mapping
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
    limits: dict[str, Mapping[str, SeenLimit]] = {}
    alerts = []
    for model in observation.models:
        before = state.limits.get(model.name, {})
        changed = _changed(before, model)
        after = before
        if changed:
            both = {**before, **changed}
            after = {kind: limit for kind, limit in both.items() if limit != _UNSEEN}
        if after:
            limits[model.name] = after
        for limit_type, limit in changed.items():
            last = before.get(limit_type, _UNSEEN)
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


def _changed(
    before: Mapping[str, SeenLimit], model: ModelUsage
) -> dict[str, SeenLimit]:
    """Return the limits of a model that changed, by type. Nearly always, none did."""
    changed = {}
    for limit_type, value in (
        ("limit", model.limit),
        ("rpm", model.rate_limit.rpm),
        ("tpm", model.rate_limit.tpm),
    ):
        last = before.get(limit_type, _UNSEEN)
        # A value that is missing or 0 is unknown.
        is_known = not value or value == last.known
        if is_known and last.seen is None:
            continue
        changed[limit_type] = _after_answer(last, None if is_known else value)
    return changed


def _after_answer(last: SeenLimit, value: Number | None) -> SeenLimit:
    """Return a limit after an answer. `value` is None if the answer has no new value."""
    if value is None or value != last.seen:
        return replace(last, seen=value)
    fell = last.known is not None and value < last.known
    is_new = last.alerted is None or value < last.alerted
    return SeenLimit(known=value, alerted=value if fell and is_new else last.alerted)
