#!/bin/bash
# The strong models and the studies on one GPU, in steps of at most ten minutes that go on where they were.
#
#   DATA=market WEIGHTS=folder OUT=runs benchmarks/gpu.sh STEP
#
# STEP: setup    a virtual environment over the machine's torch, with the wheels of the folder WHEELS where pip is offline
#       strong   ResNet-50 at 256×128, then
#       student  a ResNet-18 that it teaches, then
#       losses, sigma, alpha, noise     the studies of docs/RESULTS.md
#       collect  each finished run in pieces of 15 MiB under $OUT/collected (python -m benchmarks.pieces join)
#       all      everything in this order, as far as ten minutes go
#
# DATA is the unpacked data set, WEIGHTS holds resnet{50,18}_imagenet.safetensors[.xz]. Exit code 0: done;
# 75: not done, run it again. Python 3.12, torch 2.11, torchvision and onnx are all that the machine must have; `setup`
# installs the rest, with onnxruntime, which every verb imports, and onnxscript, by which torch exports.
set -euo pipefail

STEP=${1:?give a step: setup, strong, student, losses, sigma, alpha, noise, collect or all}
LIMIT=${LIMIT:-570} # seconds
DEVICE=${DEVICE:-cuda}
: "${OUT:?give a folder for runs as OUT}"
AGAIN=75
STARTED=$SECONDS
cd "$(dirname "$0")/.."
mkdir -p "$OUT"
export REID_PICTURE_CACHE=${REID_PICTURE_CACHE:-$OUT/pictures}

python() { # the one that PYTHON names, or that of `setup`, or the machine's
    local own=$OUT/venv/bin/python
    [ -x "$own" ] || own=python3
    echo "${PYTHON:-$own}"
}

reid() { # within what is left of the limit; a run that is cut off has its checkpoint
    local left=$((LIMIT - (SECONDS - STARTED))) code=0
    [ "$left" -gt 5 ] || exit $AGAIN
    timeout --signal=INT --kill-after=20 "$left" "$(python)" -m app.cli "$@" || code=$?
    if [ "$code" -eq 124 ] || [ "$code" -eq 137 ]; then exit $AGAIN; fi
    return $code
}

weights() {
    local found
    found=$(ls "${WEIGHTS:?give the folder of ImageNet weights as WEIGHTS}"/"$1"_imagenet.* | head -n 1)
    echo "$found"
}

training() { # NAME RECIPE BACKBONE [more options]
    local name=$1 recipe=$2 backbone=$3
    shift 3
    [ -e "$OUT/$name/report.html" ] && return
    reid train --data "${DATA:?give the data set as DATA}" --recipe "$recipe" --weights "$(weights "$backbone")" \
        --out "$OUT/$name" --device "$DEVICE" "$@"
}

run_step() {
    case $1 in
    setup)
        python3 -m venv --system-site-packages "$OUT/venv"
        "$OUT/venv/bin/pip" install --quiet ${WHEELS:+--no-index --find-links "$WHEELS"} \
            pydantic pydantic-settings pillow safetensors scikit-learn scipy h5py jinja2 matplotlib \
            pytorch-metric-learning tensorboard typer rich onnxruntime onnxscript
        "$OUT/venv/bin/python" -m app.cli train --help >/dev/null # what is missing shows before a paid step
        ;;
    strong) training strong "${STRONG:-strong}" resnet50 ;;
    student) training student "${STUDENT:-student}" resnet18 --teacher "$OUT/strong" ;;
    losses | sigma | alpha | noise)
        reid study "$1" --data "${DATA:?give the data set as DATA}" --weights "$(weights resnet18)" \
            --out "$OUT/study-$1" --device "$DEVICE"
        ;;
    collect)
        for run in strong student; do
            [ -e "$OUT/$run/report.html" ] || continue
            "$(python)" -m benchmarks.pieces split "$OUT/$run" "$OUT/collected/$run"
            cp "$OUT/$run/report.html" "$OUT/$run/history.jsonl" "$OUT/collected/$run/"
        done
        for study in "$OUT"/study-*; do
            [ -e "$study/study.html" ] || continue
            mkdir -p "$OUT/collected/$(basename "$study")"
            cp "$study/study.html" "$study/results.jsonl" "$OUT/collected/$(basename "$study")/"
        done
        ;;
    *)
        echo "no step $1; give setup, strong, student, losses, sigma, alpha, noise, collect or all" >&2
        exit 2
        ;;
    esac
}

if [ "$STEP" = all ]; then
    [ -x "$OUT/venv/bin/python" ] || run_step setup
    for step in strong student losses sigma alpha noise collect; do run_step "$step"; done
else
    run_step "$STEP"
fi
