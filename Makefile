# Everything runs in .venv, which is made on first use. `make help` lists what there is.

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help
.PHONY: help env test test-slow lint wheel-check format demo bench clean

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
WORKERS ?= 2

# What a user has set for other projects must not redirect this one; index and certificate settings stay.
unexport PYTHONPATH PYTHONHOME PYTHONSTARTUP VIRTUAL_ENV MYPYPATH PYTEST_ADDOPTS
unexport PIP_TARGET PIP_PREFIX PIP_ROOT PIP_USER PIP_CONSTRAINT PIP_REQUIREMENT PIP_NO_DEPS PIP_PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1
export PYTHONNOUSERSITE := 1

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(firstword $(MAKEFILE_LIST)) | sed -E 's/^([a-z-]+):.*## (.*)/make \1\t\2/' | expand -t 18

env: $(STAMP) ## make .venv and install the project in it, for development

# The versions are those of constraints.txt. cli/ is linked under its installed name for mypy, which cannot see through
# setuptools' package-dir.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(f"Python 3.11 or 3.12 is needed, and this is {v[0]}.{v[1]}: make PYTHON=python3.11 …" if v not in ((3, 11), (3, 12)) else 0)'
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@echo "Installing into $(VENV) (some minutes the first time) …"
	@$(BIN)/python -m pip install -qq --constraint constraints.txt --editable '.[dev]'
	@mkdir -p $(VENV)/types && ln -sfn ../../cli $(VENV)/types/adapter_transfer_cli
	@touch $@

# One thread a process: two single-thread workers are faster than one with two threads, and results are bit-identical
# only at one thread count.
test: env ## run the tests (some minutes)
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -q

test-slow: env ## run the tests marked slow too
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(WORKERS) -q -m 'slow or not slow'

lint: env ## check format, style and types
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy

wheel-check: env ## build the wheel, and use it in an empty environment elsewhere
	@.ci/wheel

format: env ## put the code into the project's format
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

demo: env ## run the main job on the embedded sandbox (at most 6 minutes on two cores)
	@$(BIN)/adapter-transfer demo

bench: env ## run the benchmarks
	@for file in benchmarks/bench_*.py; do echo "== $$file"; OMP_NUM_THREADS=1 $(BIN)/python "$$file"; done

clean: ## remove what was built, not runs/ and not .venv
	@rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache
	@find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print0 | xargs -0 rm -rf
