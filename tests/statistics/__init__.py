"""Tests of past spend in the long-term statistics."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.common")
