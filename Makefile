# `make help` lists the targets. Each sets up what it needs: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
VENV   ?= .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
ARGS   ?=
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint format typecheck check benchmark lock clean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "esr needs Python 3.10 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1). Say PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) cannot make environments: install its venv package (Debian and Ubuntu: python3-venv)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
	@touch $@

setup: $(STAMP)  ## an environment in .venv with the pinned versions

demo: $(STAMP)  ## measure IMDN on the demo images: esr model=imdn
	$(BIN)/esr model=imdn $(ARGS)

test: $(STAMP)  ## every test, JOBS at a time; ARGS='-k weights' for some
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) $(ARGS)

lint: $(STAMP)  ## ruff: rules and format
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(STAMP)  ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(STAMP)  ## mypy --strict on esr/, and with it models/
	$(BIN)/mypy

check: lint typecheck test  ## what CI runs

benchmark: $(STAMP)  ## the harness's own cost
	$(BIN)/python benchmarks/overhead.py

lock: $(STAMP)  ## renew constraints.txt from pyproject.toml
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5'
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --extra dev --no-header --no-annotate \
	  --output-file constraints.txt pyproject.toml
	sed -i "1i # What \`make setup\` installs, on every Python and platform; renewed by \`make lock\`." constraints.txt

clean:  ## remove the environment, caches and build products
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
