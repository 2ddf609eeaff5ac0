"""Benchmarks: ours and theirs in turn, in one run, since the machine's speed drifts. `make bench [ONLY=NAME]`."""
