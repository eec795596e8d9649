"""Tests of the AccessKey in the flows."""

import pytest

pytest.register_assert_rewrite(f"{__name__}.common")
