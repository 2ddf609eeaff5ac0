# The race of the last exercise. The Makefile reads this file.

.PHONY: speedrun

##@ With a recipe of your own

speedrun: $(VENV)/.core ## [ARGS="--seeds 3"] | race it against the plain one, in CPU seconds
	@$(RUN) -m lab speedrun $(ARGS)
