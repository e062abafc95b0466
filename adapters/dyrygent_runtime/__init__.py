"""What all adapters share: the conductor, the sweep, the run handle and the journals."""
