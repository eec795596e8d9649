"""Clients for the figures of an Alibaba Cloud Model Studio (DashScope) account.

The package doesn't depend on Home Assistant. `ModelStudioClient` and `PricesClient` need
an API key. The other clients need an AccessKey. All of them return immutable dataclasses,
and raise subclasses of `ModelStudioError`.
"""

from .assets import AssetsClient
from .balance import BalanceClient
from .billing import BillingClient, Granularity
from .client import ModelStudioClient
from .errors import (
    AccountError,
    AuthenticationError,
    BudgetExhaustedError,
    ClockSkewError,
    ConnectionFailedError,
    ConnectionFailure,
    FreeQuotaUsedUpError,
    InvalidAnswerError,
    ModelStudioError,
    OverduePaymentError,
    PermissionDeniedError,
    RateLimitError,
    ServiceNotEnabledError,
)
from .groups import Dimension, SpendGroup
from .hosts import (
    BALANCE_ENDPOINTS,
    BILLING_ENDPOINT,
    CLOUDMONITOR_ENDPOINT,
    DEFAULT_REGION,
    REGIONS,
    TOKEN_PLAN_REGIONS,
    WORKSPACE_REGIONS,
    InvalidURLError,
    InvalidWorkspaceError,
    UnencryptedURLError,
    balance_endpoints,
    is_china_site,
    normalize_base_url,
    workspace_base_url,
)
from .http import TIMEOUT
from .instances import InstancesClient, PrometheusInstance
from .models import (
    CURRENCY,
    AccessKey,
    AccountSnapshot,
    AvailableData,
    Balance,
    BillingPeriod,
    Estimate,
    GroupFigures,
    GroupSpend,
    ModelUsage,
    Money,
    Number,
    Outlook,
    QuotasKind,
    RateLimit,
    Spend,
    SpendReport,
    UsualDay,
    first_known,
)
from .openapi import is_refused
from .prepaid import Asset, AssetKind, Quantity, Seats, TokenPlan
from .price_list import Price, PriceKind, PriceList, PriceStep, PriceUnit
from .prices import PricesClient
from .quotas import parse_answer
from .telemetry import TelemetryClient
from .token_plan import TokenPlanClient
from .trend import (
    NULL_GROUP,
    OTHERS,
    SpendPeriod,
    SpendTrend,
    daily_totals,
    group_totals,
)
from .usage import DayUsage, ModelRate, ModelTotals, UsageRates, UsageTotals
from .values import plain_text
from .workspaces import WorkspacesClient

__all__ = [
    "BALANCE_ENDPOINTS",
    "BILLING_ENDPOINT",
    "CLOUDMONITOR_ENDPOINT",
    "CURRENCY",
    "DEFAULT_REGION",
    "NULL_GROUP",
    "OTHERS",
    "REGIONS",
    "TIMEOUT",
    "TOKEN_PLAN_REGIONS",
    "WORKSPACE_REGIONS",
    "AccessKey",
    "AccountError",
    "AccountSnapshot",
    "Asset",
    "AssetKind",
    "AssetsClient",
    "AuthenticationError",
    "AvailableData",
    "Balance",
    "BalanceClient",
    "BillingClient",
    "BillingPeriod",
    "BudgetExhaustedError",
    "ClockSkewError",
    "ConnectionFailedError",
    "ConnectionFailure",
    "DayUsage",
    "Dimension",
    "Estimate",
    "FreeQuotaUsedUpError",
    "Granularity",
    "GroupFigures",
    "GroupSpend",
    "InstancesClient",
    "InvalidAnswerError",
    "InvalidURLError",
    "InvalidWorkspaceError",
    "ModelRate",
    "ModelStudioClient",
    "ModelStudioError",
    "ModelTotals",
    "ModelUsage",
    "Money",
    "Number",
    "Outlook",
    "OverduePaymentError",
    "PermissionDeniedError",
    "Price",
    "PriceKind",
    "PriceList",
    "PriceStep",
    "PriceUnit",
    "PricesClient",
    "PrometheusInstance",
    "Quantity",
    "QuotasKind",
    "RateLimit",
    "RateLimitError",
    "Seats",
    "ServiceNotEnabledError",
    "Spend",
    "SpendGroup",
    "SpendPeriod",
    "SpendReport",
    "SpendTrend",
    "TelemetryClient",
    "TokenPlan",
    "TokenPlanClient",
    "UnencryptedURLError",
    "UsageRates",
    "UsageTotals",
    "UsualDay",
    "WorkspacesClient",
    "balance_endpoints",
    "daily_totals",
    "first_known",
    "group_totals",
    "is_china_site",
    "is_refused",
    "normalize_base_url",
    "parse_answer",
    "plain_text",
    "workspace_base_url",
]
