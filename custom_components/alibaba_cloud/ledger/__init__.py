"""Rules about money over time: periods, days, forecast and alerts.

All functions are pure: the services' answers and the time are arguments. They do no I/O
and do not import Home Assistant. `docs/periods.md` explains the rules.
"""

from .alerts import Alert, AlertKind, AlertOptions, AlertState, Observation
from .budgets import group_reaches
from .days import SpendDays, last_settled_day
from .decisions import decide, reaches
from .expiry import current_reports, without_past
from .merge import Reports, Shown, ShownSpend, merge, with_windows
from .outlook import outlook
from .periods import with_answer
from .snapshot import build_snapshot
from .windows import (
    BILLING_TIME_ZONE,
    Answer,
    Periods,
    billing_day,
    cycle_start,
    midnight,
)

__all__ = [
    "BILLING_TIME_ZONE",
    "Alert",
    "AlertKind",
    "AlertOptions",
    "AlertState",
    "Answer",
    "Observation",
    "Periods",
    "Reports",
    "Shown",
    "ShownSpend",
    "SpendDays",
    "billing_day",
    "build_snapshot",
    "current_reports",
    "cycle_start",
    "decide",
    "group_reaches",
    "last_settled_day",
    "merge",
    "midnight",
    "outlook",
    "reaches",
    "with_answer",
    "with_windows",
    "without_past",
]
