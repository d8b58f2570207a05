"""compare.html: several searches side by side, one file that works offline, like the report. It needs no script."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from xnas_core.analysis.arms import Arm, Comparison, Trial
from xnas_core.analysis.contrasts import Contrast, contrasts
from xnas_core.analysis.summaries import ArmSummary, Averaged, averaged, summaries
from xnas_core.report.comparison_plots import fields, fronts_plot, joint_front, mark, volumes_plot
from xnas_core.report.files import replace_file
from xnas_core.report.glossary import Entry, terms
from xnas_core.report.numbers import number, p_value, plural, signed
from xnas_core.report.pages import fragment, policy, text
from xnas_core.report.svg import tag

_MEMBERS = 60
"""Members of an arm's joint front that are listed."""
_MILESTONES = 10
_SENTENCES = 6
_WORDS = ("front", "hypervolume", "reference point")


@dataclass(frozen=True, slots=True)
class Row:
    """An arm with its mark, its figures and its hypervolume at milestones (None: it does not go so far)."""

    arm: Arm
    mark: Markup
    figures: ArmSummary
    milestones: tuple[Averaged | None, ...]
    members: tuple[tuple[float, ...], ...]


def write_comparison(comparison: Comparison, path: Path) -> None:
    """Write `render_comparison`, replacing the file whole; raise StoreError if it cannot."""
    replace_file(path, render_comparison(comparison).encode())


def render_comparison(comparison: Comparison) -> str:
    """Return the comparison as HTML. The same searches give the same bytes."""
    style = text("report.css")
    objectives = fields(comparison.views[0])
    found = contrasts(comparison)
    pairs = list(itertools.combinations(range(len(objectives)), 2))
    steps = milestones(comparison)
    rows = [
        Row(
            arm,
            tag("svg", mark(place, 8, 8, 6), viewBox="0 0 16 16", width="16", height="16", aria_hidden="true"),
            figures,
            tuple(_at(arm, step) for step in steps),
            tuple(joint_front(arm, *pairs[0])[:_MEMBERS]) if len(pairs) == 1 else (),
        )
        for place, (arm, figures) in enumerate(zip(comparison.arms, summaries(comparison), strict=True))
    ]
    measured = comparison.reference is not None and comparison.budget > 0
    return str(
        fragment(
            "compare.html.j2",
            comparison=comparison,
            objectives=objectives,
            rows=rows,
            searches=[(arm, trial) for arm in comparison.arms for trial in arm.trials],
            sentences=sentences(comparison, found),
            contrasts=found,
            steps=steps,
            fronts=[(objectives[y].name, objectives[x].name, fronts_plot(comparison, x, y)) for x, y in pairs],
            volumes=volumes_plot(comparison) if measured else "",
            words=[entry for entry in terms() if entry.name in _WORDS] + list(_WORDS_OF_COMPARISONS),
            averaged=averaged_text,
            own_end=own_end,
            members_limit=_MEMBERS,
            policy=policy(style, ""),
            style=Markup(style),
        )
    )


def sentences(comparison: Comparison, found: tuple[Contrast, ...]) -> list[str]:
    """Return what the comparison found, in plain sentences."""
    said = [
        f"{counted(len(comparison.views))} in {plural(len(comparison.arms), 'arm')}; an arm is one spec with different "
        "seeds."
    ]
    figures = [f for f in summaries(comparison) if f.at_budget.mean is not None]
    if comparison.budget and len(figures) > 1:
        best = max(figures, key=lambda f: f.at_budget.mean or 0.0)
        said.append(
            f"After {plural(comparison.budget, 'evaluation')}, as many as every search has, arm {best.arm.letter} has "
            f"the largest mean hypervolume: {averaged_text(best.at_budget)}."
        )
    said += [_contrast_sentence(contrast) for contrast in found[:_SENTENCES]]
    if len(comparison.arms) > 1 and not found and comparison.budget:
        said.append("Whether arms differ by more than chance cannot be told from one search each; run more seeds.")
    return said


def milestones(comparison: Comparison) -> list[int]:
    """Return ten numbers of evaluations up to the largest that any arm has."""
    most = max(arm.evaluations for arm in comparison.arms)
    return sorted({max(1, round(most * k / _MILESTONES)) for k in range(1, _MILESTONES + 1)} if most else ())


def averaged_text(value: Averaged, unit: str = "1") -> str:
    """Return "0.497 (0.481 to 0.513)", or without an interval where there is none."""
    if value.low is None or value.high is None:
        return number(value.mean, unit)
    return f"{number(value.mean, unit)} ({number(value.low)} to {number(value.high)})"


def own_end(trial: Trial) -> float | None:
    """Return a search's last hypervolume; None before the first evaluation."""
    return float(trial.volumes[-1]) if trial.evaluations else None


def counted(searches: int) -> str:
    """Return "1 search", "2 searches"."""
    return f"{searches} search{'' if searches == 1 else 'es'}"


def _contrast_sentence(contrast: Contrast) -> str:
    how = "seeds paired, signs flipped" if contrast.test == "paired" else "Mann and Whitney’s rank test"
    said = (
        f"{contrast.first} less {contrast.second}: {signed(contrast.difference)} hypervolume (95 % "
        f"{signed(contrast.low)} to {signed(contrast.high)}; {how}, {p_value(contrast.p)}"
    )
    if contrast.corrected > contrast.p:
        said += f", corrected for all pairs {p_value(contrast.corrected)}"
    said += ")"
    if contrast.least > 0.05:
        said += f". With so few searches no difference whatever could give less than {p_value(contrast.least)}"
    return said + "."


def _at(arm: Arm, evaluations: int) -> Averaged | None:
    if evaluations > arm.evaluations:
        return None
    column = arm.volumes[:, evaluations - 1]
    return averaged(column.tolist())


_WORDS_OF_COMPARISONS = (
    Entry(
        "term-interval",
        "interval",
        "In parentheses: the 95 % t interval of the mean over seeds, mean ± t s / √n with n − 1 degrees of freedom "
        "(Student 1908). It takes the searches of an arm as independent draws with roughly normal results; with few "
        "seeds it is wide, and rightly so. Bands are intervals for each number of evaluations by itself.",
    ),
    Entry(
        "term-test",
        "test",
        "Of the hypervolume after as many evaluations as every search has. Where two arms have the same seeds, the "
        "signs of the differences are flipped in all ways (Fisher 1935); else the ranks are grouped in all ways (Mann "
        "and Whitney 1947), or in 20,000 seeded ones where there are too many. Two-sided, corrected for all pairs of "
        "arms by Holm 1979.",
    ),
)
