"""The hours between two runs: the watch, quizzes, closed-book recalls, updates, and mending a set-up."""
