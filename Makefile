# One-liners over `python -m grader` and `python -m lab`; everything here works without make as well.
# A target sets up what it needs by itself: .venv, with the versions that constraints.txt pins.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
RUN := $(BIN)/python
PIP := $(RUN) -m pip --disable-pip-version-check install --quiet -c constraints.txt

.PHONY: help test watch list hint progress reset solution recall doctor update clean
# BEGIN WITH ex16
.PHONY: train sample map
# END WITH
# BEGIN WHOLE
.PHONY: quiz demo stubs check mutants mutate release notebooks format bench
# END WHOLE
.DEFAULT_GOAL := help

help:
	@echo "make test [EX=05]          grade what you wrote"
	@echo "make watch [EX=05]         grade at each save, with hints and more at a key"
	@echo "make list                  the exercises and their points"
	@echo "make hint EX=05 [NAME=attend] [TIER=2]"
	@echo "make progress              where you stand, and what is next"
	@echo "make solution EX=05        after a pass, or when you give up;  ARGS=--diff: beside yours"
	@echo "make reset EX=05           start over; a backup of yours is kept"
	@echo "make recall EX=05          closed book, against the clock;  EX=gpt: the whole model from an empty file"
# BEGIN WHOLE
	@echo "make quiz [EX=05]          questions with new numbers each time"
# END WHOLE
	@echo "make update                new lessons and checks; what you wrote stays"
	@echo "make doctor                what this machine lacks, and how to mend it"
# BEGIN WITH ex16
	@echo "make train [ARGS=...]      train your own GPT;  TASK=reverse: the original transformer;  RESUME=1: go on"
	@echo "make sample PROMPT=\"...\"   let it write"
	@echo "make map                   its inside, live in a page;  ARGS=--open: in your browser at once"
# END WITH
# BEGIN WHOLE
	@echo "make demo                  the whole journey with the reference, in about two minutes"
	@echo "for authors: make check, mutants, mutate, stubs, format, bench"
	@echo "for instructors: make release OUT=DIR [UNTIL=ex09] [WITH=ex01-ex04]; make notebooks [STYLE=cells] [OUT=course]"
# END WHOLE

# ---- set-up -----------------------------------------------------------------------------------------------------------

$(VENV)/.core: pyproject.toml constraints.txt lab/corpus-requirements.txt
	@$(PYTHON) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed; this is ' + sys.version.split()[0] + '. Name another: make PYTHON=python3.12')"
	@echo "Setting up $(VENV), once. PyTorch is large: this takes a minute or more."
	@$(PYTHON) -m venv $(VENV)
	@$(PIP) torch
	@$(PIP) -e .
	@$(RUN) -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r lab/corpus-requirements.txt
	@touch $@

# BEGIN WHOLE
$(VENV)/.dev: $(VENV)/.core
	@echo "Adding the tools that check the project itself."
	@$(PIP) -e ".[dev]"
	@touch $@

$(VENV)/.nbgrader: $(VENV)/.core
	@echo "Adding nbgrader, and JupyterLab with it."
	@$(PIP) -e ".[nbgrader]"
	@touch $@
# END WHOLE

# ---- for learners -----------------------------------------------------------------------------------------------------

test: $(VENV)/.core
	@$(RUN) -m grader test $(EX) $(ARGS)

watch: $(VENV)/.core
	@$(RUN) -m grader watch $(EX) $(ARGS)

list: $(VENV)/.core
	@$(RUN) -m grader list

hint: $(VENV)/.core
	@$(RUN) -m grader hint $(EX) $(NAME) $(if $(TIER),--tier $(TIER)) $(ARGS)

progress: $(VENV)/.core
	@$(RUN) -m grader progress $(ARGS)

reset: $(VENV)/.core
	@$(RUN) -m grader reset $(EX) $(ARGS)

solution: $(VENV)/.core
	@$(RUN) -m grader solution $(EX) $(NAME) $(ARGS)

recall: $(VENV)/.core
	@$(RUN) -m grader recall $(EX) $(ARGS)

# BEGIN WHOLE
quiz: $(VENV)/.core
	@$(RUN) -m grader quiz $(EX) $(ARGS)
# END WHOLE

update: $(VENV)/.core
	@$(RUN) -m grader update $(foreach ex,$(KEEP),--keep $(ex)) $(ARGS)

# It has to run on a machine where nothing else does, so it sets nothing up.
doctor:
	@$(if $(wildcard $(RUN)*),$(RUN),$(PYTHON)) -m grader.learning.doctor

# BEGIN WITH ex16
train: $(VENV)/.core
	@$(RUN) -m lab train $(if $(TASK),--task $(TASK)) $(if $(RESUME),--resume) $(ARGS)

sample: $(VENV)/.core
	@$(RUN) -m lab sample $(if $(TASK),--task $(TASK)) $(if $(PROMPT),--prompt "$$PROMPT") $(ARGS)

map: $(VENV)/.core
	@$(RUN) -m lab map $(if $(TASK),--task $(TASK)) $(if $(RUN_NAME),--run $(RUN_NAME)) $(ARGS)
# END WITH

# BEGIN WHOLE
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
	$(RUN) -m grader mutants --plain

# Every known mistake and every variant; make mutate: every small change that a rule can make.
mutants mutate: $(VENV)/.core
	@$(RUN) -m grader $@ $(EX) $(ARGS)

release: $(VENV)/.core
	@$(RUN) -m grader release $(OUT) $(if $(UNTIL),--until $(UNTIL)) $(if $(WITH),--with-solutions $(WITH)) $(ARGS)

notebooks: $(VENV)/.nbgrader
	@$(RUN) -m grader notebooks $(EX) $(if $(STYLE),--style $(STYLE)) $(if $(OUT),--out $(OUT)) $(ARGS)

format: $(VENV)/.dev
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

bench: $(VENV)/.dev
	@$(RUN) -m bench $(if $(ONLY),--only $(ONLY)) $(ARGS)
# END WHOLE

clean:
	rm -rf $(VENV) .stubformer .pytest_cache .mypy_cache .ruff_cache build *.egg-info
