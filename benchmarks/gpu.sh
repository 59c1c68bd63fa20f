#!/bin/bash
# The strong models and the studies on one GPU, in steps of at most ten minutes that go on where they were.
#
#   DATA=market WEIGHTS=folder RUNS=runs benchmarks/gpu.sh STEP
#
# STEP, in the order of worth, each by itself and to be run again until its exit code is 0:
#
#       setup    what the Python in use lacks, by its pip; where that is offline, from the folder WHEELS
#       strong   ResNet-50 at 256×128: one training of 120 epochs, by far the longest
#       student  a ResNet-18 that it teaches: one training of 120 epochs
#       losses   the studies of docs/RESULTS.md, three short epochs a training: 18 trainings
#       sigma    24 trainings
#       alpha    24 trainings
#       noise    72 trainings
#       strong-export    its version, with figures on the test split: no training and no GPU; begun again where cut off
#       student-export   as above
#       collect  what is done so far, under $RUNS/collected: reports, cards, figures, and each run in pieces of 15 MiB
#                (python -m benchmarks.pieces join), also one that is not finished, to be exported as it is; every other
#                step ends with it, also where it is cut off
#       all      everything in this order, as far as ten minutes go; a step that fails does not keep the next ones back
#
# The exports can as well be made from the pieces on another machine. A training that is cut off goes on from its
# checkpoint of the last minute, a study from its first cell that is not done.
#
# DATA is the unpacked data set, of which training needs bounding_box_train alone; WEIGHTS holds
# resnet{50,18}_imagenet.safetensors[.xz]; RUNS must outlast the steps. Exit code 0: done; 75: not done, run it again.
# Python 3.12, torch 2.11, torchvision and onnx are all that the machine must have; the Python is the `python3` of the
# environment that is active, or the one that PYTHON names.
set -euo pipefail

STEPS=(strong student losses sigma alpha noise strong-export student-export)
STEP=${1:?give a step: setup, ${STEPS[*]}, collect or all}
LIMIT=${LIMIT:-570} # seconds
DEVICE=${DEVICE:-cuda}
: "${RUNS:?give a folder for runs as RUNS}"
PYTHON=${PYTHON:-python3}
AGAIN=75
STARTED=$SECONDS
cd "$(dirname "$0")/.."
mkdir -p "$RUNS"
export REID_PICTURE_CACHE=${REID_PICTURE_CACHE:-$RUNS/pictures}

whole() { # whether nothing is lacking
    "$PYTHON" -c 'import h5py, jinja2, matplotlib, onnx, onnxruntime, onnxscript, PIL, pydantic_settings, rich, scipy
import pytorch_metric_learning, safetensors, sklearn, tensorboard, torchvision, typer' 2>/dev/null
}

reid() { # within what is left of the limit; a run that is cut off has its checkpoint
    local left=$((LIMIT - (SECONDS - STARTED))) code=0
    [ "$left" -gt 5 ] || exit $AGAIN
    timeout --signal=INT --kill-after=20 "$left" "$PYTHON" -m app.cli "$@" || code=$?
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
    [ -e "$RUNS/$name/report.html" ] && return
    reid train --data "${DATA:?give the data set as DATA}" --recipe "$recipe" --weights "$(weights "$backbone")" \
        --out "$RUNS/$name" --device "$DEVICE" "$@"
}

exported() { # NAME
    [ -e "$RUNS/$1-export/card.json" ] && return
    [ -e "$RUNS/$1/report.html" ] || { echo "expected a finished run in $RUNS/$1: run the step $1 first" >&2 && exit 2; }
    reid export --data "${DATA:?give the data set as DATA}" --run "$RUNS/$1" --out "$RUNS/$1-export"
}

collect() {
    local run study
    for run in strong student; do
        [ -e "$RUNS/$run/checkpoint.pt" ] || continue
        mkdir -p "$RUNS/collected/$run"
        [ "$RUNS/collected/$run/pieces.json" -nt "$RUNS/$run/checkpoint.pt" ] ||
            "$PYTHON" -m benchmarks.pieces split "$RUNS/$run" "$RUNS/collected/$run"
        copy "$RUNS/collected/$run" "$RUNS/$run/report.html" "$RUNS/$run/history.jsonl" "$RUNS/$run-export/card.json"
    done
    for study in "$RUNS"/study-*; do
        [ -d "$study" ] || continue
        mkdir -p "$RUNS/collected/$(basename "$study")"
        copy "$RUNS/collected/$(basename "$study")" "$study/study.html" "$study/results.jsonl"
    done
}

copy() { # FOLDER FILE… of those that are there
    local file
    for file in "${@:2}"; do
        if [ -e "$file" ]; then cp "$file" "$1/"; fi
    done
}

run_step() {
    case $1 in
    setup)
        whole || "$PYTHON" -m pip install --quiet ${WHEELS:+--no-index --find-links "$WHEELS"} \
            pydantic pydantic-settings pillow safetensors scikit-learn scipy h5py jinja2 matplotlib \
            pytorch-metric-learning tensorboard typer rich onnxruntime onnxscript
        "$PYTHON" -m app.cli train --help >/dev/null # what is missing shows before a paid step
        ;;
    *-export) exported "${1%-export}" ;;
    strong) training strong "${STRONG:-strong}" resnet50 ;;
    student) training student "${STUDENT:-student}" resnet18 --teacher "$RUNS/strong" ;;
    losses | sigma | alpha | noise)
        reid study "$1" --data "${DATA:?give the data set as DATA}" --weights "$(weights resnet18)" \
            --out "$RUNS/study-$1" --device "$DEVICE"
        ;;
    collect) ;; # as every step at its end
    *)
        echo "no step $1; give setup, ${STEPS[*]}, collect or all" >&2
        exit 2
        ;;
    esac
}

if [ "$STEP" = all ]; then
    failed=()
    for step in setup "${STEPS[@]}"; do
        code=0
        LIMIT=$((LIMIT - (SECONDS - STARTED))) bash benchmarks/gpu.sh "$step" || code=$?
        [ "$code" -ne "$AGAIN" ] || exit "$AGAIN"
        [ "$code" -eq 0 ] || failed+=("$step")
        [ "$step" != setup ] || [ "$code" -eq 0 ] || exit "$code"
    done
    [ "${#failed[@]}" -eq 0 ] || { echo "failed: ${failed[*]}; all else is done" >&2 && exit 1; }
else
    trap collect EXIT
    run_step "$STEP"
fi
