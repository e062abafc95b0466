"""Property tests and fault simulation; they use only the public toolkit, as a user would."""
