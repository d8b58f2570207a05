"""What every model of the custom resource shares.

Numbers are numbers, unknown fields are refused, values are frozen, and every list, string
and map has a bound, so that the API server can cost its rules and nothing grows without end.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, StringConstraints
from pydantic.alias_generators import to_camel

GROUP = "xnas.dev"
VERSION = "v1alpha1"
API_VERSION = f"{GROUP}/{VERSION}"
KIND = "ArchitectureSearch"
PLURAL = "architecturesearches"
SHORT_NAME = "nas"


class Model(BaseModel):
    """Base of all resource models: camelCase outside, snake_case inside."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        strict=True,
        allow_inf_nan=False,
    )

    def to_document(self) -> dict[str, Any]:
        """Return the model as a JSON document with the resource's own (camelCase) names."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


Name = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")]
"""An RFC 1123 label."""
MetricName = Annotated[str, StringConstraints(min_length=1, max_length=63, pattern=r"^[a-zA-Z][a-zA-Z0-9_]*$")]
Path = Annotated[str, StringConstraints(min_length=1, max_length=1024)]
Probability = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=1, le=1_000_000)]
Seconds = Annotated[int, Field(ge=1, le=31_536_000)]
Scalar = bool | int | float | Annotated[str, StringConstraints(max_length=1024)]
ParameterValue = Scalar | Annotated[list[Scalar], Field(max_length=64)]
Parameters = Annotated[
    dict[Annotated[str, StringConstraints(min_length=1, max_length=63)], ParameterValue], Field(max_length=32)
]
"""Free-form parameters of a plug-in; the plug-in itself checks them."""
