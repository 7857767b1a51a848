"""Measures `sdk sweep`: two executors, killed workers and drivers, a second run, eight sweeps on one cache."""
