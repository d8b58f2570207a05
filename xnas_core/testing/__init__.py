"""Public test kit: builders, fakes and conformance suites."""
