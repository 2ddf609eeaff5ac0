# Targets that use what was built, once there is a whole model. The Makefile reads this file.

.PHONY: train sample map certificate gpt2 ablate

# The prompt may hold several lines, so it goes by the environment and not through the shell's hands.
export PROMPT

##@ With a model of your own

train: $(VENV)/.core ## [ARGS=...] | train your own GPT;  MODEL=llama or TASK=reverse: another model;  RESUME=1: go on
	@$(RUN) -m lab train $(call opt,TASK,task) $(call opt,MODEL,model) $(if $(RESUME),--resume) $(ARGS)

sample: $(VENV)/.core ## PROMPT="..." | let it write;  ARGS=--speed: tokens a second without and with your KV cache
	@$(RUN) -m lab sample $(call opt,TASK,task) $(call opt,MODEL,model) $(if $(PROMPT),--prompt "$$PROMPT") $(ARGS)

map: $(VENV)/.core ## [RUN_NAME=...] | its inside, live in a page;  ARGS=--open: in your browser at once
	@$(RUN) -m lab map $(call opt,TASK,task) $(call opt,MODEL,model) $(call opt,RUN_NAME,run) $(ARGS)

certificate: $(VENV)/.core ## [NAME="Ada"] [RUN_NAME=...] | what you built and what it writes, to show around
	@$(RUN) -m lab certificate $(call opt,MODEL,model) $(call opt,RUN_NAME,run) $(call opt,NAME,for) $(ARGS)

gpt2: $(VENV)/.core ## PROMPT="..." | the published GPT-2 in your pieces;  ARGS="--text my.txt": its loss on that
	@$(RUN) -m lab gpt2 $(if $(PROMPT),--prompt "$$PROMPT") $(ARGS)

ablate: $(VENV)/.core ## [ARGS="--seconds 20"] | one piece less at a time: what each of yours buys
	@$(RUN) -m lab ablate $(ARGS)
