"""The whole way: a request becomes a plan, a plan a verified bundle."""

from sdk.bundles import Finding
from sdk.pipeline.ahead import pricing_ahead
from sdk.pipeline.finished import BundleKey, bundle_key
from sdk.pipeline.fronts import Axis, Trade, front_of
from sdk.pipeline.packaging import package_request as package
from sdk.pipeline.planning import Planned, score_together
from sdk.pipeline.planning import plan_request as make_plan
from sdk.pipeline.recovering import recover_request as recover
from sdk.pipeline.request import Request
from sdk.pipeline.sources import Sources, read_sources
from sdk.pipeline.surveyed import Survey, place_finished, recall_survey, remember_survey, survey_key
from sdk.pipeline.verifying import verify_bundle
from sdk.pipeline.workbench import Workbench

__all__ = [
    "Axis", "BundleKey", "Finding", "Planned", "Request", "Sources", "Survey", "Trade", "Workbench", "bundle_key",
    "front_of", "make_plan", "package", "place_finished", "pricing_ahead", "read_sources", "recall_survey", "recover",
    "remember_survey", "score_together", "survey_key", "verify_bundle",
]  # fmt: skip
