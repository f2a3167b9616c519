#!/usr/bin/env bash
# What slurm_train.sh and slurm_test.sh have in common: _srun.sh PARTITION JOB_NAME SCRIPT [...]
set -euo pipefail
gpus=${GPUS:-4}
per_node=${GPUS_PER_NODE:-4}
options=(--partition="$1" --job-name="$2" --ntasks="$gpus" --cpus-per-task="${CPUS_PER_TASK:-5}")
options+=(--kill-on-bad-exit=1)
if [[ $per_node -gt 0 ]]; then
  if [[ $gpus -lt $per_node ]]; then per_node=$gpus; fi
  options+=(--gres=gpu:"$per_node" --ntasks-per-node="$per_node")
fi
# SRUN_ARGS is a list of words
# shellcheck disable=SC2086
exec srun "${options[@]}" ${SRUN_ARGS:-} "${PYTHON:-python}" -u "${@:3}"
