"""Training: the step, the trainer, data."""
