#!/usr/bin/env bash
# Builds the documentation into docs/_build/html; a warning is an error.
# Arguments go to sphinx-build: bash docs/build.sh -b linkcheck
set -eo pipefail
cd "$(dirname "$0")/.."
source tools/_env.sh
ensure_env dev

# nothing is computed, and the API pages import everything once: no thread needs company
export OMP_NUM_THREADS=1
"$PYTHON" -m sphinx -W --keep-going -b html "$@" docs docs/_build/html
echo "docs/_build/html/index.html"
