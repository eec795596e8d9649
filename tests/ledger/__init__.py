"""Tests of the rules, which know neither Home Assistant nor a clock."""
