# Everything works in .venv and installs what it needs there; nothing but Python 3.11 or later is expected.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
UV_VERSION := 0.13.9
WORKERS ?= 4
V := .venv
BIN := $(V)/bin

.PHONY: help run check test stress bench requirements clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(BIN)/uv:
	$(PYTHON) -m venv $(V)
	$(BIN)/python -m pip install --quiet uv==$(UV_VERSION)

$(V)/.serve: requirements/cpu.txt pyproject.toml | $(BIN)/uv
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/cpu.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --no-build-isolation --editable .
	@touch $@

$(V)/.dev: requirements/dev.txt $(V)/.serve
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	@touch $@

run: $(V)/.serve  ## install and serve on http://127.0.0.1:8000
	$(BIN)/reid serve

check: $(V)/.dev  ## format, lint, types, import directions
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# OpenMP's threads wait for each other awake, so each worker has one of them. Tests wait for processes and disks: of four
# workers two cores have enough to do (11 minutes instead of 13).
test: $(V)/.dev  ## the tests, WORKERS=4 at a time
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not stress" --numprocesses $(WORKERS) --dist worksteal

stress: $(V)/.dev  ## the long tests: kill -9, soaks
	$(BIN)/pytest -m stress --timeout 3600

bench: $(V)/.dev  ## what the README's figures come from
	$(BIN)/python -m benchmarks.service

requirements: | $(BIN)/uv  ## pin what pyproject.toml allows, with hashes
	@for set in dev cpu train scale gpu; do sh requirements/compile.sh $$set || exit 1; done

clean:  ## remove .venv and caches
	rm -rf $(V) .mypy_cache .ruff_cache .pytest_cache *.egg-info
