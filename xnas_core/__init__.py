"""The pure domain of XNAS: resource models, search spaces, engine, journal, dispatch, report."""

__version__ = "0.1.0"
