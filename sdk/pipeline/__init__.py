"""The whole way: a request becomes a plan, a plan a verified bundle."""

from sdk.bundles import Finding
from sdk.pipeline.ahead import pricing_ahead
from sdk.pipeline.finished import BundleKey, bundle_key
from sdk.pipeline.packaging import package_request as package
from sdk.pipeline.packaging import place_known
from sdk.pipeline.planning import Planned, score_together
from sdk.pipeline.planning import plan_request as make_plan
from sdk.pipeline.recovering import recover_request as recover
from sdk.pipeline.request import Request
from sdk.pipeline.verifying import verify_bundle
from sdk.pipeline.workbench import Workbench

__all__ = [
    "BundleKey", "Finding", "Planned", "Request", "Workbench", "bundle_key", "make_plan", "package", "place_known",
    "pricing_ahead", "recover", "score_together", "verify_bundle",
]  # fmt: skip
