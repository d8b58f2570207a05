"""What the sections of the report say, against the search that they are made from."""

from __future__ import annotations

import re
from dataclasses import replace
from statistics import fmean

import pytest

from tests.report.html_check import Checker
from xnas_core.api.metric_parameters import METRIC_PARAMETERS
from xnas_core.objectives import DIAGNOSED, METRICS
from xnas_core.report import render
from xnas_core.report.confirmed import confirmed, confirmed_text, flattery
from xnas_core.report.data import report_data
from xnas_core.report.family_tree import LARGEST, draw_tree, generation_rows, tree_places
from xnas_core.report.findings import findings
from xnas_core.report.formulas import FORMULAS, formula
from xnas_core.report.glossary import glossary
from xnas_core.report.material import material
from xnas_core.report.numbers import number, p_value, share, signed
from xnas_core.report.pictures import Pictures
from xnas_core.report.sections import preferences
from xnas_core.report.sections.progress import milestones
from xnas_core.report.wording import motif_words
from xnas_core.search.view import SearchState
from xnas_core.search.viewing import view as view_of
from xnas_core.testing.growing_search import GrowingSearch, spec_document
from xnas_core.testing.sample_search import sample_search

SAMPLE = sample_search(160, confirmed=3)
VIEW = SAMPLE.view
MATERIAL = material(VIEW, SAMPLE.read)
PAGE = render(VIEW, SAMPLE.read)


def plain(markup: object) -> str:
    """The text that is read; a space that does not break counts as a space."""
    return Checker(str(markup)).words


def spaced(text: str) -> str:
    return " ".join(text.split())


def test_every_name_of_a_metric_leads_to_its_meaning() -> None:
    entries = {entry.id: entry for entry in MATERIAL.glossary.metrics}
    linked = re.findall(r'<dt><a href="#(metric-\d+)" class="term">([^<]+)</a>', PAGE)
    assert linked
    for identity, name in linked:
        # Tiles say "Best accuracy".
        assert name.removeprefix("Best ") == entries[identity].name
        assert f'<div id="{identity}"><dt>{entries[identity].name}' in PAGE
    for entry in entries.values():
        assert entry.meaning


def test_built_in_metrics_have_a_formula_and_a_source() -> None:
    assert set(METRICS) | set(DIAGNOSED) <= set(FORMULAS)
    assert all(said and source for said, source in FORMULAS.values())
    assert formula("test_accuracy") == formula("accuracy")
    assert formula("introspectability_true_class") == formula("introspectability")
    assert formula("of a plug-in") == ("", "")
    entry = next(e for e in MATERIAL.glossary.metrics if e.name == "introspectability")
    assert "cos(φ_c, φ_k)" in entry.formula
    assert "Carmichael" in entry.source
    assert entry.formula in Checker(PAGE).words


def test_the_formula_of_infidelity_is_that_of_its_default() -> None:
    """`scale: relative` divides by the mean squared change; `plain` is the formula of the paper."""
    assert METRIC_PARAMETERS["infidelity"]["scale"].default == "relative"
    assert "/ E_I Δ²" in formula("infidelity")[0]


def test_what_later_tasks_record_has_a_meaning_too() -> None:
    names = ("completeness_delta", "completeness_delta_deepLift", "refined_distance", "refined_distance_before")
    member = next(i for i, c in enumerate(VIEW.candidates) if c.on_front)
    record = VIEW.candidates[member]
    known = replace(record, metrics={**record.metrics, **dict.fromkeys(names, 0.5)})
    view = replace(VIEW, candidates=(*VIEW.candidates[:member], known, *VIEW.candidates[member + 1 :]))
    entries = {entry.name: entry for entry in glossary(report_data(view)).metrics}
    for name in names:
        assert "plug-in" not in entries[name].meaning
        assert entries[name].formula
        assert entries[name].better == ("more" if "refined" in name else "less")


def test_an_objective_of_another_name_has_its_metrics_formula() -> None:
    named = VIEW.spec.objectives[0].model_copy(update={"name": "quality", "metric": "accuracy"})
    spec = VIEW.spec.model_copy(update={"objectives": [named, VIEW.spec.objectives[1]]})
    found = glossary(report_data(replace(VIEW, spec=spec)))
    assert found.metrics[0].name == "quality"
    assert found.metrics[0].formula == FORMULAS["accuracy"][0]


def test_the_first_screen_says_what_the_search_found() -> None:
    said = " ".join(plain(sentence) for sentence in findings(MATERIAL))
    best = next(c for c in VIEW.candidates if c.id == VIEW.front[0])
    other = number(best.objectives[1])
    assert f"The best accuracy is {best.metrics['accuracy']:.4f} ± {best.errors['accuracy']:.4f}" in said
    assert f"{best.id} , with introspectability {other}" in said
    front = [c for c in VIEW.candidates if c.on_front]
    drop = fmean(c.metrics["test_accuracy"] - c.metrics["accuracy"] for c in front)
    assert f"of {len(front)} front members changes by {signed(drop)} on average" in said
    final = VIEW.history[-1].hypervolume
    early = next(p.evaluations for p in VIEW.history if p.hypervolume >= 0.95 * final)
    assert f"{early} of 160 evaluations" in said
    assert all(sentence in PAGE for sentence in map(str, findings(MATERIAL)))


@pytest.mark.parametrize("size", [0, 1, 5])
def test_small_searches_have_sentences_that_hold(size: int) -> None:
    small = sample_search(size, state=SearchState.RUNNING if not size else SearchState.COMPLETE)
    for sentence in findings(material(small.view, small.read)):
        assert "nan" not in plain(sentence).lower().split()
        assert "None" not in plain(sentence)


def test_motifs_are_listed_with_the_counts_of_the_search_and_drawn() -> None:
    # A front that is planted: all cells with one operation on one edge.
    chosen = tuple(c.id for c in VIEW.candidates if c.genes[2] == 1 and c.state == "succeeded")
    view = replace(VIEW, front=chosen, candidates=tuple(replace(c, on_front=c.id in chosen) for c in VIEW.candidates))
    made = material(view, SAMPLE.read)
    people, study, section = made.people, made.motifs, preferences.section(made)
    assert people is not None
    assert study is not None
    assert section is not None
    words = plain(section.html)
    listed = [m for over in (True, False) for m in study.found(over=over, limit=preferences.SHOWN)]
    assert ((2,), (1,)) in {(m.genes, m.values) for m in listed}
    for motif in listed:
        assert motif_words(made, motif) in words
        rows = (people.genes[:, list(motif.genes)] == list(motif.values)).all(axis=1)
        assert (motif.everyone, motif.front) == (int(rows.sum()), int((rows & people.front).sum()))
        assert f"{motif.front} of {study.members}" in words
    assert section.html.count('class="drawing"') == len(listed)
    assert f"{spaced(share(1.0))} {len(chosen)} of {len(chosen)}" in words
    assert "★" in words


def test_a_chain_of_stages_has_choices_and_motifs_in_words() -> None:
    grown = GrowingSearch("a", spec_document(searchSpace={"name": "mobile"}, limits={"maxEvaluations": 90}))
    grown.finish(90)
    view = view_of(grown.engine, "a")
    page = render(view, lambda _: b"")
    checker = Checker(page)
    assert checker.problems == []
    assert "stage 2 kernel" in checker.words
    assert "motifs of up to" in checker.words


def test_confirmation_stands_beside_the_searchs_own_value() -> None:
    words = Checker(PAGE).words
    for identity in VIEW.front:
        record = next(c for c in VIEW.candidates if c.id == identity)
        again = confirmed(record, "accuracy")
        assert again is not None
        assert again.mean == pytest.approx(fmean(record.metrics[f"confirmed_accuracy_{k}"] for k in (1, 2, 3)))
        assert again.seeds == 3
        assert confirmed_text(record, "accuracy") in words
    gains = [c.metrics["accuracy"] - c.metrics["confirmed_accuracy_mean"] for c in VIEW.candidates if c.on_front]
    found = flattery(VIEW)[0]
    assert found.better == pytest.approx(fmean(gains))
    assert f"trained again with 3 other seeds, the front has accuracy {signed(found.better)[1:]} worse and" in words
    assert flattery(sample_search(20).view) == ()
    assert "confirmed_accuracy_1" not in {field.name for field in MATERIAL.data.fields}


def test_smaller_is_better_counts_as_better() -> None:
    view = sample_search(60, objectives=("accuracy", "macs"), confirmed=2).view
    changed = tuple(
        replace(c, metrics={**c.metrics, "confirmed_macs_mean": c.metrics["macs"] + 10.0}) for c in view.candidates
    )
    assert flattery(replace(view, candidates=changed))[1].better == pytest.approx(10.0)


def test_members_that_owe_their_place_to_futile_blocks_are_marked() -> None:
    member = VIEW.front[1]
    changed = tuple(
        replace(c, metrics={**c.metrics, "futile_share": 0.9 if c.id == member else 0.0}) for c in VIEW.candidates
    )
    page = render(replace(VIEW, candidates=changed), SAMPLE.read)
    words = Checker(page).words
    assert "1 front member would not be on it without futile activations" in words
    assert f"its place on the front to futile activations : {spaced(share(0.9))} of its introspectability" in words
    assert "owes its place" not in Checker(PAGE).words


def test_milestones_tell_the_curve_in_a_dozen_rows() -> None:
    rows = milestones(VIEW.history)
    assert len(rows) <= 12
    assert (rows[0].evaluations, rows[-1]) == (1, VIEW.history[-1])
    assert [r.hypervolume for r in rows] == sorted(r.hypervolume for r in rows)
    assert f"{rows[3].evaluations} {number(rows[3].hypervolume)}" in Checker(PAGE).words


def test_the_family_tree_has_everyone_once_and_lines_from_both_parents() -> None:
    tree = draw_tree(MATERIAL.data, MATERIAL.tree)
    places = tree_places(MATERIAL.data, MATERIAL.tree)
    assert len(set(places)) == len(VIEW.candidates)
    assert tree.svg.count("C") >= sum(len(c.parents) for c in VIEW.candidates)
    assert tree.svg.count('class="ancestor"') == len(MATERIAL.tree.ancestral - set(MATERIAL.tree.front))
    rows = generation_rows(MATERIAL.data, MATERIAL.tree)
    assert sum(row.candidates for row in rows) == len(VIEW.candidates)
    assert sum(row.front for row in rows) == len(VIEW.front)


def test_the_family_tree_of_a_large_search_is_bounded_and_says_so() -> None:
    large = sample_search(1_600, population=16, state=SearchState.RUNNING)
    page = render(large.view, large.read)
    made = material(large.view, large.read)
    tree = draw_tree(made.data, made.tree)
    assert tree.dense
    assert tree.drawn == min(LARGEST, tree.lines)
    assert not tree.others
    assert "Lines that did not lead to the front are left out" in Checker(page).words
    assert len(generation_rows(made.data, made.tree)) <= 16
    # A candidate takes less than 300 bytes of the page's data: 16,000 of them below 5 MB.
    data = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert data
    assert len(data[1]) < 300 * 1_600


def test_pictures_stop_at_the_bound_and_go_to_those_looked_at_first() -> None:
    picture = b"\x89PNG\r\n\x1a\n" + bytes(92)
    pictures = Pictures(lambda _: picture, limit=250)
    assert [bool(pictures.embed("a").uri) for _ in range(4)] == [True, True, False, False]
    assert pictures.left_out == 2
    assert pictures.take(50)
    assert not pictures.take(1)
    knee = MATERIAL.summary.knee
    assert MATERIAL.by_weight[:3] == (knee, MATERIAL.chosen[0], MATERIAL.chosen[-1])
    assert sorted(MATERIAL.by_weight) == sorted(MATERIAL.chosen)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.12345, "+0.12"),
        (-0.004, "−0.0040"),
        (3.7e-5, "+0.000037"),
        (0.0, "+0.00"),
        (-1e-12, "+0.0000000"),
        (123.4, "+123"),
    ],
)
def test_signed_numbers(value: float, text: str) -> None:
    assert signed(value) == text


def test_p_values_and_shares_do_not_break_over_lines() -> None:
    assert p_value(0.00001) == "p\u00a0<\u00a00.0001"
    assert p_value(0.0354) == "p\u00a0=\u00a00.035"
    assert [share(v) for v in (0.0, 0.004, 0.19, 1.0)] == ["0\u00a0%", "0.4\u00a0%", "19\u00a0%", "100\u00a0%"]
