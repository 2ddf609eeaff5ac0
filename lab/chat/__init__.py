"""A published chat model in the Llama that a learner built."""
