"""Tests of the optional sources in a running Home Assistant."""
