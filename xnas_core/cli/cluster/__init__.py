"""Searches on a cluster from the command line. `kubernetes` is imported here and nowhere else in xnas_core."""
