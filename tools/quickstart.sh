#!/usr/bin/env bash
# From nothing to a trained, tested and drawn segmentor: bash tools/quickstart.sh
# Draws street scenes, converts them as one converts Cityscapes, trains a small HRNet + OCR, tests it
# on scenes it has not seen (single scale and multi-scale) and draws what it got right and wrong.
# Run again, it reuses what is there, or goes on where it was stopped.
#
#   QUICKSTART_DIR=DIR   where everything goes (default: work_dirs/quickstart in the project)
#   VENV, BASE_PYTHON, OPENSEG_PYTHON   the Python environment, see tools/_env.sh
set -eo pipefail
cd "$(dirname "$0")/.."
source tools/_env.sh
ensure_env

WORK=${QUICKSTART_DIR:-$PROJECT/work_dirs/quickstart}
CONFIG=configs/ocr/hrnet18_synth_quickstart.py
TRAIN_SCENES=120
VAL_SCENES=24
export DATA_ROOT=$WORK/data
# threads that wait sleep: on a machine that does something else too, spinning costs a factor of ten
export OMP_WAIT_POLICY=${OMP_WAIT_POLICY:-passive}
mkdir -p "$WORK/logs" || _fail "$WORK cannot be made: name another folder in QUICKSTART_DIR"

openseg() {
  "$PYTHON" -m openseg_plugin "$@"
}

step() {
  printf '\n[%d:%02d] %s\n' $((SECONDS / 60)) $((SECONDS % 60)) "$*"
}

# Runs a command whose whole output goes to a log; shows the lines that match, and what went wrong.
logged() {
  local log=$WORK/logs/$1.log shown=$2 status=0
  shift 2
  "$@" 2>&1 | tee "$log" | sed -n -u -E "s/^[0-9/]+ [0-9:]+ - mmengine - [A-Z]+ - //; /$shown/p" ||
    status=$?
  if ((status)); then
    # the tools' own sentence has been shown already, unless something unforeseen happened
    grep -q '^error: ' "$log" || tail -n 15 "$log" >&2
    echo "stopped; the whole output is in $log. Run again to go on from here." >&2
    exit "$status"
  fi
}

step "Drawing $TRAIN_SCENES + $VAL_SCENES street scenes in the layout of Cityscapes"
openseg synth "$WORK/raw" --train $TRAIN_SCENES --val $VAL_SCENES --seed 0

step "Converting them"
openseg convert-dataset cityscapes "$WORK/raw" "$DATA_ROOT/synth"

ITERATIONS=$(sed -n 's|^iterations = ||p' configs/_base_/schedules/adamw_quickstart.py)
CHECKPOINT=$WORK/iter_$ITERATIONS.pth
SETTING=$(cat $CONFIG $(find configs/_base_ -name '*.py' | sort) | cksum)
if [[ -f $WORK/setting && $(<"$WORK/setting") != "$SETTING" ]]; then
  step "The config is another one than last time: training anew; what was made is in $WORK/before"
  mkdir -p "$WORK/before"
  rm -rf "${WORK:?}/before/"*
  for path in "$WORK"/{last_checkpoint,test,test_aug,predictions,images,report*,comparison,iter_*.pth}; do
    [[ ! -e $path ]] || mv "$path" "$WORK/before/"
  done
fi
echo "$SETTING" >"$WORK/setting"
if [[ -f $CHECKPOINT ]]; then
  step "Trained already: $CHECKPOINT"
else
  step "Training a small HRNet + OCR for $ITERATIONS iterations"
  # without AMX bfloat16 is no faster for so small a network
  AMP=
  grep -qsw amx_bf16 /proc/cpuinfo && AMP=--amp
  logged train '^iteration |^validation |^trained |^error: |^--resume|^start ' \
    openseg train $CONFIG --work-dir "$WORK" --resume --cache ram $AMP
fi

# complete OPTIONS...: whether every folder among the options holds an image per scene
complete() {
  local word
  for word; do
    [[ $word == --* ]] ||
      (($(find "$word" -name '*.png' -o -name '*.jpg' 2>/dev/null | wc -l) >= VAL_SCENES)) ||
      return 1
  done
}

# test_once NAME TITLE OPTIONS...: unless metrics newer than the checkpoint and all images are there
test_once() {
  local name=$1 title=$2
  shift 2
  if [[ $WORK/$name/metrics.json -nt $CHECKPOINT ]] && complete "$@"; then
    step "Tested already: $title"
    return
  fi
  step "Testing: $title"
  logged "$name" '^tested |mIoU|^error: ' \
    openseg test $CONFIG "$CHECKPOINT" --work-dir "$WORK" "$@"
}
test_once test "single scale" --out "$WORK/predictions" --show-dir "$WORK/images" \
  --report "$WORK/report"
test_once test_aug "multi-scale, flipped" --aug-test --report "$WORK/report_multi_scale"

step "On $VAL_SCENES scenes that it has not seen"
openseg report "$WORK/report"
openseg report "$WORK/report" "$WORK/report_multi_scale" --names "single scale" "multi-scale" \
  --out "$WORK/comparison"
cat <<END

checkpoint  $CHECKPOINT
all scenes  $WORK/images

Next, with your own data or the real Cityscapes (its folder or its zips):
  $PYTHON -m openseg_plugin convert-dataset cityscapes RAW data/cityscapes
  $PYTHON -m openseg_plugin train configs/ocr/hrnet18_cityscapes_80k.py

Open the report in a browser:
  $WORK/report/index.html
END
