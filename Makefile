# make demo | demo-azure | test | lint | docs | bench-quality | bench-gate | clean. Everything sets itself up first, once.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
AZURITE_VERSION := 3.37.0
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
AZURITE := .azurite/.installed-$(AZURITE_VERSION)

.PHONY: setup demo demo-azure test lint docs bench-quality bench-gate clean
.DEFAULT_GOAL := demo

setup: $(INSTALLED) $(AZURITE)

$(INSTALLED): requirements.txt requirements-lite0.txt requirements-dev.txt constraints.txt scripts/install.sh
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	sh scripts/install.sh $(BIN)/python --dev
	touch $@

$(AZURITE):
	npm install --prefix .azurite --no-audit --no-fund azurite@$(AZURITE_VERSION)
	touch $@

demo: $(INSTALLED)
	$(BIN)/python -m scripts.demo

demo-azure: setup
	$(BIN)/python -m scripts.demo_azure

test: setup
	$(BIN)/python -m pytest

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

docs: $(INSTALLED)
	$(BIN)/python -m scripts.settings_table

# make bench-quality PHOTOS=folder OPTIONS="--half b": see docs/benchmarks.md
bench-quality: $(INSTALLED)
	$(BIN)/python -m benchmarks.quality $(if $(PHOTOS),"$(PHOTOS)") $(OPTIONS)

# A small set, held against the figures in benchmarks/gate.json; AGAINST=--write-baseline puts today's there instead.
AGAINST ?= --against
bench-gate: $(INSTALLED)
	$(BIN)/python -m benchmarks.quality --photos 56 --edits 5 --negatives 4 --blanks 40 --effort balanced \
		--without-held-out $(AGAINST) benchmarks/gate.json

clean:
	rm -rf demo build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
