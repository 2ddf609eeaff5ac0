# One-liners over `python -m grader` and `python -m lab`; everything here works without make as well.
# A target sets up what it needs by itself: .venv, with the versions that constraints.txt pins.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
RUN := $(BIN)/python
PIP := $(RUN) -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: help test list hint stubs check format bench train sample demo clean
.DEFAULT_GOAL := help

help:
	@echo "make test [EX=05]          grade what you wrote"
	@echo "make list                  the exercises and their points"
	@echo "make hint EX=05 [NAME=attend] [TIER=2]"
	@echo "make train [ARGS=...]      train your own GPT;  RESUME=1 goes on with the last run"
	@echo "make sample PROMPT=\"...\"   let it write"
	@echo "make demo                  the whole journey with the reference, in about two minutes"
	@echo "for authors: make check, stubs, format, bench"

# ---- set-up -----------------------------------------------------------------------------------------------------------

$(VENV)/.core: pyproject.toml constraints.txt lab/corpus-requirements.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed; this is ' + sys.version.split()[0] + '. Name another: make PYTHON=python3.12')"
	@echo "Setting up $(VENV), once. PyTorch is large: this takes a minute or more."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) torch
	@$(PIP) -e .
	@$(RUN) -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r lab/corpus-requirements.txt
	@touch $@

$(VENV)/.dev: $(VENV)/.core
	@echo "Adding the tools that check the project itself."
	@$(PIP) -e ".[dev]"
	@touch $@

# ---- for learners -----------------------------------------------------------------------------------------------------

test: $(VENV)/.core
	@$(RUN) -m grader test $(EX) $(ARGS)

list: $(VENV)/.core
	@$(RUN) -m grader list

hint: $(VENV)/.core
	@$(RUN) -m grader hint $(EX) $(NAME) $(if $(TIER),--tier $(TIER))

train: $(VENV)/.core
	@$(RUN) -m lab train $(if $(RESUME),--resume) $(ARGS)

sample: $(VENV)/.core
	@$(RUN) -m lab sample $(if $(PROMPT),--prompt "$(PROMPT)") $(ARGS)

demo: $(VENV)/.core
	@$(RUN) -m lab demo $(ARGS)

# ---- for authors ------------------------------------------------------------------------------------------------------

stubs: $(VENV)/.core
	@$(RUN) -m grader stubs $(ARGS)

check: $(VENV)/.dev
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m mypy
	$(RUN) -m grader stubs --check --leaks
	$(RUN) -m pytest tests/project -n 2 -q
	$(RUN) -m grader test --exercises solutions --plain

format: $(VENV)/.dev
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(VENV)/.dev
	@$(RUN) -m bench $(if $(ONLY),--only $(ONLY)) $(ARGS)

clean:
	rm -rf $(VENV) .stubformer .pytest_cache .mypy_cache .ruff_cache build *.egg-info
