"""The public API as a user types it: checked by mypy and pyright, never run."""
