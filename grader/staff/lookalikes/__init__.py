"""Submissions that look alike, for a human to look at: which share what hardly anybody writes by themselves.

Two libraries were tried. compare50 ranks pairs without saying from where on they mean anything, and its licence (GPL 3)
is not ours; copydetect had its last release in March 2024 and brings matplotlib. Both read sources in the process that
calls them, without limits. What is here does it in a process that has them, and knows what the exercise gives away:
nothing counts that stands in the stub, or that the reference has, too.
"""
