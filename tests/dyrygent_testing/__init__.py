"""Tests of the public testing toolkit."""
