"""The engine: events in, instructions out."""
