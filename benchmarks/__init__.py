"""Benchmarks: each module prints a table of ratios measured in one run and writes it to benchmarks/results/."""
