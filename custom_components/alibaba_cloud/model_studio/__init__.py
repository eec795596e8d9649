"""Client for the account figures of Alibaba Cloud Model Studio (DashScope).

Imports nothing of Home Assistant. A body becomes an immutable `AccountSnapshot`
by pure functions (`parsing`), `ModelStudioClient` fetches it, and whatever can go
wrong is one of the errors in `errors`.
"""

from .alerts import (
    Alert,
    AlertKind,
    AlertOptions,
    AlertState,
    Observation,
    decide,
    reaches,
)
from .billing import (
    BALANCE_ENDPOINTS,
    BILLING_ENDPOINT,
    NULL_GROUP,
    OTHERS,
    BalanceClient,
    BillingClient,
    Dimension,
    Granularity,
    SpendTrend,
    balance_endpoints,
    daily_totals,
)
from .client import (
    DEFAULT_REGION,
    REGIONS,
    WORKSPACE_REGIONS,
    InvalidURLError,
    InvalidWorkspaceError,
    ModelStudioClient,
    normalize_base_url,
    workspace_base_url,
)
from .daily import SpendDays
from .errors import (
    AccountError,
    AuthenticationError,
    ClockSkewError,
    ConnectionFailedError,
    InvalidAnswerError,
    ModelStudioError,
    PermissionDeniedError,
    RateLimitError,
)
from .expiry import without_past
from .merging import Reports, merge
from .models import (
    AccessKey,
    AccountSnapshot,
    AvailableData,
    Balance,
    BillingPeriod,
    ModelUsage,
    Money,
    Outlook,
    RateLimit,
    SpendReport,
)
from .outlook import outlook
from .parsing import parse_answer
from .spend import BILLING_TIME_ZONE, SpendWindow, billed_since, follow_account
from .telemetry import ModelRate, TelemetryClient, UsageTotals

__all__ = [
    "BALANCE_ENDPOINTS",
    "BILLING_ENDPOINT",
    "BILLING_TIME_ZONE",
    "DEFAULT_REGION",
    "NULL_GROUP",
    "OTHERS",
    "REGIONS",
    "WORKSPACE_REGIONS",
    "AccessKey",
    "AccountError",
    "AccountSnapshot",
    "Alert",
    "AlertKind",
    "AlertOptions",
    "AlertState",
    "AuthenticationError",
    "AvailableData",
    "Balance",
    "BalanceClient",
    "BillingClient",
    "BillingPeriod",
    "ClockSkewError",
    "ConnectionFailedError",
    "Dimension",
    "Granularity",
    "InvalidAnswerError",
    "InvalidURLError",
    "InvalidWorkspaceError",
    "ModelRate",
    "ModelStudioClient",
    "ModelStudioError",
    "ModelUsage",
    "Money",
    "Observation",
    "Outlook",
    "PermissionDeniedError",
    "RateLimit",
    "RateLimitError",
    "Reports",
    "SpendDays",
    "SpendReport",
    "SpendTrend",
    "SpendWindow",
    "TelemetryClient",
    "UsageTotals",
    "balance_endpoints",
    "billed_since",
    "daily_totals",
    "decide",
    "follow_account",
    "merge",
    "normalize_base_url",
    "outlook",
    "parse_answer",
    "reaches",
    "without_past",
    "workspace_base_url",
]
