"""Experiments: does the search find explainable networks, and is what they explain worth something?

`python -m benchmarks.experiments` runs them; see docs/benchmarks.md. Every candidate is trained from a seed of its own
and kept, so all searches, arms and sittings share what was trained once.
"""
