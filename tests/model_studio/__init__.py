"""Tests of the client library, which knows nothing of Home Assistant."""
