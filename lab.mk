# Targets that train what was built and look at it, from the encoder and decoder on. The Makefile reads this file.

.PHONY: train sample map

# The prompt may hold several lines, so it goes by the environment and not through the shell's hands.
export PROMPT

##@ With a model of your own

train: $(VENV)/.core ## [ARGS=...] | train your own model;  MODEL=llama or TASK=reverse: another one;  RESUME=1: go on
	@$(RUN) -m lab train $(call opt,TASK,task) $(call opt,MODEL,model) $(if $(RESUME),--resume) $(ARGS)

sample: $(VENV)/.core ## PROMPT="..." | let it write;  ARGS=--speed: tokens a second without and with your KV cache
	@$(RUN) -m lab sample $(call opt,TASK,task) $(call opt,MODEL,model) $(if $(PROMPT),--prompt "$$PROMPT") $(ARGS)

map: $(VENV)/.core ## [RUN_NAME=...] | its inside, live in a page;  ARGS=--open: in your browser at once
	@$(RUN) -m lab map $(call opt,TASK,task) $(call opt,MODEL,model) $(call opt,RUN_NAME,run) $(ARGS)
