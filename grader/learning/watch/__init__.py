"""The watch: each save is graded as it happens (`make watch`)."""
