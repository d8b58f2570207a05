"""The worker: one process for each slot. It carries out attempts, one after the other, and may die of them."""
