"""Starting and joining several processes: torchrun, slurm, MPI."""

LAUNCHERS = ('none', 'pytorch', 'slurm', 'mpi')
