#!/usr/bin/env bash
# Lint, types and the quick tests; all tests with --slow. Needs only Python 3.10 and pip: the first
# run makes .venv (tools/_env.sh).
# Arguments go to pytest: bash tests/run.sh --slow, bash tests/run.sh tests/layers -k attention
set -eo pipefail
cd "$(dirname "$0")/.."
source tools/_env.sh
ensure_env dev

"$PYTHON" -m ruff check .
"$PYTHON" -m ruff format --check .
"$PYTHON" -m mypy
# one thread per worker: torch's own threads would fight over the same cores
export OMP_NUM_THREADS=1
exec "$PYTHON" -m pytest -n "${PYTEST_WORKERS:-2}" --dist worksteal "$@"
