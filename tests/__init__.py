"""Tests of the Alibaba Cloud integration."""
