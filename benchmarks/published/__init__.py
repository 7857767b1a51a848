"""Latency of devices that nobody probed, from published rows: what transfers, and how far it can be trusted."""
