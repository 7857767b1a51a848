"""The least peak memory that the other limits allow."""

from sdk.planning.objectives.objective import Objective

OBJECTIVE = Objective(name="least-memory", minimise="max_memory", then="loss", summary="least predicted memory within limits")
