"""What was found, in plain sentences with numbers: the first screen, made from the figures of the other sections."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from markupsafe import Markup

from xnas_core.analysis.correlation import Correlation
from xnas_core.analysis.motifs import ALPHA, Motif
from xnas_core.report.confirmed import flattery
from xnas_core.report.data import standard_error
from xnas_core.report.material import Material
from xnas_core.report.numbers import grouped, number, p_value, plural, share, signed, with_error
from xnas_core.report.summary import best_member, listed
from xnas_core.report.wording import motif_words
from xnas_core.search.view import CandidateRecord, CandidateState

_STRONG = 0.3
"""Rank correlation from which a relation is worth a sentence."""


def findings(material: Material) -> tuple[Markup, ...]:
    """Return the sentences; none before anything was scored."""
    makers: tuple[Callable[[Material], Sequence[Markup]], ...] = (
        _extremes, _trade, _tested, _confirmed, _owing, _preferences, _costs, _progress, _failures,
    )  # fmt: skip
    return tuple(sentence for make in makers for sentence in make(material))


def _extremes(material: Material) -> list[Markup]:
    """The best of each objective, and what it has of the others."""
    view = material.view
    sentences = []
    for k, objective in enumerate(view.spec.objectives if len(view.spec.objectives) > 1 else ()):
        best = best_member(material.data, k)
        if best is None:
            continue
        own = with_error(best.objectives[k], standard_error(best, objective), material.data.fields[k].unit)
        others = listed([
            f"{other.name} {number(best.objectives[j], material.data.fields[j].unit)}"
            for j, other in enumerate(view.spec.objectives) if j != k
        ])  # fmt: skip
        sentences.append(
            Markup("The best {} is <b>{}</b>, of {}, with {}.").format(
                material.glossary.link(objective.name), own, _card(best), others
            )
        )
    return sentences


def _trade(material: Material) -> list[Markup]:
    """What the knee point costs and gains, with two objectives."""
    view, knee = material.view, material.summary.knee
    if knee is None or len(view.spec.objectives) != 2:
        return []
    record = view.candidates[knee]
    first = best_member(material.data, 0)
    if first is None or first.id == record.id:
        return []
    lost, gained = (abs((record.objectives[k] or 0.0) - (first.objectives[k] or 0.0)) for k in (0, 1))
    names = [objective.name for objective in view.spec.objectives]
    units = [field.unit for field in material.data.fields[:2]]
    return [
        Markup("The {}, {}, is {} worse in {} than the best, and {} better in {}.").format(
            material.glossary.link("knee point"), _card(record), number(lost, units[0]), names[0],
            number(gained, units[1]), names[1],
        )
    ]  # fmt: skip


def _tested(material: Material) -> list[Markup]:
    """How the front does on data that no decision was based on."""
    sentences = []
    for k, objective in enumerate(material.view.spec.objectives):
        pairs = [
            (record.objectives[k], record.metrics.get(f"test_{objective.metric_name}"))
            for record in (material.view.candidates[i] for i in material.data.front)
        ]
        gaps = [test - own for own, test in pairs if own is not None and test is not None]
        if gaps:
            mean = sum(gaps) / len(gaps)
            sentences.append(
                Markup(
                    "On the test split, which the search never saw, the {} of {} changes by <b>{}</b> on average."
                ).format(material.glossary.link(objective.name), plural(len(gaps), "front member"), signed(mean))
            )
    return sentences


def _confirmed(material: Material) -> list[Markup]:
    """How much the front flatters itself."""
    found = flattery(material.view)
    if not found:
        return []
    seeds = max(item.seeds or 0 for item in found)
    again = f"{seeds} other seed{'' if seeds == 1 else 's'}" if seeds else "other seeds"
    changes = [
        f"{material.view.spec.objectives[item.objective].name} {signed(abs(item.better))[1:]} "
        f"{'worse' if item.better >= 0 else 'better'}"
        for item in found
    ]
    members = max(item.members for item in found)
    whom = "the front" if members == len(material.data.front) else plural(members, "front member")
    return [
        Markup("{}: trained again with {}, {} has <b>{}</b>, on average.").format(
            material.glossary.link("confirmed", "Confirmed"), again, whom, listed(changes)
        )
    ]


def _owing(material: Material) -> list[Markup]:
    """Front members that are there for parts of the network that lead nowhere."""
    if not material.owing:
        return []
    worst = max(material.owing.values(), key=lambda owed: owed.share)
    return [
        Markup('<a href="#members">{}</a> would not be on it without {}, to which up to {} of {} is owed.').format(
            plural(len(material.owing), "front member"), material.glossary.link("futile activations"),
            share(worst.share), material.view.spec.objectives[worst.objective].name,
        )
    ]  # fmt: skip


def _preferences(material: Material) -> list[Markup]:
    """The choices and the motif that set the front apart."""
    study, single = material.motifs, material.choices
    if study is None or single is None or not study.motifs:
        return []
    sentences = []
    for over, said in ((True, "more"), (False, "less")):
        found = single.found(over=over, limit=1)
        if found:
            sentences.append(
                Markup('The front has <a href="#choices">{}</a> {} often than all that was scored: {}.').format(
                    motif_words(material, found[0]), said, _shares(found[0], study.members, study.scored)
                )
            )
    larger = [m for m in study.found(over=True, limit=20) if len(m.genes) > 1]
    if larger:
        sentences.append(
            Markup('The {} that sets it apart most: <a href="#choices">{}</a>, {}.').format(
                material.glossary.link("motif"), motif_words(material, larger[0]),
                _shares(larger[0], study.members, study.scored),
            )
        )  # fmt: skip
    return sentences


def _shares(motif: Motif, members: int, scored: int) -> str:
    on_front, of_all = share(motif.front / members), share(motif.everyone / scored)
    return f"{on_front} against {of_all} (corrected {p_value(motif.corrected)})"


def _costs(material: Material) -> list[Markup]:
    """What goes with what networks cost: the strongest relation of each objective."""
    strongest: dict[str, Correlation] = {}
    for found in material.correlations:
        known = strongest.get(found.objective)
        if (
            found.corrected <= ALPHA
            and abs(found.rho) >= _STRONG
            and (known is None or abs(found.rho) > abs(known.rho))
        ):
            strongest[found.objective] = found
    return [
        Markup('Among all that was scored {} <a href="#costs">{}</a> with {} ({} {}, 95 % {} to {}).').format(
            material.glossary.link(c.objective), "rises" if c.rho > 0 else "falls", c.cost,
            material.glossary.link("rank correlation"), *map(signed, (c.rho, c.low, c.high)),
        )
        for c in strongest.values()
    ]  # fmt: skip


def _progress(material: Material) -> list[Markup]:
    """When the search had found what it found, and whether it was still improving."""
    history = material.view.history
    if len(history) < 20 or not history[-1].hypervolume:
        return []
    last = history[-1].hypervolume
    early = next(p.evaluations for p in history if p.hypervolume >= 0.95 * last)
    before = history[-1 - len(history) // 10].hypervolume
    return [
        Markup(
            '95 % of the final {} was reached after <a href="#progress">{} of {}</a> evaluations; the last tenth added '
            "{}."
        ).format(
            material.glossary.link("hypervolume"), grouped(early), grouped(len(history)), _percent(1 - before / last)
        )
    ]


def _percent(part: float) -> str:
    return "nothing" if part <= 0 else "less than 0.1 %" if part < 0.001 else f"{100 * part:.1f} %"


def _failures(material: Material) -> list[Markup]:
    """Candidates that failed for good, and why."""
    failed = [c for c in material.view.candidates if c.state is CandidateState.FAILED]
    if not failed:
        return []
    reasons = Counter(c.failure.partition(":")[0] for c in failed).most_common(3)
    said = ", ".join(f"{reason} ({count})" if len(reasons) > 1 else reason for reason, count in reasons)
    return [Markup('<a href="#failures">{}</a> failed for good: {}.').format(plural(len(failed), "candidate"), said)]


def _card(record: CandidateRecord) -> Markup:
    return Markup('<a class="id" href="#card-{0}">{0}</a>').format(record.id)
