"""Tests of the AccessKey in the flows."""
