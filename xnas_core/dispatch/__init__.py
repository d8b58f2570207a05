"""The server side of the evaluator stream."""
