"""Client for the account figures of Alibaba Cloud Model Studio (DashScope).

Imports nothing of Home Assistant. A body becomes an immutable `AccountSnapshot`
by pure functions (`parsing`), `ModelStudioClient` fetches it, and whatever can go
wrong is one of the errors in `errors`.
"""

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
    Spend,
    SpendReport,
)
from .parsing import parse_answer
from .telemetry import ModelRate, TelemetryClient, UsageTotals

__all__ = [
    "BALANCE_ENDPOINTS",
    "BILLING_ENDPOINT",
    "DEFAULT_REGION",
    "NULL_GROUP",
    "OTHERS",
    "REGIONS",
    "WORKSPACE_REGIONS",
    "AccessKey",
    "AccountError",
    "AccountSnapshot",
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
    "Outlook",
    "PermissionDeniedError",
    "RateLimit",
    "RateLimitError",
    "Spend",
    "SpendReport",
    "SpendTrend",
    "TelemetryClient",
    "UsageTotals",
    "balance_endpoints",
    "daily_totals",
    "normalize_base_url",
    "parse_answer",
    "workspace_base_url",
]
