"""A reference evaluator of MIL programs on torch, in float32."""
