"""Explanations: which pixels of an image speak for the class that a network chose.

An explainer is a plug-in (entry-point group `xnas.explainers`); docs/plugins/explainer.md shows a whole one.
"""

from __future__ import annotations

from xnas_evaluator.explain.base import Explainer, Explanation, NotApplicableError

__all__ = ["Explainer", "Explanation", "NotApplicableError"]
