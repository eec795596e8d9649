"""Tests of the integration in a complete Home Assistant, and tools to run one."""
