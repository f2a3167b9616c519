#!/usr/bin/env bash
# Tests under slurm: slurm_test.sh PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]
# Variables: GPUS (4), GPUS_PER_NODE (4; 0 for CPUs), CPUS_PER_TASK (5), SRUN_ARGS.
set -euo pipefail
if [[ $# -lt 4 ]]; then
  echo 'error: give PARTITION JOB_NAME CONFIG CHECKPOINT [options of test.py]' >&2
  exit 2
fi
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
exec "$tools/_srun.sh" "$1" "$2" "$tools/test.py" "$3" "$4" --launcher slurm "${@:5}"
