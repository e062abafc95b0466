"""Workflows of format 1 as they were written down, with what was emitted at each position: kept for ever."""
