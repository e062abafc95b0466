"""Tests of the journals: the suite on each of them, and what is each one's own."""
