# make demo    train and roto the bundled sample show; a few minutes
# make test    everything that is checked: ruff, mypy, pytest
#
# Both make .venv with all that they need, and take what is already there on later runs.
# pip's own settings (index, certificates, cache) are those of the machine.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
OUT ?= demo

.PHONY: help setup demo test lint coverage browser slurm clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no python3 found; install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || .ci/debian-packages python3-venv
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,review,deadline,dev]'
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/laikaroto demo --out $(OUT)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

# The review page is looked at in a real browser.
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
	  .ci/debian-packages chromium chromium-driver

# Jobs are run by a real Slurm, which the tests start and stop themselves.
SLURM := /usr/sbin/slurmctld /usr/sbin/slurmd /usr/bin/sbatch /usr/sbin/munged
slurm:
	@ls $(SLURM) >/dev/null 2>&1 || .ci/debian-packages slurmctld slurmd slurm-client munge

test: lint browser slurm
	$(BIN)/python -m pytest

coverage: $(STAMP) browser slurm
	$(BIN)/python -m pytest --cov --cov-report=term

clean:
	rm -rf $(VENV) demo dist build .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.*
