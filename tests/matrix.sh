#!/usr/bin/env bash
# Runs the tests in one environment per supported set of versions and prints a table.
#
#   bash tests/matrix.sh [ROW...] [-- PYTEST ARGUMENTS]     see: bash tests/matrix.sh --help
set -eo pipefail
source "$(dirname "$0")/../tools/_env.sh"
base=$(_find_base_python)
exec "$base" "$PROJECT/tests/matrix.py" "$@"
