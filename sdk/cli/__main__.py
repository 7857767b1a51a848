"""`python -m sdk.cli`, the same as the command `sdk`."""

from sdk.cli.main import main

if __name__ == "__main__":
    main()
