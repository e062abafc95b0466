"""A user's workflow, tried in many simulations that Hypothesis draws, and the smallest one that breaks a promise."""

from dyrygent_testing.checking.check import check_workflow

__all__ = ["check_workflow"]
