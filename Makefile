# Everything a stranger needs: Python 3.11 or newer, and make.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Installed first, because the newest torch brings gigabytes of CUDA: `make test TORCH=torch` takes it all the same.
TORCH ?= torch==2.13.0

.PHONY: test check quickstart speed clean

test: $(BIN)/installed  ## everything that is tested: a few minutes on two cores
	$(BIN)/python -m pytest

check: $(BIN)/installed  ## what a change must pass beside the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright

quickstart: $(BIN)/installed  ## eight SAEs trained, scored beside controls and drawn: minutes
	$(BIN)/boardsae quickstart

speed: $(BIN)/installed  ## our engines beside plain Python ones, both in one run
	$(BIN)/python -m benchmarks.speed.engines

$(BIN)/installed: pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e ".[dev]"
	touch $@

clean:
	rm -rf $(VENV) data
