"""The custom resource: models, validation, CRD."""

from xnas_core.api.change import changed_fields, spec_digest
from xnas_core.api.paths import resolve_paths
from xnas_core.api.problems import Problem, Severity, SpecError
from xnas_core.api.resource import ArchitectureSearch
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.api.validate import LoadedSearch, load_search, load_searches, validate_file

__all__ = [
    "ArchitectureSearch",
    "ArchitectureSearchSpec",
    "LoadedSearch",
    "Problem",
    "Severity",
    "SpecError",
    "changed_fields",
    "load_search",
    "load_searches",
    "resolve_paths",
    "spec_digest",
    "validate_file",
]
