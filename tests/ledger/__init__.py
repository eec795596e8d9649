"""Tests of the rules, which know neither Home Assistant nor a clock."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.tables")
