"""Fixtures that every test module may ask for."""

pytest_plugins = ["tests.support.azurite"]
