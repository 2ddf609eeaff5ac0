"""Trying the suites: every known mistake and every small change of a reference must be noticed."""
