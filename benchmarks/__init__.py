"""The bench: workloads of real processes, measured and checked. ``python -m benchmarks``; see README.md."""
