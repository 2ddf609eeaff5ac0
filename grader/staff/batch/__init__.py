"""Grading a whole class: what was handed in, one unit of work for each submission, tables and a report of all."""
