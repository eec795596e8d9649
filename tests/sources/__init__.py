"""Tests of the optional sources in a running Home Assistant."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.common")
