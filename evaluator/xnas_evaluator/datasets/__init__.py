"""Data sets: decoded once, cached as uint8 with a digest, split by seed. No torch in this package."""
