"""The least latency that the other limits allow."""

from sdk.planning.objectives.objective import Objective

OBJECTIVE = Objective(name="fastest", minimise="max_latency", then="loss", summary="least predicted latency within limits")
