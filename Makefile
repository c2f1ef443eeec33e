# Needs make and Python 3.11 or newer; everything else goes into .venv. `make help` lists the targets.
# The tests of the exported C also need gcc and clang, on AVR chips avr-gcc and simavr, those of the JavaScript node, that
# of the example with a broker mosquitto, and that of the site chromium and chromedriver; they are skipped without them.

PYTHON ?= python3
# Where torch comes from besides the package index, e.g. https://download.pytorch.org/whl/cpu
TORCH_INDEX ?=
# Processes that run the tests, one thread each: threads that outnumber the cores wait for each other.
WORKERS ?= 2

BIN = .venv/bin
MIN = .venv-min/bin
torch-index = $(if $(TORCH_INDEX),--extra-index-url $(TORCH_INDEX))

.DEFAULT_GOAL = help
.PHONY: help demo test lint docs pytest test-min device clean

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

demo: .venv/installed ## Compare learned bits with fixed ones and with floats, in minutes
	$(BIN)/python -m benchmarks.demo

test: lint docs pytest ## Run all that CI runs: lint, docs and pytest

lint: .venv/installed ## Run ruff, mypy and the spelling checker
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/codespell

docs: .venv/installed ## Build the site in docs/_build/html; warnings are errors
	rm -rf docs/_build docs/reference/api docs/gallery
	$(BIN)/sphinx-build -W --keep-going -q docs docs/_build/html

pytest: .venv/installed ## Run the tests, the doctests and the code blocks of the docs
	OMP_NUM_THREADS=1 $(BIN)/pytest -n $(WORKERS)

test-min: .venv-min/installed ## Run the tests with the lowest supported versions
	OMP_NUM_THREADS=1 $(MIN)/pytest -n $(WORKERS)

# Not part of test: it needs qemu-arm (Debian: qemu-user), arm-linux-gnueabihf-gcc, and arm-none-eabi-gcc with newlib.
device: .venv/installed ## Test the C on ARM under qemu and measure it on Cortex-M; needs cross compilers
	SKBSQ_DEVICE=1 OMP_NUM_THREADS=1 $(BIN)/pytest tests/export/test_arm.py tests/export/test_avr.py tests/benchmarks/device
	$(BIN)/python -m benchmarks.device
	$(BIN)/python -m benchmarks.device.rates
	$(BIN)/python -m benchmarks.device.faults

clean: ## Remove everything that make made
	rm -rf .venv .venv-min docs/_build docs/reference/api docs/gallery .mypy_cache .pytest_cache .ruff_cache .hypothesis

# Torch goes first and pinned: asked for as a mere dependency, pip would look at releases that pull GPU packages.
.venv/installed: constraints.txt pyproject.toml | $(BIN)/pip
	$(BIN)/pip install -c constraints.txt torch $(torch-index)
	$(BIN)/pip install -c constraints.txt -e ".[dev]"
	touch $@

.venv-min/installed: constraints-min.txt pyproject.toml | $(MIN)/pip
	$(MIN)/pip install -c constraints-min.txt torch $(torch-index)
	$(MIN)/pip install -c constraints-min.txt -e ".[test]"
	touch $@

.venv/bin/pip .venv-min/bin/pip:
	$(PYTHON) -m venv $(@:/bin/pip=)
