"""The benchmarks measure what they say: the walks, not the times."""
