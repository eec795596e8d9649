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
from .merging import Reports, merge
from .models import (
    AccessKey,
    AccountSnapshot,
    Balance,
    BillingPeriod,
    ModelUsage,
    Money,
    RateLimit,
    SpendReport,
)
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
    "AuthenticationError",
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
    "PermissionDeniedError",
    "RateLimit",
    "RateLimitError",
    "Reports",
    "SpendReport",
    "SpendTrend",
    "SpendWindow",
    "TelemetryClient",
    "UsageTotals",
    "balance_endpoints",
    "billed_since",
    "follow_account",
    "merge",
    "normalize_base_url",
    "parse_answer",
    "workspace_base_url",
]
