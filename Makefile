# One-liners over `python -m grader` and `python -m lab`; everything here works without make as well.
# A target sets up what it needs by itself: .venv, with the versions that constraints.txt pins.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
RUN := $(BIN)/python
PIP := $(RUN) -m pip --disable-pip-version-check install --quiet -c constraints.txt

# What people write into these is taken as it is: make itself reads nothing in it, and the shell gets it in quotes.
ifeq ($(origin NAME),environment) # some systems keep the machine's name there
NAME :=
endif
TEXTS := PYTHON EX NAME TIER KEEP TASK MODEL PROMPT RUN_NAME OUT UNTIL WITH STYLE ONLY SEEDS
as_it_is = $(if $(filter-out undefined,$(origin $1)),$(eval override $1 := $$(value $1)))
$(foreach text,$(TEXTS),$(call as_it_is,$(text)))

# The text of a variable: $(call q,OUT); an option that has it: $(call opt,OUT,out); its words: $(call each,EX).
q = '$(subst ','\'',$($1))'
opt = $(if $($1),--$2 $(call q,$1))
each = $(foreach one,$($1),'$(subst ','\'',$(one))')

# PYTHON is a path, with or without spaces, or a command with its options (py -3.12).
space := $(subst ,, )
SYSTEM = $(if $(wildcard $(subst $(space),\$(space),$(PYTHON))),$(call q,PYTHON),$(PYTHON))

# Exit code 1 is a result (a check fails, a question was answered with no), and make need not call it an error. Where a script
# reads it, STRICT=1 lets it through, and so does CI, which continuous integration sets.
RESULT = $(if $(STRICT)$(filter-out false 0,$(CI)),,|| { code=$$?; [ $$code -eq 1 ] || exit $$code; })

.PHONY: help test watch list look stretch try shell jupyter hint progress reset solution recall update doctor clean
.DEFAULT_GOAL := help

# A target's lines come from the comment beside it, "## VARIABLES | what it does;  more of it"; "##@" is a heading.
help:
	@awk -F ' *## *' '/^##@/ { printf "\n%s:\n", substr($$0, 5) } \
	  /^[a-z0-9]+:.*## / { split($$1, name, ":"); split($$2, part, / *\| */); lines = split(part[2], line, /;  /); \
	    left = name[1] (part[1] == "" ? "" : " ") part[1]; if (length(left) > 34) { printf "make %s\n", left; left = "" } \
	    for (i = 1; i <= lines; i++) { \
	      printf "%-5s%-34s %s\n", i == 1 && left ? "make" : "", i == 1 ? left : "", line[i] } }' $(MAKEFILE_LIST)

# ---- set-up -----------------------------------------------------------------------------------------------------------

$(VENV)/.core: pyproject.toml constraints.txt lab/corpus-requirements.txt
	@$(SYSTEM) -c "import sys; sys.exit(sys.version_info < (3, 11) and 'Python 3.11 or newer is needed; this is ' + sys.version.split()[0] + '. Name another: make PYTHON=python3.12')"
	@echo "Setting up $(VENV), once. PyTorch is large: this takes a minute or more."
	@$(SYSTEM) -m venv $(VENV)
	@$(PIP) torch
	@$(PIP) -e .
	@$(RUN) -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r lab/corpus-requirements.txt
	@touch $@

$(VENV)/.jupyter: $(VENV)/.core
	@echo "Adding JupyterLab."
	@$(PIP) jupyterlab ipykernel
	@touch $@

# ---- for learners -----------------------------------------------------------------------------------------------------

test: $(VENV)/.core ## [EX=05] | grade what you wrote
	@$(RUN) -m grader test $(call each,EX) $(ARGS) $(RESULT)

watch: $(VENV)/.core ## [EX=05] | grade at each save, with hints and more at a key
	@$(RUN) -m grader watch $(call each,EX) $(ARGS)

list: $(VENV)/.core ## | the exercises, their points, and about how long each takes
	@$(RUN) -m grader list

look: $(VENV)/.core ## EX=05 | a picture of what your code does;  ARGS=--open: in your viewer at once
	@$(RUN) -m grader look $(call each,EX) $(ARGS)

stretch: $(VENV)/.core ## EX=05 | check what you made of the lesson's stretch goals
	@$(RUN) -m grader stretch $(call each,EX) $(ARGS) $(RESULT)

try: $(VENV)/.core ## EX=05 | the lesson's example on your code;  then a Python prompt with all you built
	@$(RUN) -m grader try $(call each,EX) $(ARGS)

shell: $(VENV)/.core ## | a Python prompt with everything that you have built
	@$(RUN) -m grader shell $(ARGS)

jupyter: $(VENV)/.jupyter ## [EX=05] | the lessons as notebooks, with the experiments live
	@$(RUN) -m grader jupyter $(call each,EX) $(ARGS)

hint: $(VENV)/.core ## EX=05 [NAME=attend] [TIER=2] | a question; the next tier says more
	@$(RUN) -m grader hint $(call each,EX) $(if $(NAME),$(call q,NAME)) $(call opt,TIER,tier) $(ARGS)

progress: $(VENV)/.core ## | where you stand, and what is next
	@$(RUN) -m grader progress $(ARGS)

solution: $(VENV)/.core ## EX=05 [NAME=attend] | after a pass, or when you give up;  ARGS=--diff: beside yours
	@$(RUN) -m grader solution $(call each,EX) $(if $(NAME),$(call q,NAME)) $(ARGS) $(RESULT)

reset: $(VENV)/.core ## EX=05 | start over; a backup of yours is kept
	@$(RUN) -m grader reset $(call each,EX) $(ARGS) $(RESULT)

recall: $(VENV)/.core ## EX=05 | closed book, against the clock;  EX=gpt: the whole model from an empty file
	@$(RUN) -m grader recall $(call each,EX) $(ARGS) $(RESULT)

update: $(VENV)/.core ## | new lessons and checks; what you wrote stays
	@$(RUN) -m grader update $(foreach ex,$(KEEP),--keep $(ex)) $(ARGS)

# It has to run on a machine where nothing else does, so it sets nothing up.
doctor: ## | what this machine lacks, and how to fix it
	@$(if $(wildcard $(RUN)*),$(RUN),$(SYSTEM)) -m grader.learning.doctor $(RESULT)

clean:
	rm -rf $(VENV) .stubformer .pytest_cache .mypy_cache .ruff_cache build *.egg-info

# Not every copy has these: lab.mk comes with the encoder and decoder, capstone.mk with the GPT, chat.mk with the Llama,
# race.mk with the speedrun, author.mk with the whole project.
-include lab.mk capstone.mk chat.mk race.mk author.mk
