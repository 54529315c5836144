# Everything a stranger needs: Python 3.11 or newer, and make.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
GAME ?= othello6
# Installed first, because the newest torch brings gigabytes of CUDA: `make test TORCH=torch` takes it all the same.
TORCH ?= torch==2.13.0

.PHONY: test check quickstart speed clean

test: $(BIN)/installed  ## everything that is tested: a few minutes on two cores
	$(BIN)/python -m pytest

check: $(BIN)/installed  ## what a change must pass beside the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

quickstart: $(BIN)/installed  ## games of 6x6 Othello, proved sound, one of them shown
	$(BIN)/boardsae generate-data $(GAME)
	$(BIN)/boardsae verify data/$(GAME)
	$(BIN)/boardsae show $(GAME)

speed: $(BIN)/installed  ## our engines beside plain Python ones, both in one run
	$(BIN)/python -m benchmarks.speed.engines

$(BIN)/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) data
