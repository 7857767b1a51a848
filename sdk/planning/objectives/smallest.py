"""The fewest bytes that the loss limit allows."""

from sdk.planning.objectives.objective import Objective

OBJECTIVE = Objective(name="smallest", minimise="bytes", then="loss", summary="fewest bytes within limits")
