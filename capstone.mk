# Further targets under the heading of lab.mk, for a whole GPT of one's own. The Makefile reads this file.

.PHONY: certificate gpt2 ablate

export PROMPT

certificate: $(VENV)/.core ## [NAME="Ada"] [RUN_NAME=...] | what you built and what it writes, to show around
	@$(RUN) -m lab certificate $(call opt,MODEL,model) $(call opt,RUN_NAME,run) $(call opt,NAME,for) $(ARGS)

gpt2: $(VENV)/.core ## PROMPT="..." | the published GPT-2 in your pieces;  ARGS="--text my.txt": its loss on that
	@$(RUN) -m lab gpt2 $(if $(PROMPT),--prompt "$$PROMPT") $(ARGS)

ablate: $(VENV)/.core ## [ARGS="--seconds 20"] | one piece less at a time: what each of yours buys
	@$(RUN) -m lab ablate $(ARGS)
