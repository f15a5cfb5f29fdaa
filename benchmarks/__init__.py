"""Benchmarks: `make bench`, or `python -m benchmarks NAME`; ratios are measured in one run."""
