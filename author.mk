# Targets that need the whole project, solutions included: no release has this file. The Makefile reads it.

.PHONY: quiz demo stubs check nightly mutants mutate seeds release notebooks format bench

# Several targets may set up .venv further; each says what it adds.
$(VENV)/.dev: $(VENV)/.core
	@echo "Adding the tools that check the project itself."
	@$(PIP) -e ".[dev]"
	@touch $@

$(VENV)/.nbgrader: $(VENV)/.core
	@echo "Adding nbgrader, and JupyterLab with it."
	@$(PIP) -e ".[nbgrader]"
	@touch $@

##@ With the whole project

quiz: $(VENV)/.core ## [EX=05] | questions with new numbers each time
	@$(RUN) -m grader quiz $(call each,EX) $(ARGS)

demo: $(VENV)/.core ## | the whole journey with the reference, in about two minutes
	@$(RUN) -m lab demo $(ARGS)

##@ For authors

check: $(VENV)/.dev ## | the project's own tests
	$(RUN) -m ruff check .
	$(RUN) -m ruff format --check .
	$(RUN) -m grader stubs --check --leaks
	$(RUN) -m mypy & types=$$!; $(RUN) -m grader test --exercises solutions --plain; code=$$?; wait $$types && exit $$code
	$(RUN) -m grader mutants --changed --plain
	OMP_NUM_THREADS=1 $(RUN) -m pytest tests/project -n 3 --dist loadfile --no-loadscope-reorder -q --changed --durations=12
	$(RUN) -m grader seeds --first 1 --seeds 2 --plain

nightly: $(VENV)/.dev $(VENV)/.nbgrader ## | what takes longer: fresh clones, all long halves, 20 seeds
	STUBFORMER_EVERY_VARIANT=1 $(RUN) -m pytest tests/project -m "nightly or long" -q
	$(RUN) -m grader mutants --plain
	$(RUN) -m grader seeds --plain

mutants: $(VENV)/.core ## [EX=05] | every known mistake and every variant
	@$(RUN) -m grader mutants $(call each,EX) $(ARGS)

mutate: $(VENV)/.core ## [EX=05] | every small change that a rule can make
	@$(RUN) -m grader mutate $(call each,EX) $(ARGS)

seeds: $(VENV)/.core ## [EX=05] [SEEDS=20] | every check on all right solutions, at many seeds
	@$(RUN) -m grader seeds $(call each,EX) $(call opt,SEEDS,seeds) $(ARGS)

stubs: $(VENV)/.core ## | bring exercises/ up to date with solutions/
	@$(RUN) -m grader stubs $(ARGS)

format: $(VENV)/.dev ## | one style for all code
	$(RUN) -m ruff check --fix .
	$(RUN) -m ruff format .

# One benchmark alone needs nbgrader.
bench: $(VENV)/.dev $(if $(filter-out nbgrader-throughput,$(ONLY)),,$(VENV)/.nbgrader) ## [ONLY=cold-test] | ours beside theirs
	@$(RUN) -m bench $(call opt,ONLY,only) $(ARGS)

##@ For instructors

release: $(VENV)/.core ## OUT=DIR [UNTIL=ex09] [WITH=ex01-ex04] | what students get
	@$(RUN) -m grader release $(if $(OUT),$(call q,OUT)) $(call opt,UNTIL,until) $(call opt,WITH,with-solutions) $(ARGS)

notebooks: $(VENV)/.nbgrader ## [EX=05] [STYLE=cells] [OUT=course] | a course for nbgrader
	@$(RUN) -m grader notebooks $(call each,EX) $(call opt,STYLE,style) $(call opt,OUT,out) $(ARGS)
