PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test test-all docs help

demo: .venv/installed
	$(BIN)/mtl-search search quickstart

# Files beside each other, each on its own core, with threads that do not spin while they wait: the tests of one file
# share what is made once.
PYTEST := OMP_NUM_THREADS=1 OMP_WAIT_POLICY=passive $(BIN)/python -m pytest -n 2 --dist loadfile

test: .venv/installed-dev
	$(PYTEST) -m "not slow"

# With those that are slow; then, by themselves, those that other tests would disturb.
test-all: .venv/installed-dev
	$(PYTEST) -m "not alone" --durations=40
	$(BIN)/python -m pytest -m alone

# Pages into site/; what is wrong with them, a link or a name that is not there, ends it.
docs: .venv/installed-dev
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build -q --strict

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
