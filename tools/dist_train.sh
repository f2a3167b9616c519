#!/usr/bin/env bash
# Trains on several GPUs: dist_train.sh CONFIG GPUS [options of train.py]
# Without a GPU, GPUS is the number of processes. Several machines: run it on each with NNODES,
# NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
if [[ $# -lt 2 ]]; then
  echo 'error: give CONFIG GPUS [options of train.py]' >&2
  exit 2
fi
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" -m openseg_plugin.cli.launch "$2" "$tools/train.py" "$1" --launcher pytorch "${@:3}"
