from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.report.html_check import Checker
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.errors import StoreError
from xnas_core.report import render, write_report
from xnas_core.report.material import CARD_LIMIT
from xnas_core.search.view import AttemptRecord, CandidateState, SearchState, SearchView, StoredArtifact
from xnas_core.tasks import TaskKind
from xnas_core.testing.sample_search import SampleSearch, sample_search

EVIL = '<script>alert(1)</script>"><img src=x onerror=alert(2)></script><!--&amp;]]>\u2028'


def page_of(sample: SampleSearch, **changes: object) -> str:
    return render(replace(sample.view, **changes), sample.read)  # type: ignore[arg-type]  # any field of the view


def data_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
    assert found
    document: dict[str, Any] = json.loads(found.group(1))
    return document


@pytest.fixture(scope="module")
def sample() -> SampleSearch:
    return sample_search(500)


@pytest.fixture(scope="module")
def page(sample: SampleSearch) -> str:
    return render(sample.view, sample.read)


def test_the_page_is_well_formed_accessible_and_loads_nothing(page: str) -> None:
    assert Checker(page).problems == []
    assert not re.search(r"url\((?!#)|@import", page)


def test_a_policy_allows_this_style_and_this_script_and_no_network(page: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', page)
    assert policy
    text = policy.group(1).replace("&#39;", "'")
    assert text.startswith("default-src 'none';")
    assert not re.search(r"https?:|unsafe|\*", text)
    for tag in ("style", "script"):
        content = re.search(rf"<{tag}>(.*?)</{tag}>", page, re.DOTALL)
        assert content
        digest = base64.b64encode(hashlib.sha256(content.group(1).encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in text


def test_five_hundred_candidates_stay_below_fifteen_megabytes(page: str) -> None:
    assert len(page.encode()) < 15_000_000


def test_pictures_beyond_the_bound_are_named_instead_of_embedded(sample: SampleSearch) -> None:
    large = b"\x89PNG\r\n\x1a\n" + bytes(1_000_000)
    page = render(sample.view, lambda _: large)
    assert len(page.encode()) < 15_000_000
    assert 0 < page.count("data:image/png") < 2 * len(sample.view.front)
    assert "left out to keep this page small" in page


def test_the_same_view_gives_the_same_bytes(sample: SampleSearch, page: str, tmp_path: Path) -> None:
    write_report(sample.view, sample.read, tmp_path / "report.html")
    assert (tmp_path / "report.html").read_bytes() == page.encode()


def test_words_and_numbers_are_those_of_the_view(sample: SampleSearch, page: str) -> None:
    words, view = Checker(page).words, sample.view
    best = next(c for c in view.candidates if c.id == view.front[0])
    assert f"Best accuracy {best.metrics['accuracy']:.4f} ± {best.errors['accuracy']:.4f} {best.id}" in words
    assert f"Front {len(view.front)} members" in words
    assert f"Hypervolume {view.hypervolume:#.4g} reference (0.1, 0)" in words
    for identity in view.front:
        assert f'id="card-{identity}"' in page
        assert f'id="lineage-{identity}"' in page
    assert page.count('loading="lazy"') == 3 * len(view.front)


def test_the_data_hold_every_candidate_and_the_front(sample: SampleSearch, page: str) -> None:
    data, view = data_of(page), sample.view
    assert data["id"] == [c.id for c in view.candidates]
    assert [data["id"][i] for i in data["front"]] == list(view.front)
    assert data["values"][0] == [None if (v := c.objectives[0]) is None else float(f"{v:.6g}") for c in view.candidates]


def test_the_yaml_in_the_page_is_the_spec(sample: SampleSearch, page: str) -> None:
    text = re.search(r'<pre id="spec"[^>]*>(.*?)</pre>', page, re.DOTALL)
    assert text
    document = yaml.safe_load("".join(Checker(text.group(1)).text))
    assert document["metadata"] == {"name": "sample"}
    assert ArchitectureSearchSpec.model_validate(document["spec"], strict=False) == sample.view.spec


def _evil(view: SearchView) -> SearchView:
    """Put markup wherever a text of a view can come from outside."""
    front = set(view.front)

    changed = []
    for c in view.candidates:
        attempt = AttemptRecord(TaskKind.EVALUATE, 1, EVIL, 0.0, 1.0, EVIL, EVIL)
        panel = StoredArtifact(f"candidates/x/finalise-1/explanations/{EVIL.replace('/', '')}.png", 3, "0" * 64)
        alien = StoredArtifact("javascript:alert(3)", 3, EVIL)
        changed.append(
            replace(
                c,
                arch=EVIL,
                operators=(EVIL,),
                metrics={**c.metrics, EVIL: 1.0},
                timings={EVIL: 1.0},
                environment={EVIL: EVIL},
                history=(*c.history, attempt),
                artifacts=(*c.artifacts, panel, alien) if c.id in front else c.artifacts,
                failure=EVIL if c.state is CandidateState.FAILED else "",
            )
        )
    return replace(
        view, name=EVIL, reason=EVIL, message=EVIL, search_id=EVIL, versions={EVIL: EVIL}, candidates=tuple(changed)
    )


def test_markup_in_any_text_stays_text(sample: SampleSearch) -> None:
    plain = render(sample.view, sample.read)
    page = render(_evil(replace(sample.view, state=SearchState.FAILED)), sample.read)
    checker, honest = Checker(page), Checker(plain)
    assert checker.problems == []
    for tag in ("script", "img", "style", "iframe"):
        assert checker.tags[tag] == honest.tags[tag], tag
    assert "<script>alert" not in page
    assert "javascript:alert" in checker.words
    assert data_of(page)["arch"][0] == EVIL


@pytest.mark.parametrize(
    ("name", "sample", "said"),
    [
        ("nothing proposed", sample_search(0, state=SearchState.RUNNING), "No candidate has been scored yet"),
        ("nothing finished", sample_search(5, state=SearchState.RUNNING, finished=False), "is still running"),
        ("front of one", sample_search(1), "one is best in accuracy and introspectability at once"),
        ("one objective", sample_search(40, objectives=("accuracy",)), "the best accuracy is 0.9"),
        (
            "three",
            sample_search(60, objectives=("accuracy", "introspectability", "macs")),
            "introspectability and macs",
        ),
        ("suspended", sample_search(30, state=SearchState.SUSPENDED), "The search is suspended."),
        ("failed", sample_search(30, state=SearchState.FAILED), "The search failed (TooManyFailures)"),
        ("finalising", sample_search(30, state=SearchState.FINALISING), "explanations of the front are being made"),
        ("table", sample_search(60, benchmark=True), "trains nothing, so there is no network to explain"),
    ],
)
def test_unusual_searches_have_a_report(name: str, sample: SampleSearch, said: str) -> None:
    page = render(sample.view, sample.read)
    checker = Checker(page)
    assert checker.problems == []
    assert said in checker.words
    assert "nan" not in checker.words.lower().split()
    assert "None" not in checker.words.split()


def test_a_search_on_the_graph_alone_trains_and_explains_nothing(sample: SampleSearch) -> None:
    words = Checker(page_of(sample, spec=sample.view.spec.model_copy(update={"dataset": None}))).words
    assert "scored from the graph alone" in words


def test_candidates_without_a_metric_are_shown_without_it() -> None:
    sample = sample_search(60)
    bare = tuple(
        replace(c, metrics={k: v for k, v in c.metrics.items() if k != "introspectability"}, objectives=(0.5, None))
        if c.state is CandidateState.SUCCEEDED and not c.on_front
        else c
        for c in sample.view.candidates
    )
    page = page_of(sample, candidates=bare)
    assert Checker(page).problems == []
    assert sum(v is None for v in data_of(page)["values"][1]) == 60 - len(sample.view.front)


def test_constraints_broken_are_drawn_as_crosses(sample: SampleSearch) -> None:
    some = tuple(replace(c, violation=0.5 if not c.on_front else 0.0) for c in sample.view.candidates[:60])
    front = tuple(c.id for c in some if c.on_front)
    page = page_of(sample, candidates=some, front=front)
    assert "breaks a constraint" in page
    assert Checker(page).problems == []


def test_a_missing_torn_or_unreadable_panel_is_said(sample: SampleSearch) -> None:
    def refuse(key: str) -> bytes:
        if "gradCam" in key:
            raise StoreError("the store is away")
        return b"<svg onload=alert(1)>"

    page = render(sample.view, refuse)
    assert "the file is missing" in page
    assert "the file is not a PNG" in page
    assert "data:image" not in page
    assert Checker(page).problems == []


def test_a_space_that_is_not_installed_leaves_only_the_drawings_out(sample: SampleSearch) -> None:
    spec = sample.view.spec
    page = page_of(
        sample, spec=spec.model_copy(update={"search_space": spec.search_space.model_copy(update={"name": "gone"})})
    )
    assert Checker(page).problems == []
    assert 'class="drawing"' not in page
    assert 'class="card"' in page


def test_a_failed_finalise_says_why_there_are_no_explanations(sample: SampleSearch) -> None:
    ended = AttemptRecord(TaskKind.FINALISE, 1, "e", 0.0, 1.0, "DeadlineExceeded", "it took too long")
    changed = tuple(
        replace(c, history=(ended,), artifacts=()) if c.id == sample.view.front[0] else c
        for c in sample.view.candidates
    )
    words = Checker(page_of(sample, candidates=changed)).words
    assert "No explanations: DeadlineExceeded. it took too long" in words
    assert "DeadlineExceeded finalise 1 1 counts, retried it took too long" in words


def test_a_large_front_has_cards_for_its_ends_and_says_so() -> None:
    sample = sample_search(130)
    everyone = tuple(
        replace(c, on_front=True, objectives=(i / 200, 1 - i / 200)) for i, c in enumerate(sample.view.candidates)
    )
    front = tuple(c.id for c in reversed(everyone))
    page = page_of(sample, candidates=everyone, front=front)
    assert page.count('class="card"') == CARD_LIMIT
    assert f'id="card-{front[0]}"' in page
    assert f'id="card-{front[-1]}"' in page
    assert "The front has 130 members; 100 of them" in Checker(page).words
    assert Checker(page).problems == []


def test_an_objective_named_unlike_its_metric_keeps_unit_meaning_and_error() -> None:
    sample = sample_search(30)
    spec = sample.view.spec
    named = spec.objectives[0].model_copy(update={"name": "quality", "metric": "accuracy"})
    page = page_of(sample, spec=spec.model_copy(update={"objectives": [named, *spec.objectives[1:]]}))
    best = next(c for c in sample.view.candidates if c.id == sample.view.front[0])
    assert f"Best quality {best.metrics['accuracy']:.4f} ± {best.errors['accuracy']:.4f}" in Checker(page).words
    assert data_of(page)["fields"][0]["about"] == "Share of validation samples classified correctly."
    assert [field["name"] for field in data_of(page)["fields"]].count("accuracy") == 0
