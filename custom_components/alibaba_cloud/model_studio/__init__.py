"""Client for the account figures of Alibaba Cloud Model Studio (DashScope).

Imports nothing of Home Assistant. A body becomes an immutable `AccountSnapshot`
by pure functions (`parsing`), `ModelStudioClient` fetches it, and whatever can go
wrong is one of the errors in `errors`.
"""

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
    ConnectionFailedError,
    InvalidAnswerError,
    ModelStudioError,
    RateLimitError,
)
from .models import AccountSnapshot, BillingPeriod, ModelUsage, Money, RateLimit
from .parsing import parse_answer
from .spend import SpendWindow, follow_account

__all__ = [
    "DEFAULT_REGION",
    "REGIONS",
    "WORKSPACE_REGIONS",
    "AccountError",
    "AccountSnapshot",
    "AuthenticationError",
    "BillingPeriod",
    "ConnectionFailedError",
    "InvalidAnswerError",
    "InvalidURLError",
    "InvalidWorkspaceError",
    "ModelStudioClient",
    "ModelStudioError",
    "ModelUsage",
    "Money",
    "RateLimit",
    "RateLimitError",
    "SpendWindow",
    "follow_account",
    "normalize_base_url",
    "parse_answer",
    "workspace_base_url",
]
