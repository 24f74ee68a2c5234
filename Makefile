.PHONY: demo test lint install

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

demo: $(INSTALLED)
	$(BIN)/tssr demo

test: $(INSTALLED)
	$(BIN)/python -m pytest -m "not slow" -n auto --maxprocesses 8

lint: $(INSTALLED)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	PYTHON=$(BIN)/python .ci/typecheck
	$(BIN)/lint-imports

install: $(INSTALLED)

$(INSTALLED): pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --editable ".[dev]"
	touch $@
