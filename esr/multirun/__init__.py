"""Several evaluations from one command: sweeps, resume, Slurm."""
