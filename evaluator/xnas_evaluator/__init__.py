"""The evaluator: agent, workers, training, metrics, explanations."""
