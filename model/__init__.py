"""Batches, layers, losses, the trainer, one file per model family."""
