"""On-device mobile packaging: plan, lower, verify."""
