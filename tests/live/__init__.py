"""Tests of the integration in a whole Home Assistant, and what runs one."""
