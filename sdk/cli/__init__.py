"""The command `sdk`: one file per verb, nothing heavy imported before a verb needs it."""

from sdk.cli.main import main

__all__ = ["main"]
