# Hakika. `make demo` and `make test` set up everything they need on a fresh Linux machine with python3 and make.
SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

PYTHON ?= python3
VENV := .venv
PEERS := .venv-peers
BIN := $(VENV)/bin
PYTEST_ARGS ?=
SCENARIO ?= outages/2023-07-27.toml
ONLY ?=
QUICK ?=
BENCH_ARGS ?=

.PHONY: help setup setup-dev apt axe check format demo scenarios test plants bench peers up screens requirements clean

help: ## Show what can be made
	@awk -F':.*## ' '/^[a-z-]+:.*## / {printf "  %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

setup: $(VENV)/.runtime ## Make .venv with what Hakika needs to run; .venv/bin/hakika is the command

setup-dev: $(VENV)/.dev ## The same, with what its tests and checks need

$(VENV)/.runtime: requirements.txt pyproject.toml tools/setup.sh
	@tools/setup.sh "$(PYTHON)" "$(VENV)" requirements.txt
	@touch $@

$(VENV)/.dev: requirements-dev.txt pyproject.toml tools/setup.sh
	@tools/setup.sh "$(PYTHON)" "$(VENV)" requirements-dev.txt
	@touch $(VENV)/.runtime $@

apt: ## Install the Debian packages that the tests use (as root; otherwise names what is missing)
	@tools/apt.sh

axe: setup-dev ## Fetch the axe-core that the browser tests look with (needs npm; otherwise they use an older one)
	@tools/axe.sh "$(VENV)"

demo: setup ## Send money through the outage of 27 July 2023 and show that none was lost (about 5 minutes)
	@$(BIN)/hakika replay $(SCENARIO)

scenarios: setup ## Replay the other outages, 11 to 16 minutes each, and compare (ONLY="2018-12-08"; QUICK=1: 2 minutes each)
	@$(BIN)/python tools/scenarios.py $(if $(QUICK),--quick) $(ONLY)

up: setup ## Start the platform and two banks on this machine until Ctrl-C
	@$(BIN)/hakika up

check: setup-dev ## Lint, format, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/mypy tests/banks/conftest.py --exclude none

test: setup-dev apt axe check ## Every test: unit, property, store, wire, migration, process
	@tools/test.sh $(BIN)/python $(PYTEST_ARGS)

plants: setup-dev ## Switch off each rule in turn and see its test fail
	@$(BIN)/python -m pytest tests/plants $(PYTEST_ARGS)

bench: setup-dev ## Measure speed beside other programs (ONLY="L1 G1"); ONLY=DET: detection; BENCH_ARGS=--full: the long run
	@[ "$(ONLY)" = DET ] || $(MAKE) --no-print-directory peers
	@$(BIN)/python -m bench $(ONLY) $(BENCH_ARGS)

peers: $(PEERS)/.peers ## Fetch what speed is compared with: DBOS, Restate (its server needs npm)
	@tools/restate.sh "$(PEERS)"

$(PEERS)/.peers: requirements-peers.txt tools/setup.sh
	@tools/setup.sh "$(PYTHON)" "$(PEERS)" requirements-peers.txt
	@touch $@

screens: setup-dev apt ## Screenshots of every page, and of the last report, into var/screens
	@$(BIN)/python tools/screens.py
	@HAKIKA_SCREENS=$(CURDIR)/var/screens $(BIN)/python -m pytest -n 0 tests/store/test_health_screens_in_browser.py -k fits
	@report=var/replay/2023-07-27/report.html; [ ! -f $$report ] || $(BIN)/python tools/screens.py --file report=$$report

format: setup-dev ## Format the code
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

requirements: ## Pin again, with hashes (needs uv)
	uv pip compile --quiet --generate-hashes --python-version 3.11 --no-emit-index-url --no-header pyproject.toml -o requirements.txt
	uv pip compile --quiet --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --group dev pyproject.toml -o requirements-dev.txt
	uv pip compile --quiet --generate-hashes --python-version 3.11 --no-emit-index-url --no-header --group pyproject.toml:peers -o requirements-peers.txt

clean: ## Remove what make has built; data under var/ stays
	rm -rf $(VENV) $(PEERS) .mypy_cache .ruff_cache .pytest_cache build
