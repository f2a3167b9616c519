"""Parameter groups, learning rate schedules and mixed precision on a CPU."""
