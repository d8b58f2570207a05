"""The report in a real browser: that its script runs, and that pointer, keys, pickers and table do what they say."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.report import chromium
from tests.report.audit import audit
from xnas_core.report import write_report
from xnas_core.report.numbers import number, tick, with_error
from xnas_core.search.view import SearchState
from xnas_core.testing.sample_search import sample_search

pytestmark = pytest.mark.usefixtures("browser_there")
SAMPLE = sample_search(200)
DONE = SAMPLE.view


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("report")
    write_report(DONE, SAMPLE.read, made / "report.html")
    three = sample_search(150, objectives=("accuracy", "introspectability", "macs"))
    write_report(three.view, three.read, made / "three.html")
    empty = sample_search(0, state=SearchState.RUNNING)
    write_report(empty.view, empty.read, made / "empty.html")
    one = sample_search(60, objectives=("accuracy",))
    write_report(one.view, one.read, made / "one.html")
    return made


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[chromium.Page]:
    with chromium.page(tmp_path_factory.mktemp("profile")) as made:
        yield made


@pytest.fixture
def page(browser: chromium.Page, folder: Path) -> chromium.Page:
    browser.problems.clear()
    browser.requests.clear()
    browser.open(f"file://{folder}/report.html")
    return browser


def place_of(page: chromium.Page, selector: str) -> tuple[float, float]:
    x, y = page.run(
        f"(() => {{ const e = document.querySelector({selector!r}); e.scrollIntoView({{block: 'center'}});"
        " const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2]; })()"
    )
    return float(x), float(y)


@pytest.mark.parametrize("name", ["report", "three", "one", "empty"])
@pytest.mark.parametrize(("width", "dark"), [(360, True), (768, False), (1280, False)])
def test_it_runs_without_errors_loads_nothing_and_fits(
    browser: chromium.Page, folder: Path, name: str, width: int, dark: bool
) -> None:
    browser.problems.clear()
    browser.requests.clear()
    browser.open(f"file://{folder}/{name}.html", width=width, dark=dark)
    assert browser.problems == []
    assert [url for url in browser.requests if not url.startswith(("data:", f"file://{folder}/{name}.html"))] == []
    assert browser.run("document.documentElement.scrollWidth <= innerWidth")
    if name == "empty":
        assert browser.run("document.getElementById('front-stage')") is None
        return
    assert browser.run("document.querySelector('#front-stage svg').clientWidth") > 0.7 * (
        width if width < 1100 else 1000
    )


@pytest.mark.parametrize(("width", "dark"), [(360, True), (360, False), (768, False), (1280, True)])
def test_nothing_is_faint_small_or_cut_off(browser: chromium.Page, folder: Path, width: int, dark: bool) -> None:
    browser.open(f"file://{folder}/report.html", width=width, dark=dark)
    browser.run("document.querySelectorAll('details').forEach(d => d.open = true)")
    assert audit(browser) == {"faint": [], "small": [], "wide": [], "cut": []}
    browser.run(f"choose({len(DONE.candidates) - 1})")
    assert audit(browser)["wide"] == []


def test_on_paper_everything_fits_and_explanations_are_unfolded(browser: chromium.Page, folder: Path) -> None:
    # A4 with margins of 1 cm, at 96 dots an inch.
    browser.open(f"file://{folder}/report.html", width=718, dark=True)
    try:
        browser.call("Emulation.setEmulatedMedia", media="print")
        assert browser.run("document.documentElement.scrollWidth <= innerWidth")
        assert browser.run("document.querySelector('nav').offsetHeight") == 0
        shown = (
            "[...document.querySelectorAll('.explained')]"
            ".filter(e => [...e.querySelectorAll('img')].some(i => i.checkVisibility())).length"
        )
        assert browser.run(shown) == browser.run("document.querySelectorAll('.explained').length") == len(DONE.front)
        assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        browser.run("dispatchEvent(new Event('beforeprint'))")
        assert browser.run("[...document.images].every(i => i.loading === 'eager')")
    finally:
        browser.call("Emulation.setEmulatedMedia", media="")


def test_the_family_tree_shows_whom_one_points_at_and_the_ancestors_of_the_chosen(page: chromium.Page) -> None:
    member = next(i for i in DONE.front if next(c for c in DONE.candidates if c.id == i).parents)
    page.run(f"const p = document.getElementById('lineage-of'); p.value = {member!r}; p.onchange()")
    bold = page.run("document.getElementById('tree-near').getAttribute('d')")
    assert bold.count("M") >= len(next(c for c in DONE.candidates if c.id == member).parents)
    place = f"""(() => {{
      const i = report.id.indexOf({member!r}), s = document.querySelector('.tree-plot');
      s.scrollIntoView({{block: 'center'}});
      const b = s.getBoundingClientRect(), f = b.width / s.viewBox.baseVal.width;
      return [b.left + report.tree[2 * i] * f, b.top + report.tree[2 * i + 1] * f];
    }})()"""
    x, y = page.run(place)
    page.click(x, y)
    assert member in page.run("picked.textContent")


def test_a_link_to_an_explanation_unfolds_it(page: chromium.Page) -> None:
    wanted = DONE.front[-1]
    opened = f"document.getElementById('explained-{wanted}').open"
    page.run(f"document.getElementById('explained-{wanted}').open = false")
    page.run(f"document.querySelector('a[data-opens=\"explained-{wanted}\"]').click()")
    page.run("new Promise(done => setTimeout(done, 50))")
    assert page.run(opened)


def test_the_keyboard_meets_the_sections_in_their_order(page: chromium.Page) -> None:
    page.key("Tab", 9)
    assert page.run("document.activeElement.className") == "skip"
    page.key("Enter", 13, "\r")
    page.key("Tab", 9)
    assert page.run("document.activeElement.closest('section').id") == "found"
    order = page.run(
        "[...new Set([...document.querySelectorAll('a[href], button, select, input, summary, [tabindex=\"0\"]')]"
        ".filter(e => e.checkVisibility() && e.closest('main section')).map(e => e.closest('main section').id))]"
    )
    sections = page.run("[...document.querySelectorAll('main > section')].map(s => s.id)")
    # The glossary, at the end, has nothing to operate.
    assert order == sections[:-1]
    assert sections == page.run("[...document.querySelectorAll('nav a')].map(a => a.getAttribute('href').slice(1))")


def test_the_policy_stops_what_is_not_ours(page: chromium.Page) -> None:
    assert page.run("fetch('data:text/plain,x').then(() => 'loaded', () => 'refused')") == "refused"
    page.run("document.head.append(Object.assign(document.createElement('script'), {textContent: 'window.evil = 1'}))")
    assert page.run("window.evil") is None


def test_pointing_shows_and_clicking_selects_and_scrolls_to_the_card(page: chromium.Page) -> None:
    middle = DONE.front[len(DONE.front) // 2]
    x, y = place_of(page, f'#front-stage a[href="#card-{middle}"]')
    page.move(x, y)
    assert middle in page.run("document.querySelector('#front-stage .tip').textContent")
    page.click(x, y)
    assert page.run("document.querySelector('.card.on').id") == f"card-{middle}"
    assert page.run("document.activeElement.id") == f"card-{middle}"
    top = page.run("document.querySelector('.card.on').getBoundingClientRect().top")
    assert 0 <= top < 200


def test_the_keyboard_walks_along_the_front_and_opens_a_card(page: chromium.Page) -> None:
    page.run("document.querySelector('#front-stage a[tabindex=\"0\"]').focus()")
    page.key("ArrowRight", 39)
    assert page.run("document.activeElement.getAttribute('href')") == f"#card-{DONE.front[1]}"
    assert DONE.front[1] in page.run("document.querySelector('#front-stage .tip').textContent")
    assert page.run("document.querySelectorAll('#front-stage a[tabindex=\"0\"]').length") == 1
    page.key("End", 35)
    page.key("Enter", 13, "\r")
    assert page.run("document.activeElement.id") == f"card-{DONE.front[-1]}"


def test_any_candidate_can_be_looked_at_and_the_focus_comes_back(page: chromium.Page) -> None:
    child = next(i for i, c in enumerate(DONE.candidates) if len(c.parents) == 2)
    page.run(f"document.getElementById('query').focus(); choose({child})")
    assert DONE.candidates[child].id in page.run("picked.textContent")
    assert not page.run("picked.hidden")
    page.run("document.querySelector('#picked button.id').click()")
    assert page.run("picked.querySelector('h2').textContent") == DONE.candidates[child].parents[0]
    page.key("Escape", 27)
    assert page.run("picked.hidden")
    assert page.run("document.activeElement.id") == "query"


def test_the_table_filters_sorts_and_turns_pages(page: chromium.Page) -> None:
    rows = "[...document.querySelectorAll('#table tbody tr')].map(r => r.cells[0].textContent)"
    assert len(page.run(rows)) == 50
    page.run("document.getElementById('next').click()")
    assert page.run(rows) == [c.id for c in DONE.candidates[50:100]]
    page.run("candidateTable.filter('accuracy>0.85 conv_3x3')")
    wanted = [c.id for c in DONE.candidates if c.metrics.get("accuracy", 0) > 0.85 and "conv_3x3" in c.arch]
    assert page.run("document.getElementById('count').textContent") == f"{len(wanted)} of 200 candidates"
    page.run("candidateTable.filter('front'); document.querySelector('#table th button').click()")
    assert page.run(rows) == sorted(DONE.front)
    assert page.run("document.querySelector('#table th').getAttribute('aria-sort')") == "ascending"
    page.run("[...document.querySelectorAll('#table th button')].find(b => b.textContent === 'accuracy').click()")
    assert page.run(rows) == list(DONE.front)


def test_the_lineage_picker_shows_one_tree(page: chromium.Page) -> None:
    wanted = DONE.front[-1]
    page.run(f"document.querySelector('a[data-lineage=\"{wanted}\"]').click()")
    shown = "[...document.querySelectorAll('.tree')].filter(t => t.offsetHeight > 0).map(t => t.id)"
    assert page.run(shown) == [f"lineage-{wanted}"]
    assert page.run("document.getElementById('lineage-of').value") == wanted


def test_axes_can_be_chosen_and_the_front_enlarged(browser: chromium.Page, folder: Path) -> None:
    browser.problems.clear()
    browser.open(f"file://{folder}/three.html")
    title = "[...document.querySelectorAll('#front-stage .title')].map(t => t.textContent)"
    assert browser.run(title) == ["accuracy, more is better", "introspectability, more is better"]
    browser.run("pickers.x.value = report.fields.findIndex(f => f.name === 'macs'); pickers.x.onchange()")
    assert browser.run(title)[0] == "macs, less is better"
    assert browser.run("document.querySelector('#front-stage .stairs').getAttribute('d')").startswith("M")
    dots = (
        "[...document.querySelectorAll('#front-stage .dots')].map(d => d.getAttribute('d')).join('').split('M').length"
    )
    before = browser.run(dots)
    browser.run("zoom.click()")
    assert browser.run(dots) <= before
    assert browser.problems == []


def test_script_and_python_write_numbers_and_ticks_alike(page: chromium.Page) -> None:
    values = [0.482, 0.0, 12.0, 1234.0, 858_426.0, 121_812_345.0, 999_999.0, 2.5e6, -0.25, 23.456, 9_999.7, 0.00012345]
    assert page.run(f"{values}.map(v => number(v, 'ms'))") == [number(value, "ms") for value in values]
    assert page.run(f"{values}.map(tickText)") == [tick(value) for value in values]
    assert page.run("ticks(0.13, 0.97, 8).map(tickText)") == ["0.2", "0.3", "0.4", "0.5", "0.6", "0.7", "0.8", "0.9"]
    best = next(c for c in DONE.candidates if c.id == DONE.front[0])
    shown = with_error(best.metrics["accuracy"], best.errors["accuracy"])
    assert page.run("withError(0, report.front[0])") == shown


def test_without_script_the_front_the_members_and_a_lineage_are_there(browser: chromium.Page, folder: Path) -> None:
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(f"file://{folder}/report.html")
        browser.screenshot(folder / "plain.png")
        text = browser.call("DOM.getOuterHTML", nodeId=browser.call("DOM.getDocument")["root"]["nodeId"])["outerHTML"]
    finally:
        browser.call("Emulation.setScriptExecutionDisabled", value=False)
    assert re.search(r'<html lang="en">', text), "the script would have added a class"
    assert len(re.findall(r'<a href="#card-\w+"><title>', text)) == len(DONE.front)
    assert text.count('class="tree"') == len(DONE.front)


def test_axis_titles_stay_clear_of_tick_labels(browser: chromium.Page, folder: Path) -> None:
    browser.open(f"file://{folder}/three.html")
    browser.run("pickers.y.value = report.fields.findIndex(f => f.name === 'macs'); pickers.y.onchange()")
    boxes = """[...document.querySelectorAll('svg.plot')].map(plot => {
      const texts = [...plot.querySelectorAll('.axes text')].map(t => [t, t.getBoundingClientRect()]);
      const titles = texts.filter(([t]) => t.classList.contains('title')).map(([, b]) => b);
      return texts.filter(([t, b]) => !t.classList.contains('title') && titles.some(title =>
        b.left < title.right && title.left < b.right && b.top < title.bottom && title.top < b.bottom)).length;
    })"""
    assert set(browser.run(boxes)) == {0}
    assert browser.run("axisTitle({name: 'latency_ms', unit: 'ms'}, true)") == "latency_ms"
    assert browser.run("axisTitle({name: 'loss', unit: 'nat'}, true)") == "loss (nat)"
