"""The parts of a spec that say how networks are explained."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, StringConstraints

from xnas_core.api.base import Model, Parameters

ExplainerName = Annotated[str, StringConstraints(min_length=1, max_length=63)]


class ExplainerSpec(Model):
    """Parameters of one explainer. What is not named has its default."""

    name: ExplainerName
    """Name of a built-in explainer or of a plug-in; it does not ask for explanations by itself."""
    parameters: Parameters = {}
    """Parameters of the explainer; a plug-in's are its arguments."""


class ExplanationScope(StrEnum):
    """Which candidates are explained."""

    FRONT = "front"
    ALL = "all"
    NONE = "none"


class ExplanationsSpec(Model):
    """Attributions that are made and kept."""

    methods: Annotated[list[ExplainerName], Field(max_length=16)] = [
        "integratedGradients",
        "gradCam",
    ]
    """integratedGradients, gradCam, saliency, inputXGradient, deepLift, gradientShap, guidedGradCam, occlusion,
    layerConductance or a plug-in's name."""
    samples_per_class: Annotated[int, Field(ge=1, le=100)] = 2
    """Validation samples of each class, seeded."""
    scope: ExplanationScope = ExplanationScope.FRONT
    """front explains the final front; all explains every candidate; none explains nothing."""
