# Everything a fresh machine needs: `make demo` shows dep at work, `make test` proves it.
# Python 3.11 or newer (with venv), make and a C compiler must be there; the rest is installed into .venv*.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test lint clean

# The first interpreter that is new enough and can make environments; override with `make PYTHON=/path/to/python3 ...`.
PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11 python; do \
	  "$$p" -c 'import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { command -v "$$p"; break; }; \
	done)

PICK := .venv
DEV := .venv-test
NATIVE := $(wildcard kernels/c/*.c kernels/c/*.h) pyproject.toml
SOURCES := $(NATIVE) $(wildcard engine/data/* engine/report/*) \
	$(wildcard $(foreach d,kernels engine train export cli,$(d)/*.py $(d)/*/*.py))
DEMO := demo

help:
	@echo 'make demo    install dep into $(PICK) (no torch), pick the sample tomogram, score the picks'
	@echo 'make test    install the development environment into $(DEV), then lint, type-check and test'
	@echo 'make lint    the checks of make test without the tests'
	@echo 'make clean   remove environments, build leftovers and the demo'
	@echo 'PYTHON=...   the interpreter to use (3.11 or newer); found: $(or $(PYTHON),none)'

# --- demo -------------------------------------------------------------------------------------------------

$(PICK)/pyvenv.cfg:
	@.ci/preflight '$(PYTHON)'
	'$(PYTHON)' -m venv --clear $(PICK)

# `pip install .` would reuse a stale build/lib, so it goes first.
$(PICK)/installed: $(SOURCES) constraints.txt | $(PICK)/pyvenv.cfg
	@.ci/preflight $(PICK)/bin/python
	rm -rf build
	@echo 'Installing dep into $(PICK); the first time this downloads about 120 MB.'
	$(PICK)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt '.[cpu,picture]'
	rm -rf build
	touch $@

demo: $(PICK)/installed
	$(PICK)/bin/dep pick docs/sample/sample.mrc -o $(DEMO) --format relion5,csv --picture --overwrite
	@echo
	$(PICK)/bin/dep evaluate $(DEMO)/sample.csv docs/sample/sample.csv
	@echo
	@echo 'The classes are named after the molecules in the Protein Data Bank: 4cr2 is the entry of a 26S proteasome.'
	@echo 'Coordinates: $(DEMO)/sample.star (RELION 5), $(DEMO)/sample.csv (voxels). Picture: $(DEMO)/sample.png'
	@echo 'Next, your own tomogram (10 Å voxels suit the bundled model best):'
	@echo '    $(PICK)/bin/dep pick YOUR_TOMOGRAM.mrc -o picks --picture'

# --- test -------------------------------------------------------------------------------------------------

$(DEV)/pyvenv.cfg:
	@.ci/preflight '$(PYTHON)'
	'$(PYTHON)' -m venv --clear $(DEV)

# Editable: Python sources need no reinstallation, the C extension and the dependencies do.
$(DEV)/installed: $(NATIVE) constraints.txt | $(DEV)/pyvenv.cfg
	@.ci/preflight $(DEV)/bin/python
	rm -rf build
	@echo 'Installing the development environment into $(DEV); the first time this takes minutes.'
	$(DEV)/bin/python -m pip install -qq --disable-pip-version-check -c constraints.txt -e '.[dev]'
	rm -rf build
	touch $@

lint: $(DEV)/installed
	$(DEV)/bin/ruff check .
	$(DEV)/bin/ruff format --check .
	$(DEV)/bin/mypy
	PYTHONPATH=.types $(DEV)/bin/lint-imports

# Tests in one process for each processor, four at most: each holds PyTorch and the runtimes, about 1 GB.
JOBS ?= auto

test: lint
	$(DEV)/bin/python -m pytest -q --durations=10 -n $(JOBS) --maxprocesses=4 --dist worksteal

clean:
	rm -rf $(PICK) $(DEV) build dist dep.egg-info kernels/*.so $(DEMO)
	rm -rf .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
