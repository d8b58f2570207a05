from __future__ import annotations

import itertools
import math
import re
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.api.spec import BenchmarkSpec, DatasetSource, DatasetSpec
from xnas_core.plugins import PluginKind, load
from xnas_core.report import numbers, sample
from xnas_core.report.account import ended_attempts, environments
from xnas_core.report.data import Field, report_data, steps
from xnas_core.report.drawings import draw, label_colours
from xnas_core.report.lineage import LIMIT, lineage
from xnas_core.report.plots import axes, axis_title, dots, front_plot, scatter
from xnas_core.report.summary import data_name, knee_point, listed
from xnas_core.report.svg import Scale, tag, ticks
from xnas_core.search.view import HypervolumePoint
from xnas_core.spaces.base import DataShape, Drawing, DrawnEdge, DrawnNode
from xnas_core.testing.sample_search import sample_search

SAMPLE = sample_search(300)
DATA = report_data(SAMPLE.view)


@given(st.floats(-1e12, 1e12), st.floats(1e-9, 1e12), st.integers(1, 12))
def test_ticks_are_round_inside_and_about_as_many_as_wanted(low: float, span: float, count: int) -> None:
    high = low + span
    if (high - low) < 1e-6 * max(1.0, abs(low)):
        return
    found = ticks(low, high, count)
    assert len(found) <= 1.7 * count + 2
    assert all(low - 1e-6 * span <= value <= high + 1e-6 * span for value in found)
    gaps = {f"{b - a:.3g}" for a, b in itertools.pairwise(found)}
    assert all(gap.strip("-0.").split("e")[0].rstrip("0.") in ("1", "2", "5") for gap in gaps) or span < 1e-4 * abs(low)


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_a_wide_plot_is_not_crowded_with_ticks(low: float, span: float) -> None:
    scale = Scale(low, low + span, 0.0, 2_000.0)
    drawn = axes(scale, scale, DATA.fields[0], DATA.fields[1], (2_000.0, 400.0))
    assert drawn.count('text-anchor="middle"') - 2 <= 17


def test_a_unit_that_the_name_says_is_not_said_again() -> None:
    titles = {name: axis_title(Field(name, unit, "", None, False)) for name, unit in (
        ("latency_ms", "ms"), ("train_seconds", "s"), ("loss", "nat"), ("accuracy", "1"),
    )}  # fmt: skip
    assert list(titles.values()) == ["latency_ms", "train_seconds", "loss (nat)", "accuracy"]


@given(st.lists(st.floats(-1e9, 1e9), max_size=20))
def test_a_scale_keeps_order_and_bounds(values: list[float]) -> None:
    scale = Scale.of(values, 10.0, 110.0)
    pixels = [scale(value) for value in sorted(values)]
    assert pixels == sorted(pixels)
    assert all(10.0 <= pixel <= 110.0 for pixel in pixels)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (None, "1", "–"),
        (math.nan, "1", "–"),
        (0.482, "1", "0.4820"),
        (0.0, "1", "0"),
        (12.0, "ms", "12 ms"),
        (1234.0, "1", "1234"),
        (858_426.0, "1", "858\u202f426"),
        (121_812_345.0, "1", "121.8\u202fM"),
        (999_999.0, "1", "1\u202fM"),
        (1_000_000.0, "1", "1\u202fM"),
        (2_500_000.0, "1", "2.5\u202fM"),
        (1e9, "1", "1\u202fG"),
        (-0.25, "1", "-0.2500"),
    ],
)
def test_numbers_as_people_read_them(value: float | None, unit: str, text: str) -> None:
    assert numbers.number(value, unit) == text


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [
        (0.92843, 0.00364, "0.9284 ± 0.0036"),
        (12.34, 1.5, "12.3 ± 1.5"),
        (1234.0, 56.0, "1234 ± 56"),
        (0.5, 0.0, "0.5000"),
        (0.5, None, "0.5000"),
    ],
)
def test_standard_errors_decide_the_decimals(value: float, error: float | None, text: str) -> None:
    assert numbers.with_error(value, error) == text


def test_durations_sizes_and_plurals() -> None:
    durations = [
        (0.00085, "0.85 ms"),
        (0.42, "0.42 s"),
        (59.0, "59 s"),
        (134.0, "2 min 14 s"),
        (7200.0, "2 h"),
        (90_000.0, "1 d 1 h"),
    ]
    assert [numbers.duration(seconds) for seconds, _ in durations] == [text for _, text in durations]
    assert [numbers.size(n) for n in (12, 1_500, 4_312_068)] == ["12 B", "1.5 kB", "4.31 MB"]
    assert numbers.plural(1, "candidate") + numbers.plural(12_000, "candidate") == "1 candidate12\u202f000 candidates"
    assert [listed(["a", "b", "c"][:n]) for n in range(4)] == ["", "a", "a and b", "a, b and c"]


@given(st.text(), st.text())
def test_markup_is_escaped_in_texts_and_attributes(text: str, value: str) -> None:
    made = str(tag("g", text, aria_label=value))
    inner = re.fullmatch(r'<g aria-label="([^<>"]*)">([^<>]*)</g>', made, re.DOTALL)
    assert inner


def test_the_knee_is_the_member_furthest_from_the_chord() -> None:
    chosen = [
        replace(c, objectives=o)
        for c, o in zip(SAMPLE.view.candidates, [(1.0, 0.0), (0.8, 0.8), (0.0, 1.0)], strict=False)
    ]
    view = replace(SAMPLE.view, candidates=tuple(chosen), front=tuple(c.id for c in chosen))
    assert knee_point(report_data(view)) == 1
    straight = [replace(c, objectives=o) for c, o in zip(chosen, [(1.0, 0.0), (0.5, 0.5), (0.0, 1.0)], strict=True)]
    assert knee_point(report_data(replace(view, candidates=tuple(straight)))) is None
    assert knee_point(report_data(replace(view, front=view.front[:2]))) is None


def test_an_ancestry_is_the_closure_of_parents_and_loops_end() -> None:
    by_id = {c.id: c for c in SAMPLE.view.candidates}
    for i in DATA.front:
        wanted, todo = set(), [SAMPLE.view.candidates[i].id]
        while todo:
            todo += [p for p in by_id[todo.pop()].parents if p not in wanted]
            wanted |= set(todo)
        tree = lineage(DATA, i)
        assert tree.ancestors == len(wanted)
        assert len(tree.drawn) == min(len(wanted), LIMIT) + 1
        assert tree.hidden == max(0, len(wanted) - LIMIT)
        assert str(tree.svg).count("data-i=") == len(tree.drawn)
    first, second = SAMPLE.view.candidates[:2]
    loop = (replace(first, parents=(second.id, first.id, "absent")), replace(second, parents=(first.id,)))
    assert lineage(report_data(replace(SAMPLE.view, candidates=loop, front=())), 1).ancestors == 1


def test_history_keeps_every_change_and_both_ends() -> None:
    points = tuple(HypervolumePoint(n + 1, v, 1) for n, v in enumerate([0.0, 0.0, 1.0, 1.0, 1.0]))
    assert [p.evaluations for p in steps(points)] == [1, 3, 5]


def test_front_members_with_a_card_are_links_and_others_are_not() -> None:
    some = frozenset(DATA.front[:3])
    plot = str(front_plot(DATA, some, DATA.front[1]))
    assert plot.count('href="#card-') == 3
    assert plot.count('class="member"') == len(DATA.front)
    assert plot.count('class="knee"') == 1


def test_stairs_run_between_objectives_only() -> None:
    parameters = DATA.field("parameters")
    assert parameters is not None
    assert 'class="stairs"' in scatter(DATA, 0, 1, (300, 200))
    assert 'class="stairs"' not in scatter(DATA, parameters, 1, (300, 200))


def test_every_edge_and_node_of_a_drawing_is_drawn_within_the_picture() -> None:
    space = load(PluginKind.SPACE, "nas-bench-201")({}, DataShape(3, 32, 32, 10))
    wide = Drawing(
        tuple(DrawnNode(str(i), f"stage {i}: inverted residual, kernel 5") for i in range(6)),
        (
            *(DrawnEdge(str(i), str(i + 1), "") for i in range(5)),
            DrawnEdge("1", "4", "skip"),
            DrawnEdge("0", "9", "no"),
        ),
        "a chain",
    )
    for drawing, edges in ((space.drawing(SAMPLE.view.candidates[0].genes), 6), (wide, 6)):
        text = str(draw(drawing, label_colours([drawing]), "an architecture", "m"))
        assert text.count('class="edge') == edges
        assert text.count('class="node"') == len(drawing.nodes)
        left, top, width, height = map(float, re.search(r'viewBox="([^"]*)"', text)[1].split())  # type: ignore[index]
        for name, low, high in (("x", left, left + width), ("y", top, top + height)):
            places = [float(v) for v in re.findall(rf'<text[^>]* {name}="([^"]*)"', text)]
            assert all(low <= place <= high for place in places)


def test_dead_edges_differ_and_colours_agree_between_drawings() -> None:
    nodes = (DrawnNode("a", "in"), DrawnNode("b", "out"))
    first = Drawing(nodes, (DrawnEdge("a", "b", "conv"), DrawnEdge("a", "b", "none", live=False)))
    second = Drawing(nodes, (DrawnEdge("a", "b", "conv"), DrawnEdge("a", "b", "pool")))
    colours = label_colours([first, second])
    assert colours == {"conv": 1, "pool": 2}
    many = Drawing(nodes, tuple(DrawnEdge("a", "b", f"shape {n}") for n in range(8)))
    assert label_colours([many]) == {}
    assert 'class="edge dead"' in draw(first, colours, "t", "1")
    assert 'class="edge c1"' in draw(first, colours, "t", "1")
    assert 'class="edge c1"' in draw(second, colours, "t", "2")


def test_failures_are_counted() -> None:
    ended = ended_attempts(SAMPLE.view)
    counted = sum(a.outcome not in ("succeeded", "running") for c in SAMPLE.view.candidates for a in c.history)
    assert sum(group.count for group in ended) == counted > 0
    assert {g.reason: g.meaning for g in ended}["RunStopped"] == "does not count, retried"
    assert environments(SAMPLE.view)[0][0] == "device"


def test_dots_on_the_same_pixels_are_drawn_once_and_paths_stay_short() -> None:
    crowd = [(x / 7, y / 7) for x in range(200) for y in range(200)]
    drawn = str(dots(crowd))
    assert drawn.count("M") < 300
    spread = str(dots([(4.0 * x, 4.0 * y) for x in range(40) for y in range(40)]))
    assert spread.count("M") == 1600
    assert max(path.count("M") for path in spread.split("<path")) == 500


def test_what_was_searched_on_is_named_in_words() -> None:
    def on(**changes: object) -> str:
        return data_name(replace(SAMPLE.view, spec=SAMPLE.view.spec.model_copy(update={"benchmark": None, **changes})))

    assert on() == "cifar10"
    assert on(dataset=None) == "the graph alone"
    assert on(benchmark=BenchmarkSpec(table="t.csv.gz")) == "the table t.csv.gz"
    assert on(dataset=DatasetSpec(source=DatasetSource(npz="my.npz"))) == "my.npz"


def test_the_sample_report_is_written_and_wrong_arguments_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample.main([str(tmp_path / "r.html")]) == 0
    assert (tmp_path / "r.html").read_text().startswith("<!doctype html>")
    assert sample.main(["--help"]) == 2
    assert "usage" in capsys.readouterr().err
