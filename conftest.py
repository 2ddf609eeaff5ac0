"""Loads the plugin that turns checks into tests."""

pytest_plugins = ("grader.pytest_plugin",)
