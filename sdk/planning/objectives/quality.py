"""The least loss that the size limit holds."""

from sdk.planning.objectives.objective import Objective

OBJECTIVE = Objective(name="quality", minimise="loss", then="bytes", summary="least loss within limits")
