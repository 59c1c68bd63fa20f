#!/bin/sh
# Pin one set of requirements with hashes, without registry addresses: compile.sh cpu|gpu|train|scale|dev
set -eu
also="setuptools>=77"
case "$1" in
dev)
    extras="--extra cpu --extra train --extra dev"
    also="$also
python-dateutil<3" # s3fs of the set scale, which these pins bind, takes no newer one
    ;;
scale) extras="--extra cpu --extra scale" ;;
*) extras="--extra $1" ;;
esac
constraints=""
[ "$1" = dev ] || [ ! -f requirements/dev.txt ] || constraints="--constraints requirements/dev.txt"
echo "$also" | .venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-header --no-annotate $extras $constraints \
    --output-file "requirements/$1.txt" pyproject.toml -
