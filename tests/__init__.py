"""Example tests; the folders mirror the packages."""
