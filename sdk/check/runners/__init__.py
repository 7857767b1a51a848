"""Runners: each sibling file with a `RUNNER` knows one way to run an artifact somewhere."""
