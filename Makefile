# Everything a developer or user runs. Needs make, Python 3.11 or newer, and a network to the package index.

# A folder here is called coverage: without this, tools started here would take it for coverage.py.
export PYTHONSAFEPATH := 1
export PIP_DISABLE_PIP_VERSION_CHECK := 1

SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first of these that is new enough makes the virtual environment; `make setup PYTHON=...` names another.
PYTHON ?= $(shell for name in python3.11 python3.12 python3.13 python3; do \
    $$name -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && echo $$name && exit; done; echo python3)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -P -m pip
PIP_INSTALL := $(PIP) install --quiet --constraint constraints.txt

ROOMS := toolkit inspection coverage planning synthesis segmentation viewer
SOURCES := $(shell find $(ROOMS) -type f -not -path '*/__pycache__/*' -not -name '.*')

# Stamps: what they stand for is done once, and again when what it was made from has changed.
LIBRARIES := $(VENV)/libraries-installed
PACKAGE := $(VENV)/package-installed

.PHONY: help
help:  ## show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: $(PACKAGE)  ## virtual environment with pinned libraries and viewcov

.PHONY: system
system:  ## check the system's libraries; install them when root, else say how
	@$(PYTHON) toolkit/system.py

# A virtual environment that is there stays, whatever Python made it; one that is broken is made anew.
# The package comes along for its extras; the next rule installs it again when only its own files have changed.
$(LIBRARIES): pyproject.toml constraints.txt | system
	@echo "installing the libraries that are missing; all of them take about 6 minutes and 9 GB"
	@$(BIN)/python -P -c 'import pip' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	@$(PIP_INSTALL) 'setuptools>=77'
	@$(PIP_INSTALL) --no-build-isolation '.[all,dev]'
	@rm -rf build viewcov.egg-info
	@touch $@

# Not editable: tests and type checker see what a user gets. setuptools would keep removed modules in build/.
$(PACKAGE): $(LIBRARIES) README.md LICENSE $(SOURCES)
	@rm -rf build viewcov.egg-info
	@$(PIP_INSTALL) --no-build-isolation --no-deps --force-reinstall .
	@rm -rf build viewcov.egg-info
	@touch $@

.PHONY: demo
demo: setup  ## the whole loop on the built-in part, into demo/
	@$(BIN)/viewcov demo --out demo

# The shipped models, from nothing, with the public commands: 35 minutes when last measured on two cores. Interrupted, the same
# command continues. Two parts, so that the models learn defects rather than one part.
MODELS := models-build
VIEWCOV := $(BIN)/viewcov
.PHONY: models
models: setup  ## make the shipped models again, its log added to docs/models.log
	@mkdir -p $(MODELS) docs
	@{ set -x; date -u; \
	$(VIEWCOV) plan builtin:clutch-half --rig paper-quarter --views 26 --seed 11 --out $(MODELS)/clutch.json; \
	$(VIEWCOV) plan builtin:bearing-block --rig paper-quarter --views 26 --seed 12 --out $(MODELS)/block.json; \
	$(VIEWCOV) synthesize $(MODELS)/clutch.json --out $(MODELS)/clutch --instances 6 --defects 30 40 \
	    --split 0.67 0.33 0 --seed 11; \
	$(VIEWCOV) synthesize $(MODELS)/block.json --out $(MODELS)/block --instances 4 --defects 30 40 \
	    --split 0.75 0.25 0 --seed 12; \
	$(VIEWCOV) train $(MODELS)/clutch $(MODELS)/block --out $(MODELS)/plain --seed 1; \
	$(VIEWCOV) train $(MODELS)/clutch $(MODELS)/block --out $(MODELS)/stack --stack --seed 1; \
	date -u; } 2>&1 | tee >(tr '\r' '\n' | grep -v '%|' >> docs/models.log)
	@for name in plain stack; do mkdir -p segmentation/shipped/$$name; \
	    cp $(MODELS)/$$name/model.json $(MODELS)/$$name/model.safetensors segmentation/shipped/$$name/; done

# The tables of docs/: views and bounds of six parts, and other ways of choosing views beside; candidates are kept.
# The parts are not in the project: PARTS names the folder that has them.
PARTS := ../shared/data/parts
.PHONY: planning-table
planning-table: setup  ## make docs/planning-table.md and docs/planning-peers.md again
	@$(BIN)/python -P benchmarks/planning.py table --data $(PARTS) --cache planning-pools --out docs/planning-table.md
	@$(BIN)/python -P benchmarks/planning.py peers --data $(PARTS) --cache planning-pools --out docs/planning-peers.md

.PHONY: test
test: setup  ## run the tests
	@$(BIN)/python -P -m pytest

.PHONY: lint style types layers
lint: style types layers  ## style, types and layers; with --keep-going all findings at once

style: setup
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --quiet --check .

types: setup
	@$(BIN)/mypy

layers: setup
	@$(BIN)/lint-imports

# Nothing is fetched; viewcov is read as it is installed, not imported. With --quiet, mkdocs would count no warnings.
.PHONY: docs
docs: setup  ## build the site of docs/ into site/; a warning is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -P -m mkdocs build --strict
	@echo "open site/index.html"

.PHONY: tables
tables: setup  ## make the tables of keys and options in docs/files.md and docs/options.md again
	@$(BIN)/python -P docs/record_tables.py

.PHONY: wheel
wheel: setup  ## build the wheel into dist/
	@rm -rf build viewcov.egg-info
	@$(PIP) wheel --quiet --no-deps --no-build-isolation --wheel-dir dist .
	@rm -rf build viewcov.egg-info
	@ls dist/*.whl

# Run with the oldest Python that is supported, so that the versions serve newer ones too.
.PHONY: constraints
constraints: | system  ## pin the newest versions that go together in constraints.txt
	@fresh=$$(mktemp -d); trap 'rm -rf "$$fresh" build viewcov.egg-info' EXIT; \
	$(PYTHON) -m venv "$$fresh"; \
	"$$fresh/bin/python" -P -m pip install --quiet 'setuptools>=77' '.[all,dev]'; \
	"$$fresh/bin/python" -P -m pip check; \
	{ sed -n '/^#/p' constraints.txt; \
	  "$$fresh/bin/python" -P -m pip list --format=freeze --exclude pip --exclude viewcov \
	    | grep -E '^[A-Za-z0-9._-]+==[A-Za-z0-9._!+-]+$$'; } > constraints.txt.new; \
	mv constraints.txt.new constraints.txt

.PHONY: clean
clean:  ## remove what was built, tested and demonstrated; keep .venv
	@rm -rf build dist site demo planning-pools viewcov.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	@find $(wildcard $(ROOMS) tests benchmarks examples docs) -type d -name __pycache__ -prune -exec rm -rf {} +
