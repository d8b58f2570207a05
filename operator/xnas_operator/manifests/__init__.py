"""Documents of what the operator makes for a search. Pure functions: plain values in, plain dicts out."""

from xnas_operator.manifests.defaults import EvaluatorDefaults
from xnas_operator.manifests.job import (
    DELETE_OPTIONS,
    JobAction,
    JobPlan,
    evaluator_job,
    job_change,
    plan_job,
)
from xnas_operator.manifests.names import (
    CONTAINER,
    FIELD_MANAGER,
    SEARCH_LABEL,
    UID_LABEL,
    Owner,
    ca_name,
    job_name,
    labels,
    object_name,
    selector,
    service_account_name,
)
from xnas_operator.manifests.objects import ca_config_map, service_account

__all__ = [
    "CONTAINER",
    "DELETE_OPTIONS",
    "FIELD_MANAGER",
    "SEARCH_LABEL",
    "UID_LABEL",
    "EvaluatorDefaults",
    "JobAction",
    "JobPlan",
    "Owner",
    "ca_config_map",
    "ca_name",
    "evaluator_job",
    "job_change",
    "job_name",
    "labels",
    "object_name",
    "plan_job",
    "selector",
    "service_account",
    "service_account_name",
]
