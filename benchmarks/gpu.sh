#!/bin/bash
# The strong models and the studies on one GPU, in steps of at most ten minutes that go on where they were.
#
#   DATA=market WEIGHTS=folder OUT=runs benchmarks/gpu.sh STEP
#
# STEP, in the order of worth, each by itself and to be run again until its exit code is 0:
#
#       setup    a virtual environment over the machine's torch; where pip is offline, from the folder WHEELS
#       strong   ResNet-50 at 256×128: one training of 120 epochs, by far the longest
#       strong-export    its version, with figures on the test split: no training and no GPU; begun again where cut off
#       student  a ResNet-18 that it teaches: one training of 120 epochs
#       student-export   as above
#       losses   the studies of docs/RESULTS.md, three short epochs a training: 18 trainings
#       sigma    24 trainings
#       alpha    24 trainings
#       noise    72 trainings
#       collect  what is done so far, under $OUT/collected: reports, cards, figures, and each run in pieces of 15 MiB
#                (python -m benchmarks.pieces join); every other step ends with it, also where it is cut off
#       all      everything in this order, as far as ten minutes go
#
# The exports can as well be made from the pieces on another machine. A training that is cut off goes on from its
# checkpoint of the last minute, a study from its first cell that is not done.
#
# DATA is the unpacked data set, WEIGHTS holds resnet{50,18}_imagenet.safetensors[.xz]. Exit code 0: done;
# 75: not done, run it again. Python 3.12, torch 2.11, torchvision and onnx are all that the machine must have; `setup`
# installs the rest, with onnxruntime, which every verb imports, and onnxscript, by which torch exports.
set -euo pipefail

STEPS=(strong strong-export student student-export losses sigma alpha noise)
STEP=${1:?give a step: setup, ${STEPS[*]}, collect or all}
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

exported() { # NAME
    [ -e "$OUT/$1-export/card.json" ] && return
    [ -e "$OUT/$1/report.html" ] || { echo "expected a finished run in $OUT/$1: run the step $1 first" >&2 && exit 2; }
    reid export --data "${DATA:?give the data set as DATA}" --run "$OUT/$1" --out "$OUT/$1-export"
}

collect() {
    local run study
    for run in strong student; do
        [ -e "$OUT/$run/report.html" ] || continue
        mkdir -p "$OUT/collected/$run"
        [ "$OUT/collected/$run/pieces.json" -nt "$OUT/$run/report.html" ] ||
            "$(python)" -m benchmarks.pieces split "$OUT/$run" "$OUT/collected/$run"
        cp "$OUT/$run/report.html" "$OUT/$run/history.jsonl" "$OUT/collected/$run/"
        if [ -e "$OUT/$run-export/card.json" ]; then cp "$OUT/$run-export/card.json" "$OUT/collected/$run/"; fi
    done
    for study in "$OUT"/study-*; do
        [ -e "$study/study.html" ] || continue
        mkdir -p "$OUT/collected/$(basename "$study")"
        cp "$study/study.html" "$study/results.jsonl" "$OUT/collected/$(basename "$study")/"
    done
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
    *-export) exported "${1%-export}" ;;
    strong) training strong "${STRONG:-strong}" resnet50 ;;
    student) training student "${STUDENT:-student}" resnet18 --teacher "$OUT/strong" ;;
    losses | sigma | alpha | noise)
        reid study "$1" --data "${DATA:?give the data set as DATA}" --weights "$(weights resnet18)" \
            --out "$OUT/study-$1" --device "$DEVICE"
        ;;
    collect) ;; # as every step at its end
    *)
        echo "no step $1; give setup, ${STEPS[*]}, collect or all" >&2
        exit 2
        ;;
    esac
}

trap collect EXIT
if [ "$STEP" = all ]; then
    [ -x "$OUT/venv/bin/python" ] || run_step setup
    for step in "${STEPS[@]}"; do run_step "$step"; done
else
    run_step "$STEP"
fi
