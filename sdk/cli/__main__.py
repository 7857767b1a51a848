"""`python -m sdk.cli`, the same as the command `sdk`."""

from sdk.cli.main import main

main()
