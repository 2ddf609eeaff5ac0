"""Processes in which checks run, and how they are asked."""
