"""Descent against the definition of an ancestor."""

from __future__ import annotations

from dataclasses import replace

from xnas_core.analysis.phylogeny import phylogeny
from xnas_core.testing.sample_search import sample_search

VIEW = sample_search(300).view
TREE = phylogeny(VIEW)


def test_edges_lead_from_both_parents_to_the_child() -> None:
    wanted = {(p, c.id) for c in VIEW.candidates for p in c.parents}
    ids = [c.id for c in VIEW.candidates]
    assert {(ids[a], ids[b]) for a, b in TREE.edges} == wanted
    assert max(map(len, TREE.parents)) == 2


def test_the_lines_to_the_front_are_the_closure_of_parents() -> None:
    by_id = {c.id: c for c in VIEW.candidates}
    reached: set[str] = set(VIEW.front)
    before: set[str] = set()
    while reached != before:
        before = set(reached)
        reached |= {p for i in before for p in by_id[i].parents}
    assert {VIEW.candidates[i].id for i in TREE.ancestral} == reached
    first = TREE.front[:1]
    assert not set(first) & TREE.ancestors(first)
    assert all(not TREE.parents[i] and i in TREE.ancestral for i in TREE.founders)


def test_generations_hold_everyone_once_in_order() -> None:
    flat = [i for row in TREE.generations for i in row]
    assert sorted(flat) == list(range(len(VIEW.candidates)))
    assert [VIEW.candidates[row[0]].generation for row in TREE.generations] == list(range(len(TREE.generations)))


def test_absent_parents_loops_and_an_empty_search_are_no_trouble() -> None:
    first, second = VIEW.candidates[:2]
    loop = (replace(first, parents=(second.id, first.id, "absent")), replace(second, parents=(first.id, first.id)))
    tree = phylogeny(replace(VIEW, candidates=loop, front=(second.id, "gone")))
    assert tree.parents == ((), (0,))
    assert tree.ancestral == {0, 1}
    empty = phylogeny(replace(VIEW, candidates=(), front=()))
    assert empty.generations == ()
    assert empty.founders == ()
