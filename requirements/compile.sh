#!/bin/sh
# Pin one set of requirements with hashes, without registry addresses: compile.sh cpu|gpu|train|scale|dev
set -eu
case "$1" in
dev) extras="--extra cpu --extra train --extra dev" ;;
scale) extras="--extra cpu --extra scale" ;;
*) extras="--extra $1" ;;
esac
constraints=""
[ "$1" = dev ] || [ ! -f requirements/dev.txt ] || constraints="--constraints requirements/dev.txt"
echo "setuptools>=77" | .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-header --no-annotate $extras $constraints \
    --output-file "requirements/$1.txt" pyproject.toml -
