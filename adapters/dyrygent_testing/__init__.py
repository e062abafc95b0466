"""The public testing toolkit: strategies, a model, simulation and conformance suites."""
