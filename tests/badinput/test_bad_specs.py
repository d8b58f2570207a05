"""Bad files: each is refused with line, field and a sentence. One row is one mistake."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from xnas_core.api import Problem, Severity, SpecError, load_search, validate_file

HEAD = """\
apiVersion: xnas.dev/v1alpha1
kind: ArchitectureSearch
metadata: {name: good}
spec:
  searchSpace: {name: nas-bench-201}
  dataset: {name: digits}
  objectives:
  - {name: accuracy, direction: maximize}
  - {name: macs, direction: minimize}
  algorithm: {populationSize: 8}
  limits: {maxEvaluations: 48}
"""
"""A right file of 11 lines. A row changes one of its lines or adds lines after it."""

ARCH = "|none~0|+|none~0|none~1|+|{}~0|none~1|none~2|"
TABLE = [ARCH.format("skip_connect"), ARCH.format("nor_conv_1x1")]


@dataclass(frozen=True)
class Row:
    """One bad input: what is changed, and what has to be said."""

    name: str
    old: str
    new: str
    line: int
    field: str
    says: str
    suggestion: str | None = None


_DOCUMENTS = yaml.safe_load((Path(__file__).parent / "bad_specs.yaml").read_text(encoding="utf-8"))
ROWS = [Row(**document) for document in _DOCUMENTS]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "table.csv").write_text("arch,error\n" + "".join(f"{arch},1.5\n" for arch in TABLE))
    return tmp_path


def _problems(folder: Path, content: str | bytes) -> list[Problem]:
    file = folder / "search.yaml"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return validate_file(file)


def test_the_file_that_the_rows_change_is_right(folder: Path) -> None:
    assert _problems(folder, HEAD) == []


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_bad_spec(row: Row, folder: Path) -> None:
    assert HEAD.count(row.old) >= 1, "the row changes nothing"
    problems = _problems(folder, HEAD.replace(row.old, row.new, 1))
    said = [str(problem) for problem in problems]
    found = [p for p in problems if p.field == row.field and row.says in p.message and p.line == row.line]
    assert found, said
    assert found[0].severity is Severity.ERROR
    assert found[0].suggestion == row.suggestion
    if row.suggestion is not None:
        assert f'did you mean "{row.suggestion}"?' in found[0].message
    for problem in problems:
        assert not any(word in problem.message for word in ("pydantic", "Input should", "http", "type=", "\n")), said
    with pytest.raises(SpecError) as raised:
        load_search(folder / "search.yaml")
    assert raised.value.problems == tuple(problems)


def test_the_rows_are_many_and_different() -> None:
    assert len({row.name for row in ROWS}) == len(ROWS) > 60


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty", b"", "is empty"),
        ("comments only", b"# nothing\n---\n", "is empty"),
        ("null", b"null\n", "is empty"),
        ("a text", b"hello\n", 'is the text "hello"'),
        ("a list", b"- 1\n", "is a list"),
        ("binary", b"\x7fELF\x02\x01\x00\x00", "binary"),
        ("latin 1", b"name: caf\xe9\n", "not text in UTF-8"),
        ("utf 16", "name: a".encode("utf-16"), "not text in UTF-8"),
        ("huge", b"#" * (1 << 20) + b"\n", "larger than 1 MiB"),
        ("many values", b"- 1\n" * 20_001, "more than 20,000 values"),
        (
            "bomb",
            b"a: &a [x,x,x,x,x,x,x,x,x,x]\n"
            + b"".join(b"%c: &%c [%s]\n" % (c, c, b",".join([b"*%c" % (c - 1)] * 10)) for c in b"bcdefghi"),
            "aliases (*name) expanded",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_file(name: str, content: bytes, says: str, folder: Path) -> None:
    (problem,) = _problems(folder, content)
    assert says in str(problem)


def test_no_file_and_a_folder(folder: Path) -> None:
    assert "there is no such file" in str(validate_file(folder / "no.yaml")[0])
    assert "is a folder" in str(validate_file(folder)[0])


ROW1, ROW2 = TABLE


@pytest.mark.parametrize(
    ("name", "content", "field", "says"),
    [
        ("missing", None, "table", "does not exist"),
        ("empty", b"", "table", "is empty"),
        ("only names", b"arch,error\n", "table", "has no rows"),
        ("no key column", f"architecture,error\n{ROW1},1\n".encode(), "key", 'did you mean "architecture"'),
        ("no objective column", f"arch,eror\n{ROW1},1\n".encode(), "objective", 'did you mean "eror"'),
        ("NaN", f"arch,error\n{ROW1},1\n{ROW2},nan\n".encode(), "table", '"nan" in row 3 of column error'),
        ("text", f"arch,error\n{ROW1},high\n".encode(), "table", '"high" in row 2'),
        ("empty value", f"arch,error\n{ROW1},\n".encode(), "table", '"" in row 2'),
        ("short row", f"arch,error\n{ROW1}\n".encode(), "table", "1 values in row 2, but 2 columns"),
        ("repeated key", f"arch,error\n{ROW1},1\n{ROW1},2\n".encode(), "table", "repeated arch"),
        ("repeated column", b"arch,error,error\nx,1,1\n", "table", 'two columns named "error"'),
        ("other architectures", b"arch,error\nresnet,1\n", "key", "does not hold architectures of nas-bench-201"),
        ("not text", b"\xff\xfe\x00", "table", "not text in UTF-8"),
        ("torn gzip", gzip.compress(f"arch,error\n{ROW1},1\n{ROW2},2\n".encode())[:-9], "table", "cannot be read"),
        ("corrupt gzip", b"\x1f\x8b" + b"\x08" * 40, "table", "cannot be read"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_bad_table(name: str, content: bytes | None, field: str, says: str, folder: Path) -> None:
    if content is None:
        (folder / "table.csv").unlink()
    else:
        (folder / "table.csv").write_bytes(content)
    text = HEAD.replace("dataset: {name: digits}", "benchmark: {table: table.csv}").replace("accuracy", "error")
    (problem,) = _problems(folder, text)
    place = {"table": "spec.benchmark.table", "key": "spec.benchmark.key", "objective": "spec.objectives[0].name"}
    assert (problem.field, problem.line) == (place[field], 8 if field == "objective" else 6)
    assert says in problem.message


def test_every_mistake_is_named_in_one_run(folder: Path) -> None:
    text = HEAD
    changes: list[tuple[str, str]] = [
        ("{name: good}", "{name: Bad}"),
        ("nas-bench-201", "nasbench"),
        ("digits", "digit"),
        ("maximize", "max"),
        ("name: macs", "name: mac"),
        ("populationSize: 8", "populationSize: 0"),
        ("maxEvaluations: 48", "maxEvaluation: 48"),
    ]
    for old, new in changes:
        text = text.replace(old, new, 1)
    problems = _problems(folder, text)
    assert [problem.line for problem in problems] == [3, 5, 6, 8, 9, 10, 11]
    with pytest.raises(SpecError, match="has 7 mistakes"):
        load_search(folder / "search.yaml")


def test_a_sentence_reads_well(folder: Path) -> None:
    (problem,) = _problems(folder, HEAD + "  trainng: {epochs: 3}\n")
    assert str(problem) == f'{folder}/search.yaml:12:3 spec.trainng: unknown field; did you mean "training"?'


WARNINGS: list[tuple[str, Callable[[str], str], str, str]] = [
    ("population", lambda t: t.replace("Size: 8", "Size: 64"), "spec.algorithm.populationSize", "no offspring"),
    ("direction", lambda t: t.replace("maximize", "minimize"), "spec.objectives[0].direction", "better with maximize"),
    (
        "training beside a table",
        lambda t: (
            t.replace("dataset: {name: digits}", "benchmark: {table: table.csv}").replace("accuracy", "error")
            + "  training: {epochs: 3}\n"
        ),
        "spec.training",
        "is ignored",
    ),
]


@pytest.mark.parametrize(("name", "change", "field", "says"), WARNINGS, ids=[row[0] for row in WARNINGS])
def test_a_warning_does_not_refuse(
    name: str, change: Callable[[str], str], field: str, says: str, folder: Path
) -> None:
    (problem,) = _problems(folder, change(HEAD))
    assert (problem.field, problem.severity) == (field, Severity.WARNING)
    assert says in problem.message
    assert ": warning: " not in str(problem)
    assert " warning: " in str(problem)
    assert load_search(folder / "search.yaml").metadata.name == "good"
