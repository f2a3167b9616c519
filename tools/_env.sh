# Sourced by tests/run.sh, tests/matrix.sh, docs/build.sh and tools/quickstart.sh:
#   source tools/_env.sh; ensure_env [dev]
# makes the project's own Python environment on the first run, reuses it afterwards, sets PYTHON.
# "dev" adds what lint, tests and documentation need (requirements-dev.txt).
#
#   VENV=DIR               where it lies (default: .venv in the project)
#   BASE_PYTHON=python     the Python to make it from (default: the first that is 3.10 or newer)
#   OPENSEG_PYTHON=python  use this Python as it is and install nothing

PROJECT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

_fail() {
  echo "error: $*" >&2
  exit 2
}

_find_base_python() {
  local candidate
  for candidate in ${BASE_PYTHON:-python3 python3.13 python3.12 python3.11 python3.10}; do
    if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  candidate=${BASE_PYTHON:-python3}
  _fail "Python 3.10 or newer is needed, but $candidate is" \
    "$("$candidate" -V 2>/dev/null || echo missing): install one, or name it in BASE_PYTHON"
}

# The torch >= 2.1 that Python $1 has, as "VERSION FOLDER"; FOLDER only if it is a virtual
# environment's, which venv --system-site-packages does not see. Nothing if there is none.
_installed_torch() {
  "$1" - <<'PY'
import importlib.metadata as metadata, re, sys
try:
    torch = metadata.distribution('torch')
except metadata.PackageNotFoundError:
    sys.exit()
if tuple(map(int, re.findall(r'\d+', torch.version)[:2])) >= (2, 1):
    print(torch.version, '' if sys.prefix == sys.base_prefix else torch.locate_file(''))
PY
}

_site_packages() {
  "$1" -c 'import sysconfig; print(sysconfig.get_paths()["purelib"])'
}

# An empty environment in $2 made from Python $1; the rest are options of venv.
_make_venv() {
  local base=$1 venv=$2
  shift 2
  if "$base" -c 'import ensurepip' 2>/dev/null && "$base" -m venv --clear "$@" "$venv"; then
    return
  fi
  # Debian splits ensurepip off; the pip that is there can bring another one in
  "$base" -c 'import pip, venv' 2>/dev/null ||
    _fail "$base has neither ensurepip nor pip: install pip (on Debian: apt install python3-venv)"
  "$base" -m venv --clear --without-pip "$@" "$venv"
  "$base" -m pip install -q --target "$(_site_packages "$venv/bin/python")" pip
}

# Writes requirements.txt and requirements-headless.txt into folder $2, as they fit Python $1 that
# already has torch $3 ('' for none).
_write_requirements() {
  local python=$1 folder=$2 torch=$3 name edit=()
  [[ -n $torch ]] && edit+=(-e '/^torch\(==.*\)\?$/d')
  # torch 2.1 and 2.2 were built for numpy 1, newer OpenCV for numpy 2
  [[ $torch =~ ^2\.[12]\. ]] &&
    edit+=(-e 's/^numpy==[^;]*/numpy==1.26.4/' -e 's/^\(opencv-python[-a-z]*\)==[^ ]*/\1==4.11.0.86/')
  "$python" -c 'import mmcv._ext' 2>/dev/null && edit+=(-e '/^mmcv-lite==/d')
  for name in requirements.txt requirements-headless.txt; do
    sed -e '/^#/d' "${edit[@]}" "$PROJECT/$name" >"$folder/$name"
  done
}

_has_headless_opencv() {
  "$1" -c 'from importlib.metadata import version; version("opencv-python-headless")' 2>/dev/null
}

_install() {
  local venv=$1 torch=$2 quiet=() without_deps version
  [[ -t 1 ]] || quiet=(-q)
  local pip=("$venv/bin/python" -m pip --disable-pip-version-check install "${quiet[@]}")
  _write_requirements "$venv/bin/python" "$venv" "$torch"
  if _has_headless_opencv "$venv/bin/python"; then
    "${pip[@]}" -r "$venv/requirements-headless.txt" || return
    mapfile -t without_deps < <(grep -E '^(mmengine|mmcv-lite)==' "$venv/requirements.txt")
    "${pip[@]}" --no-deps "${without_deps[@]}" || return
  else
    "${pip[@]}" -r "$venv/requirements.txt" || return
    if ! "$venv/bin/python" -c 'import cv2' 2>/dev/null; then
      echo "OpenCV finds no display library here: taking its headless build"
      version=$(sed -n 's/^opencv-python==\([^ ]*\).*/\1/p' "$venv/requirements.txt")
      "$venv/bin/python" -m pip uninstall -q -y opencv-python || return
      "${pip[@]}" --no-deps --force-reinstall "opencv-python-headless==$version" || return
    fi
  fi
  "${pip[@]}" --no-deps --no-build-isolation -e "$PROJECT"
}

# What lint, tests and documentation need, once per requirements-dev.txt.
_install_dev() {
  local venv=$1 quiet=() wanted
  wanted=$(cksum <"$PROJECT/requirements-dev.txt")
  [[ $(cat "$venv/complete-dev" 2>/dev/null) == "$wanted" ]] && return
  [[ -t 1 ]] || quiet=(-q)
  local pip=("$venv/bin/python" -m pip --disable-pip-version-check install "${quiet[@]}")
  local alone='^(timm|torchvision)==' without_deps
  grep -vE "$alone" "$PROJECT/requirements-dev.txt" >"$venv/requirements-dev.txt"
  mapfile -t without_deps < <(grep -E "$alone" "$PROJECT/requirements-dev.txt")
  "${pip[@]}" -r "$venv/requirements-dev.txt" || return
  "${pip[@]}" --no-deps "${without_deps[@]}" || return
  echo "$wanted" >"$venv/complete-dev"
}

ensure_env() {
  if [[ -n ${OPENSEG_PYTHON:-} ]]; then
    PYTHON=$(command -v "$OPENSEG_PYTHON") || _fail "OPENSEG_PYTHON=$OPENSEG_PYTHON does not exist"
    export PYTHONPATH="$PROJECT${PYTHONPATH:+:$PYTHONPATH}"
    return
  fi
  local venv=${VENV:-$PROJECT/.venv} hint
  hint="see above; without a network, install requirements.txt${1:+ and requirements-dev.txt}"
  hint+=" yourself and run again with OPENSEG_PYTHON=python3"
  PYTHON=$venv/bin/python
  _ensure_venv "$venv" || _fail "packages could not be installed, $hint"
  [[ ${1:-} != dev ]] || _install_dev "$venv" || _fail "packages could not be installed, $hint"
}

# The environment in $1 with the run-time packages, made where it is not there yet.
_ensure_venv() {
  local venv=$1 base torch folder options=() wanted
  wanted=$(cat "$PROJECT"/{requirements.txt,requirements-headless.txt,setup.cfg,setup.py,tools/_env.sh} | cksum)
  # the environment stays as it was made, whatever Python is active on later runs
  if [[ $(cat "$venv/complete" 2>/dev/null) == "$wanted" ]] && "$PYTHON" -c '' 2>/dev/null; then
    return
  fi
  base=$(_find_base_python) || exit
  read -r torch folder < <(_installed_torch "$base") || true
  echo "Making $venv from $("$base" -V)${torch:+ with its torch $torch}; this happens once"
  [[ -n $torch && -z $folder ]] && options=(--system-site-packages)
  _make_venv "$base" "$venv" "${options[@]}" || _fail "$venv could not be made, see above"
  if [[ -n $folder ]]; then
    echo "$folder" >"$(_site_packages "$PYTHON")/torch_of_the_active_environment.pth"
  fi
  _install "$venv" "$torch" || return
  echo "$wanted" >"$venv/complete"
}
