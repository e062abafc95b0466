"""Dyrygent in this process: workflows of plain Python functions in threads."""

from local_dyrygent.adapter import LocalAdapter

__all__ = ["LocalAdapter"]
