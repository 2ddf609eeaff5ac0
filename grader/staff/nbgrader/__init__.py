"""Courses for nbgrader, written by one command and graded by this project's judge."""
