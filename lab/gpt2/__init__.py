"""GPT-2 as it was published, in the pieces that a learner built."""
