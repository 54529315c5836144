# Everything a stranger needs: Python 3.11 or newer, and make.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
# Installed first, because the newest torch brings gigabytes of CUDA: `make test TORCH=torch` takes it all the same.
TORCH ?= torch==2.13.0

# The release whose folders are asked for: `make test-saelens SAELENS=sae-lens` asks the newest.
SAELENS ?= sae-lens==6.54.12

.PHONY: test test-saelens check quickstart speed clean

test: $(BIN)/installed  ## everything that is tested: a few minutes on two cores
	$(BIN)/python -m pytest

test-saelens: $(BIN)/installed .venv-saelens/installed  ## that SAELens opens our runs; installs it, for minutes
	BOARDSAE_SAELENS=.venv-saelens/bin/python $(BIN)/python -m pytest tests/test_saelens.py

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

# An environment of its own: sae-lens needs transformer-lens below 4.
.venv-saelens/installed: Makefile
	test -x .venv-saelens/bin/python || $(PYTHON) -m venv .venv-saelens
	.venv-saelens/bin/python -m pip install --quiet --disable-pip-version-check "$(TORCH)"
	.venv-saelens/bin/python -m pip install --quiet --disable-pip-version-check "$(SAELENS)"
	touch $@

clean:
	rm -rf $(VENV) .venv-saelens data
