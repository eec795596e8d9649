"""Fixtures for the tests of the ledger."""

import pytest

from custom_components.alibaba_cloud.ledger.estimate import _of_today, _total
from custom_components.alibaba_cloud.ledger.merge import (
    _by_model,
    _of_other_models,
    _with_figures,
)


@pytest.fixture(autouse=True)
def nothing_is_cached() -> None:
    """Let no test see what another one has worked out."""
    for cached in (_of_today, _total, _by_model, _of_other_models, _with_figures):
        cached.cache_clear()
