"""Tests of the client library, which is independent of Home Assistant."""
