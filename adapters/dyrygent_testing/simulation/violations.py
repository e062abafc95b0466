"""The form in which the checks say what was wrong."""

from __future__ import annotations

from attrs import frozen

__all__ = ["Violation"]


@frozen(order=True)
class Violation:
    """One thing that must not be, and the number of what forbids it."""

    number: str
    text: str

    def __str__(self) -> str:
        return f"{self.number}: {self.text}"
