"""Starting and joining several processes: torchrun, slurm, MPI."""
