PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test help

demo: .venv/installed
	$(BIN)/mtl-search search quickstart

# Tests that end workers and watch the memory of the machine run alone.
ALONE := tests/faults tests/test_cluster.py

test: .venv/installed-dev
	$(BIN)/python -m pytest -n 2 --dist loadfile $(ALONE:%=--ignore=%)
	$(BIN)/python -m pytest $(ALONE)

help: .venv/installed
	COLUMNS=80 $(BIN)/python -c "import sys; from mtl_search.cli.commands import main; sys.argv = ['mtl-search', '--help']; main()" > mtl_search/cli/help.txt

.venv/bin/python:
	$(PYTHON) -m venv .venv

.venv/installed: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e .
	touch $@

.venv/installed-dev: pyproject.toml constraints.txt | .venv/bin/python
	$(BIN)/python -m pip install -q -c constraints.txt -e '.[dev]'
	touch $@ .venv/installed
