"""Example tests of the core: one module for each of its modules."""
