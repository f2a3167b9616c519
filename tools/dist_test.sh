#!/usr/bin/env bash
# Tests on several GPUs: dist_test.sh CONFIG CHECKPOINT GPUS [options of test.py]
# Without a GPU, GPUS is the number of processes. Several machines: run it on each with NNODES,
# NODE_RANK, MASTER_ADDR and PORT set.
set -euo pipefail
if [[ $# -lt 3 ]]; then
  echo 'error: give CONFIG CHECKPOINT GPUS [options of test.py]' >&2
  exit 2
fi
tools=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
export PYTHONPATH="$tools/..${PYTHONPATH:+:$PYTHONPATH}"
exec "${PYTHON:-python}" -m openseg_plugin.cli.launch "$3" "$tools/test.py" "$1" "$2" --launcher pytorch "${@:4}"
