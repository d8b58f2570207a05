"""Formula and source of each built-in metric, for the report's glossary.

They say the same as the docstrings of the evaluator's measures, which the report cannot import.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_CARMICHAEL = "Carmichael, Moon and Jacobs 2023"
_BINS = "∑ over bins of n_b / n · |accuracy_b − confidence_b|"

FORMULAS: Mapping[str, tuple[str, str]] = {
    "accuracy": ("samples with argmax f(x) = y / samples", "standard error √(a (1 − a) / n)"),
    "loss": ("mean of −ln softmax(f(x))_y", "cross-entropy in nat"),
    "introspectability": (
        "mean over class pairs c < k of 1 − cos(φ_c, φ_k), with φ_c the mean over the samples of class c of all "
        "counted activations, joined; pairs with an empty class or a zero vector are left out",
        f"{_CARMICHAEL}; standard error: jackknife over classes",
    ),
    "introspectability_weighted": (
        "∑ over pairs of s_ck (1 − cos(φ_c, φ_k)) / ∑ of s_ck, with s_ck the similarity of the two classes",
        _CARMICHAEL,
    ),
    "introspectability_live": (
        "introspectability of those operations whose replacement by their mean (or zero) changes the class scores by "
        "more than a tolerated share of their spread",
        f"{_CARMICHAEL} for the value, ablation after Meyes et al. 2019",
    ),
    "futile_share": ("max(0, 1 − introspectability of live activations / introspectability)", "XNAS"),
    "parameters": ("weights and biases of all layers that are trained", "counted in the network's graph"),
    "macs": ("multiplications of all convolutions and linear layers for one sample", "counted in the network's graph"),
    "latency_ms": (
        "median of repeated forward passes of one batch; where the search asks for it, while no other worker of the "
        "evaluator computes",
        "wall clock",
    ),
    "train_seconds": ("sum over all attempts at this candidate", "wall clock"),
    "generalization_gap": ("training accuracy − validation accuracy", "standard error √(e_t² + e_v²)"),
    "infidelity": (
        "mean over samples of E_I (β I · φ − Δ)² / E_I Δ², with Δ = f(x) − f(x − I) the change of the class score and "
        "β = E_I (Δ I · φ) / E_I (I · φ)² the factor that fits best; with scale: fitted not divided by E_I Δ², with "
        "scale: plain also with β = 1",
        "Yeh et al. 2019, definition 2.1; the division by E_I Δ² is ours",
    ),
    "max_sensitivity": (
        "mean over samples of the maximum of |φ(x′) − φ(x)| / |φ(x)| over random x′ near x",
        "Yeh et al. 2019, definition 3.1, relative",
    ),
    "sparsity": (
        "mean over samples of the Gini index of |φ|",
        "Chalasani et al. 2020; index: Hurley and Rickard 2009",
    ),
    "explainer_agreement": (
        "mean over samples of Spearman’s ρ of two explainers’ pixels, of their sizes unless compare: signed",
        "Krishna et al. 2022",
    ),
    "completeness_error": (
        "∑ |∑ φ − (f(x) − f(x₀))| / ∑ |f(x) − f(x₀)| over samples", "Sundararajan, Taly and Yan 2017, proposition 1",
    ),
    "completeness_delta": (
        "mean over samples of |∑ φ − (f(x) − f(x₀))|, in units of the class score",
        "Sundararajan, Taly and Yan 2017, proposition 1",
    ),
    "randomization_sanity": (
        "mean over samples of |ρ|, Spearman’s ρ of attributions by the trained and by a randomised network",
        "Adebayo et al. 2018",
    ),
    "expected_calibration_error": (
        f"{_BINS}, by softmax probability, 15 bins unless the search gives another number",
        "Guo et al. 2017, equation 3",
    ),
    "activation_calibration": (
        "Pearson’s (or Spearman’s) correlation over bins of mean similarity cos(a(x), φ of the predicted class) with "
        "accuracy, each bin that holds samples counting once",
        f"{_CARMICHAEL}; standard error: bootstrap over samples",
    ),
    "adversarial_accuracy": (
        "share with argmax f(x′) = y for x′ = clip(x + ε sign ∇L(f(x), y)), one step",
        "Goodfellow, Shlens and Szegedy 2015 (FGSM)",
    ),
    "distance_confusion_correlation": (
        "Pearson’s correlation over class pairs c < k of cos(φ_c, φ_k) − 1 with the mistakes between them, "
        "C_ck + C_kc",
        _CARMICHAEL,
    ),
    "misprediction_auc": (
        "probability that a mistake has a smaller cos(a(x), φ of the predicted class) than a right prediction, equal "
        "ones counting one half",
        f"{_CARMICHAEL}; standard error: Hanley and McNeil 1982",
    ),
    "misprediction_auc_softmax": (
        "probability that a mistake has a smaller softmax probability than a right prediction, equal ones counting "
        "one half",
        "standard error: Hanley and McNeil 1982",
    ),
    "activation_calibration_correlation": (
        "Pearson’s correlation over 50 bins of mean similarity cos(a(x), φ of the predicted class) with accuracy",
        _CARMICHAEL,
    ),
    "softmax_calibration_correlation": (
        "Pearson’s correlation over 50 bins of mean softmax probability with accuracy",
        _CARMICHAEL,
    ),
    "refined_distance": ("mean of 1 − cos(φ_c, φ_k) over the pairs that were to be pulled apart", _CARMICHAEL),
    "refined_distance_before": (
        "mean of 1 − cos(φ_c, φ_k) over the pairs that were to be pulled apart",
        _CARMICHAEL,
    ),
    "activation_ece": (f"{_BINS}, 50 bins of the similarity", "Guo et al. 2017, equation 3"),
    "softmax_ece": (f"{_BINS}, 50 bins of the softmax probability", "Guo et al. 2017, equation 3"),
}  # fmt: skip
"""(formula, source) by metric."""

_DERIVED = (
    re.compile(r"(introspectability)_(?:true|predicted)_class"),
    re.compile(r"test_(.+)"),
    re.compile(r"(futile_share)_.+"),
    re.compile(r"(completeness_delta)_.+"),
    re.compile(r"refined_(.+)"),
)


def formula(name: str) -> tuple[str, str]:
    """Return formula and source of a metric, or of the one that it is derived from; two empty texts where unknown."""
    found = next((match[1] for form in _DERIVED if (match := form.fullmatch(name))), name)
    return FORMULAS.get(name) or FORMULAS.get(found) or ("", "")
