"""Search spaces: genes to networks as data."""
