# make demo    train and roto the bundled sample show; a few minutes
# make test    everything that is checked: ruff, mypy, pytest
#
# Both make .venv with all that they need, and take what is already there on later runs; the
# tests also .venv-clients with Blender and .venv-opencue with OpenCue's render host daemon, and
# install melt, lua, node and Slurm where they are missing.
# pip's own settings (index, certificates, cache) are those of the machine.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/installed
OUT ?= demo

.PHONY: help setup demo test lint coverage browser clients slurm opencue clean

help:
	@sed -n 's/^# \(make .*\)/\1/p' Makefile

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "no python3 found; install Python 3.11 or newer" >&2; exit 1; }
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "$(PYTHON) is older than 3.11; name a newer one: make PYTHON=python3.12" >&2; exit 1; }
	@$(PYTHON) -c 'import ensurepip' 2>/dev/null || .ci/debian-packages python3-venv
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[train,review,bench,deadline,opencue,dev]'
	@touch $(STAMP)

demo: $(STAMP)
	$(BIN)/laikaroto demo --out $(OUT)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# The review page is looked at in a real browser.
browser:
	@command -v chromium >/dev/null && command -v chromedriver >/dev/null || \
	  .ci/debian-packages chromium chromium-driver

# Programs that open what we export. Blender as a Python module is made for Python 3.11 alone
# and wants an older numpy than ours, so it has an environment of its own.
CLIENTS := .venv-clients
BLENDER_PYTHON := $(shell command -v python3.11)

clients: $(if $(BLENDER_PYTHON),$(CLIENTS)/installed)
	@test -n "$(BLENDER_PYTHON)" || echo "no python3.11: tests in Blender will be skipped"
	@command -v melt >/dev/null && command -v lua5.4 >/dev/null || .ci/debian-packages melt lua5.4
	@command -v node >/dev/null || .ci/debian-packages nodejs

$(CLIENTS)/installed: .ci/clients.txt
	@$(CLIENTS)/bin/python -c '' 2>/dev/null || $(BLENDER_PYTHON) -m venv --clear $(CLIENTS)
	$(CLIENTS)/bin/python -m pip install --quiet --requirement .ci/clients.txt
	@$(CLIENTS)/bin/python -c 'import bpy' 2>/dev/null || .ci/debian-packages \
	  libgl1 libice6 libsm6 libx11-6 libxext6 libxfixes3 libxi6 libxkbcommon0 libxrender1
	@$(CLIENTS)/bin/python -c 'import bpy'
	@touch $(CLIENTS)/installed

# Jobs are run by a real Slurm, which the tests start and stop themselves.
SLURM := /usr/sbin/slurmctld /usr/sbin/slurmd /usr/bin/sbatch /usr/sbin/munged
slurm:
	@ls $(SLURM) >/dev/null 2>&1 || .ci/debian-packages slurmctld slurmd slurm-client munge

# OpenCue's render host daemon, which runs frames in the tests. It pins an older psutil than ours
# and reads no constraints, so it has an environment of its own.
OPENCUE := .venv-opencue
opencue: $(OPENCUE)/installed
	@test -x /usr/bin/time || .ci/debian-packages time

$(OPENCUE)/installed: .ci/opencue.txt | $(STAMP)
	@$(OPENCUE)/bin/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear $(OPENCUE)
	$(OPENCUE)/bin/python -m pip install --quiet --no-deps --requirement .ci/opencue.txt
	@echo 'import opencue, rqd.rqcore' | $(OPENCUE)/bin/python - 2>/dev/null
	@touch $(OPENCUE)/installed

test: lint browser clients slurm opencue
	$(BIN)/python -m pytest

coverage: $(STAMP) browser clients slurm opencue
	$(BIN)/python -m pytest --cov --cov-report=term

clean:
	rm -rf $(VENV) $(CLIENTS) $(OPENCUE) demo dist build .mypy_cache .ruff_cache .pytest_cache .coverage .coverage.*
