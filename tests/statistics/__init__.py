"""Tests of past spend in the long-term statistics."""
