#!/usr/bin/env bash
# Trains under slurm: slurm_train.sh PARTITION JOB_NAME CONFIG [options of train.py]
# Variables: GPUS (4), GPUS_PER_NODE (4; 0 for CPUs), CPUS_PER_TASK (5), SRUN_ARGS. For preempted
# jobs add --resume: SIGTERM saves at the end of the iteration, and the next start goes on from there.
set -euo pipefail
if [[ $# -lt 3 ]]; then
  echo 'error: give PARTITION JOB_NAME CONFIG [options of train.py]' >&2
  exit 2
fi
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
exec "$tools/_srun.sh" "$1" "$2" "$tools/train.py" "$3" --launcher slurm "${@:4}"
