"""The evaluator: agent, workers, training, metrics, explanations.

`load_model` is found here, but torch is imported only when it is asked for: the agent never needs it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xnas_evaluator.export import export_model
    from xnas_evaluator.loading import load_model

__all__ = ["export_model", "load_model"]


def __getattr__(name: str) -> Any:
    if name == "load_model":
        from xnas_evaluator.loading import load_model

        return load_model
    if name == "export_model":
        from xnas_evaluator.export import export_model

        return export_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
