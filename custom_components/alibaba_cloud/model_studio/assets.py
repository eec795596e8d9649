"""The prepaid assets of an account, from the billing service (2017-12-14).

Only assets that can be used for Model Studio are reported. No other operation is called.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
import json
import logging
import re
from typing import Any

import aiohttp
from yarl import URL

from .balance import OTHER_SITE, VERSION
from .errors import (
    AccountError,
    InvalidAnswerError,
    ModelStudioError,
    PermissionDeniedError,
)
from .http import Poll
from .models import AccessKey
from .openapi import call, is_refused
from .prepaid import Asset, AssetKind
from .values import amount_of, currency_of, mapping_of, moment_of, text_of

_LOGGER = logging.getLogger(__name__)

_PAGE_SIZE = 20
"""The default of the service, which each operation accepts."""
_MAX_PAGES = 50
_MAX_UNIT_LENGTH = 32
"""Characters. A longer text is no unit, and does not fit into every database."""
_ACTIVE = ("available", "normal")
_MODEL_STUDIO = re.compile(
    r"sfm|model\s*studio|bailian|dashscope|百[炼煉]|大模型服[务務]平[台臺]",
    re.IGNORECASE,
)
"""Matches a name or a product code of Model Studio."""
_ALL_PRODUCTS = re.compile(
    r"\s*(all\b|universal\b|全部|所有|全[场場]|通用(?!型))", re.IGNORECASE
)
_EXCEPT = re.compile("except|exclud|除|不含|不包[括含]", re.IGNORECASE)
_USAGE = re.compile(
    r"按量|[后後]付[费費]|pay[-\s]?as[-\s]?you[-\s]?go|post[-\s]?paid", re.IGNORECASE
)
"""Matches scenarios in which usage is paid for. Others are orders and renewals."""
_MAX_SEARCHED = 20_000
"""Characters of a text that are searched. A list of products can be long."""


@dataclass(frozen=True, kw_only=True)
class _Operation:
    """An operation that lists assets of one kind."""

    action: str
    path: tuple[str, ...]
    """Where the rows are in the answer's `Data`."""
    parse: Callable[[Mapping[str, Any]], Asset | None]
    """Returns the asset of a row, None if it can't be used for Model Studio."""
    query: Mapping[str, str] | None = None
    is_paged: bool = False


class AssetsClient:
    """Reads the assets of an account with an AccessKey."""

    def __init__(
        self,
        session: aiohttp.ClientSession,
        *,
        endpoints: list[str],
        refused: set[tuple[str, str]],
        access_key: AccessKey,
    ) -> None:
        """Create a client that asks the first of the endpoints.

        The list is that of a `BalanceClient`, which finds out the account's site. The
        client adds an endpoint and an operation to `refused` if the operation is not
        applicable there. Callers keep the set, because the service blocks users who ask
        repeatedly.
        """
        self._session = session
        self._endpoints = endpoints
        self._refused = refused
        self._access_key = access_key

    async def get_assets(self) -> tuple[Asset, ...]:
        """Return the assets that can be used for Model Studio, including expired ones.

        Assets of a kind that the service always refuses to list are left out. Raises the
        same errors as `openapi.call`, but such a refusal only if no kind can be read.
        """
        if not self._endpoints:
            raise AccountError("The account belongs to another site", code=OTHER_SITE)
        poll = Poll()
        endpoint = self._endpoints[0]
        assets: list[Asset] = []
        failed: list[ModelStudioError] = []
        has_read = False
        for operation in _OPERATIONS:
            if (endpoint, operation.action) in self._refused:
                continue
            try:
                rows = await self._list(poll, endpoint, operation)
            except (AccountError, PermissionDeniedError) as err:
                if err.code == OTHER_SITE:
                    self._refused.add((endpoint, operation.action))
                    continue
                if isinstance(err, AccountError) and not is_refused(err):
                    # It may pass, so the assets of this kind are not gone.
                    raise
                _LOGGER.debug("%s can't be read: %s", operation.action, err)
                failed.append(err)
            else:
                has_read = True
                parsed = map(operation.parse, rows)
                assets += [asset for asset in parsed if asset is not None]
        if failed and not has_read:
            raise failed[0]
        return tuple(assets)

    async def _list(
        self, poll: Poll, endpoint: str, operation: _Operation
    ) -> list[Mapping[str, Any]]:
        """Return the rows of all pages.

        A row that is listed again counts once: it moved to the next page between two
        requests. Stops after a page that is not full or has no new rows, so that a
        service that ignores the page number can't cause a loop.
        """
        rows: list[Mapping[str, Any]] = []
        listed: set[str] = set()
        for page in range(1, _MAX_PAGES + 1):
            query = dict(operation.query or {})
            if operation.is_paged:
                query |= {"PageNum": str(page), "PageSize": str(_PAGE_SIZE)}
            answer = await call(
                poll,
                self._session,
                self._access_key,
                method="POST",
                url=(URL(endpoint) / "").with_query(query),
                action=operation.action,
                version=VERSION,
            )
            found = rows_of(answer, operation.path)
            texts = [json.dumps(row, sort_keys=True) for row in found]
            new = [
                row
                for row, text in zip(found, texts, strict=True)
                if text not in listed
            ]
            rows += new
            listed.update(texts)
            if not operation.is_paged or not new or len(found) < _PAGE_SIZE:
                break
        return rows


def rows_of(answer: Mapping[str, Any], path: Iterable[str]) -> list[Mapping[str, Any]]:
    """Return the rows of a list in an answer's `Data`, empty if it is left out.

    Raises `InvalidAnswerError` if something else is in its place, or the whole answer is
    empty.
    """
    if not answer:
        raise InvalidAnswerError("The answer is empty")
    value: Any = answer
    for name in ("Data", *path):
        if value is None:
            return []
        if not isinstance(value, dict):
            raise InvalidAnswerError(f"The answer holds no {name}")
        value = value.get(name)
    if value is None:
        return []
    if not isinstance(value, list):
        raise InvalidAnswerError("The answer holds no list")
    return [row for row in value if isinstance(row, dict)]


def _searched(value: Any) -> str | None:
    """Return a text to search.

    It is not shown, so it can be longer than one of `text_of`.
    """
    return value[:_MAX_SEARCHED] if isinstance(value, str) else text_of(value)


def _is_for_model_studio(*texts: str | None) -> bool:
    """Return whether these texts name Model Studio or all products, or are empty.

    The service describes the products in words. A text that names Model Studio and also
    excludes products is ambiguous, so it doesn't count.
    """
    known = [text for text in texts if text and text.strip()]
    if not known:
        return True
    text = " ".join(known)
    if _MODEL_STUDIO.search(text):
        return not _EXCEPT.search(text)
    return any(map(_ALL_PRODUCTS.match, known))


def _is_for_usage(text: str | None) -> bool:
    """Return whether these scenarios name usage or are all scenarios, or are empty."""
    if not text or not text.strip():
        return True
    return bool(_USAGE.search(text) or _ALL_PRODUCTS.match(text))


def _is_active(row: Mapping[str, Any]) -> bool:
    """Return whether the status of a row is that of a usable asset, or is left out."""
    status = text_of(row.get("Status"))
    return status is None or status.casefold() in _ACTIVE


def _voucher(row: Mapping[str, Any], kind: AssetKind) -> Asset | None:
    """Return a coupon or a prepaid card."""
    if not _is_for_model_studio(
        _searched(row.get("ApplicableProducts"))
    ) or not _is_for_usage(_searched(row.get("ApplicableScenarios"))):
        return None
    return Asset(
        kind=kind,
        amount=amount_of(row.get("Balance")),
        unit=None,
        effective=moment_of(row.get("EffectiveTime")),
        expires=moment_of(row.get("ExpiryTime")),
        is_active=_is_active(row),
    )


def _savings_plan(row: Mapping[str, Any]) -> Asset | None:
    """Return a savings plan, None if its code is not one of Model Studio.

    Plans for other products, such as servers, don't name their products. The amount is
    what is left in the current cycle.
    """
    code = text_of(row.get("CommodityCode"))
    if not code or not _MODEL_STUDIO.search(code):
        return None
    return Asset(
        kind=AssetKind.SAVINGS_PLAN,
        amount=amount_of(row.get("RestPoolValue")),
        unit=currency_of(row.get("Currency")),
        effective=moment_of(row.get("StartTimestamp"))
        or moment_of(row.get("StartTime")),
        expires=moment_of(row.get("EndTimestamp")) or moment_of(row.get("EndTime")),
        is_active=_is_active(row),
    )


def _resource_package(row: Mapping[str, Any]) -> Asset | None:
    """Return a resource package, None if it is for other products."""
    products = mapping_of(row.get("ApplicableProducts")).get("Product")
    names = [_searched(name) for name in products] if isinstance(products, list) else []
    if not _is_for_model_studio(*names, text_of(row.get("CommodityCode"))):
        return None
    unit = text_of(row.get("RemainingAmountUnit")) or ""
    return Asset(
        kind=AssetKind.RESOURCE_PACKAGE,
        amount=amount_of(row.get("RemainingAmount")),
        unit=unit if 0 < len(unit) <= _MAX_UNIT_LENGTH else None,
        effective=moment_of(row.get("EffectiveTime")),
        expires=moment_of(row.get("ExpiryTime")),
        is_active=_is_active(row),
    )


_OPERATIONS = (
    _Operation(
        action="QueryCashCoupons",
        path=("CashCoupon",),
        parse=partial(_voucher, kind=AssetKind.COUPON),
    ),
    _Operation(
        action="QueryPrepaidCards",
        path=("PrepaidCard",),
        parse=partial(_voucher, kind=AssetKind.PREPAID_CARD),
    ),
    _Operation(
        action="QuerySavingsPlansInstance",
        path=("Items",),
        parse=_savings_plan,
        is_paged=True,
    ),
    _Operation(
        action="QueryResourcePackageInstances",
        path=("Instances", "Instance"),
        parse=_resource_package,
        query={"ProductCode": "sfm"},
        is_paged=True,
    ),
)
