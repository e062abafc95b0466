"""The script in `examples/`, and the modules beside it."""
