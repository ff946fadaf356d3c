"""What was measured, and with which command: see docs/benchmarks.md."""
