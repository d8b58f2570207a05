"""What the report shows of a diagnosis, from a document alone: sizes, words, text alternatives, what is missing."""

from __future__ import annotations

import base64
import itertools
import re
from dataclasses import replace

import numpy as np
import pytest

from tests.report.html_check import Checker
from xnas_core.artifacts import keys
from xnas_core.diagnosis import (
    CURVE_POINTS,
    MAX_SHOWN,
    SUSPECTS,
    Bin,
    Calibration,
    Classes,
    ClassPair,
    Detection,
    Diagnosis,
    Mispredictions,
    Plane,
    Samples,
    Suspect,
)
from xnas_core.report import render
from xnas_core.report.diagnosis import MAPS_BYTES
from xnas_core.report.diagnosis_matrices import shade
from xnas_core.search.view import SearchView, StoredArtifact
from xnas_core.tasks import TaskKind, attempt_prefix
from xnas_core.testing.sample_panel import png
from xnas_core.testing.sample_search import SampleSearch, sample_search

EVIL = '<script>alert(1)</script>"><img src=x>'


def made_up(classes: int = 10, thumbnail: int = 900, names: str = "class") -> Diagnosis:
    """Return a diagnosis of made-up numbers, as large as they come."""
    rng = np.random.default_rng(classes)
    shown = tuple(range(min(classes, MAX_SHOWN)))
    confusion = tuple(tuple(int(v) for v in row) for row in rng.integers(0, 60, (len(shown), len(shown))))
    distances = tuple(
        tuple(None if (c, k) == (1, 0) else round(float(v), 6) for k, v in enumerate(row))
        for c, row in enumerate(rng.random((len(shown), len(shown))))
    )
    pairs = tuple(ClassPair(first=0, second=k, distance=k / 10, mistakes=20 - k) for k in range(1, min(classes, 9)))
    bins = tuple(Bin(count=40, confidence=(k + 0.5) / 50, accuracy=float(rng.random())) for k in range(50))
    calibration = Calibration(bins=bins, error=0.125, pearson=0.5, spearman=0.4)
    curve = Detection(found=tuple(np.linspace(0, 1, CURVE_POINTS).tolist()), area=0.5, auc=0.75, auc_error=0.0125)
    picture = base64.b64encode(rng.bytes(thumbnail)).decode()
    suspects = tuple(
        Suspect(position=k, source=k + 1000, label=k % classes, predicted=0, similarity=0.25, thumbnail=picture)
        for k in range(SUSPECTS)
    )
    points = tuple((round(float(x), 4), round(float(y), 4)) for x, y in rng.normal(size=(256, 2)) * 100)
    plane = Plane(
        points=points,
        labels=tuple(k % classes for k in range(256)),
        predictions=tuple(0 for _ in range(256)),
        variance=(0.25, 0.125),
    )
    return Diagnosis(
        class_names=tuple(f"{names} {k}" for k in range(classes)),
        layers="convolutionsAndActivations",
        group_by="predictedClass",
        validation=Samples(used=2000, of=2000),
        training=Samples(used=25_000, of=54_000),
        classes=Classes(
            shown=shown, distances=distances, confusion=confusion, pearson=0.84, spearman=-0.5, pairs=45,
            nearest=pairs, most_confused=pairs[:2],
        ),
        activation_calibration=calibration,
        softmax_calibration=calibration,
        mispredictions=Mispredictions(mistakes=321, activation=curve, softmax=curve.model_copy(update={"auc": 0.5})),
        suspects=suspects,
        plane=plane,
        blocks=("stem.norm", "stage1.cell1.sum1"),
    )  # fmt: skip


SAMPLE = sample_search(40)
MAPS = png(np.zeros((8, 8, 3), dtype=np.uint8))


def page(document: bytes | None, maps: bytes = MAPS, sample: SampleSearch = SAMPLE) -> str:
    """Return the report of a search whose front members have this diagnosis."""
    contents = {keys.DIAGNOSIS: document, keys.HEAT_MAPS: maps}
    front = set(sample.view.front)
    candidates = tuple(
        replace(
            c,
            artifacts=(
                *c.artifacts,
                *(
                    StoredArtifact(attempt_prefix(c.id, TaskKind.FINALISE, 1) + name, len(content or b""), "0" * 64)
                    for name, content in contents.items()
                ),
            ),
        )
        if c.id in front
        else c
        for c in sample.view.candidates
    )

    def read(key: str) -> bytes:
        found = next((content for name, content in contents.items() if key.endswith(f"/{name}")), b"other")
        if found is None:
            raise KeyError(key)
        return found if found != b"other" else sample.read(key)

    view: SearchView = replace(sample.view, candidates=candidates)
    return render(view, read)


def _bytes(document: Diagnosis) -> bytes:
    return document.model_dump_json().encode()


def test_numbers_and_words_are_those_of_the_document() -> None:
    html = page(_bytes(made_up()))
    checker = Checker(html)
    assert checker.problems == []
    words = checker.words
    assert "321 mistakes on 2000 validation samples, most often between class 0 and class 1 (19 of them)." in words
    assert (
        "Activations tell mistakes from right predictions better than softmax does (AUC 0.7500 against 0.5000)" in words
    )
    assert "correlate with r = 0.84 (rank correlation -0.50)" in words.replace("−", "-")
    assert "image 1000 label class 0 predicted so distance 0.7500" in words
    assert "image 1003 label class 3 predicted class 0 distance 0.7500" in words
    assert "Of 25 000 training images" in words.replace("\u202f", " ")
    members = len(SAMPLE.view.front)
    assert html.count('class="diagnosis"') == members
    assert html.count("class 3, class 1: distance") == members
    assert html.count("class 1, class 0: distance undefined") == members


@pytest.mark.parametrize(
    ("softmax", "said"),
    [(0.5, "better than"), (0.9, "worse than"), (0.74, "neither better nor worse, beyond chance, than")],
)
def test_a_difference_within_the_errors_is_none(softmax: float, said: str) -> None:
    document = made_up()
    curve = document.mispredictions.activation
    assert curve is not None
    other = document.mispredictions.model_copy(update={"softmax": curve.model_copy(update={"auc": softmax})})
    words = Checker(page(_bytes(document.model_copy(update={"mispredictions": other})))).words
    assert f"Activations tell mistakes from right predictions {said} softmax does" in words


def test_every_cell_says_its_numbers() -> None:
    document = made_up(4)
    html = page(_bytes(document))
    confusion = document.classes.confusion
    for row in range(4):
        for column in range(row):
            both = confusion[row][column] + confusion[column][row]
            assert f"class {row}, class {column}: {both} mistake" in html


@pytest.mark.parametrize("classes", [2, 10, 20, 100])
def test_a_diagnosis_takes_less_than_150_kilobytes(classes: int) -> None:
    maps = MAPS + bytes(MAPS_BYTES - len(MAPS))
    html = page(_bytes(made_up(classes)), maps)
    parts = re.findall(r'<div class="diagnosis">.*?(?=<p class="quiet"><a href="#card-)', html, re.DOTALL)
    assert len(parts) == len(SAMPLE.view.front)
    assert max(len(part.encode()) for part in parts) < 150_000
    assert Checker(html).problems == []


def test_many_diagnoses_stay_within_the_bound_of_the_page() -> None:
    sample = sample_search(130)
    everyone = tuple(
        replace(c, on_front=True, objectives=(i / 200, 1 - i / 200)) for i, c in enumerate(sample.view.candidates)
    )
    view = replace(sample.view, candidates=everyone, front=tuple(c.id for c in reversed(everyone)))
    html = page(_bytes(made_up(20)), MAPS + bytes(40_000), SampleSearch(view, sample.read))
    assert len(html.encode()) < 15_000_000
    assert "left out to keep this page small" in html
    assert html.count('class="diagnosis"') > 10


def test_large_heat_maps_are_named() -> None:
    html = page(_bytes(made_up()), MAPS + bytes(MAPS_BYTES))
    assert "The picture is not here: it is large" in Checker(html).words


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "Diagnosis: the file is missing ("),
        (b"{}", "Diagnosis: the file is torn or of another version"),
        (b'{"format": "xnas-diagnosis/2"}', "Diagnosis: the file is torn or of another version"),
    ],
)
def test_what_cannot_be_read_is_said(content: bytes | None, why: str) -> None:
    html = page(content)
    assert Checker(html).problems == []
    assert why in Checker(html).words
    assert 'class="diagnosis"' not in html


def test_a_network_without_mistakes_has_no_curve_and_no_pairs() -> None:
    document = made_up(3)
    right = document.model_copy(
        update={
            "mispredictions": Mispredictions(mistakes=0, activation=None, softmax=None),
            "classes": document.classes.model_copy(
                update={"pearson": None, "spearman": None, "nearest": (), "most_confused": ()}
            ),
            "suspects": (),
            "blocks": (),
        }
    )
    checker = Checker(page(_bytes(right)))
    assert checker.problems == []
    assert "0 mistakes on 2000 validation samples." in checker.words
    assert "there is nothing to tell apart" in checker.words
    assert "have no correlation" in checker.words
    assert "Suspected wrong labels" not in checker.words


def test_markup_in_class_names_stays_text() -> None:
    plain, html = page(_bytes(made_up())), page(_bytes(made_up(names=EVIL)))
    checker = Checker(html)
    assert checker.problems == []
    for tag in ("script", "img"):
        assert checker.tags[tag] == Checker(plain).tags[tag]
    assert "<script>alert" not in html


def test_shades_grow_darker_all_the_way() -> None:
    def luminance(colour: str) -> float:
        red, green, blue = (int(colour[k : k + 2], 16) for k in (1, 3, 5))
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    values = [luminance(shade(k / 100)) for k in range(101)]
    assert all(a >= b for a, b in itertools.pairwise(values))
    assert len(set(values)) > 30
    assert (shade(-1), shade(2)) == (shade(0), shade(1))
