"""Hooks: checkpoints, signals, invalid losses, images of predictions."""
