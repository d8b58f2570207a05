"""`xnas init`: whatever it writes is valid, and it never destroys a file."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xnas_core.api import load_search, validate_file
from xnas_core.api.template import Choices, ObjectiveChoice, default_population, name_from, parse_objective, render
from xnas_core.errors import InvalidInputError
from xnas_core.objectives import METRICS
from xnas_core.plugins import PluginKind, names
from xnas_core.testing.command_line import xnas, xnas_on_terminal

CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"


@pytest.fixture
def inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_defaults_are_a_valid_search_on_digits(inside: Path) -> None:
    told = xnas("init")
    assert told.code == 0
    search = load_search(inside / "search.yaml")
    assert search.spec.dataset is not None
    assert search.spec.dataset.name == "digits"
    assert [o.name for o in search.spec.objectives] == ["accuracy", "introspectability"]
    assert search.spec.limits.max_evaluations == 48
    assert "xnas run search.yaml --output runs/search" in told.out
    assert [path.name for path in inside.iterdir()] == ["search.yaml"]


def test_options_are_what_is_written(inside: Path) -> None:
    told = xnas(
        "init", "mine.yaml", "--space", "mobile", "--dataset", "fashion-mnist", "--objective", "accuracy",
        "--objective", "parameters", "--objective", "latency_ms:minimize", "--evaluations", "100",
        "--seed", "9", "--json",
    )  # fmt: skip
    assert told.code == 0
    assert json.loads(told.out) == {"file": "mine.yaml", "name": "mine"}
    spec = load_search(inside / "mine.yaml").spec
    assert (spec.search_space.name, spec.seed, spec.limits.max_evaluations) == ("mobile", 9, 100)
    assert [(o.name, o.direction.value) for o in spec.objectives] == [
        ("accuracy", "maximize"), ("parameters", "minimize"), ("latency_ms", "minimize"),
    ]  # fmt: skip


@pytest.mark.parametrize("dataset", ["mnist", "fashion-mnist"])
def test_a_first_search_on_larger_data_takes_minutes(dataset: str, inside: Path) -> None:
    assert xnas("init", "--dataset", dataset, "-y").code == 0
    spec = load_search(inside / "search.yaml").spec
    assert spec.dataset is not None
    assert (spec.dataset.training_fraction, spec.evaluators.slots_per_evaluator) == (0.15, 2)


def test_data_of_ones_own(inside: Path) -> None:
    (inside / "pictures" / "train").mkdir(parents=True)
    (inside / "idx").mkdir()
    (inside / "idx" / "train-images-idx3-ubyte.gz").touch()
    (inside / "data.npz").touch()
    found = {}
    for number, place in enumerate(("pictures", "idx", "data.npz")):
        told = xnas("init", f"s{number}.yaml", "--dataset", place, "-y")
        assert told.code == 0, told.err
        dataset = load_search(inside / f"s{number}.yaml").spec.dataset
        assert dataset is not None
        assert dataset.source is not None
        found[place] = dataset.source.to_document()
    assert found == {"pictures": {"imageFolder": "pictures"}, "idx": {"idx": "idx"}, "data.npz": {"npz": "data.npz"}}


def test_a_table_in_place_of_data(inside: Path) -> None:
    (inside / "t.csv.gz").write_bytes(gzip.compress(f"arch,score,cost\n{CELL},1,2\n".encode()))
    told = xnas("init", "--table", "t.csv.gz", "--objective", "score:maximize", "--objective", "cost:minimize")
    assert told.code == 0, told.err
    spec = load_search(inside / "search.yaml").spec
    assert spec.benchmark is not None
    assert spec.dataset is None
    assert spec.limits.max_evaluations == 1000


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (["--objective", "acuracy"], "did you mean 'accuracy'?"),
        (["--objective", "error"], "write error:maximize or error:minimize"),
        (["--objective", "error:up"], "must be maximize or minimize, not 'up'"),
        (["--objective", "error:minimize"], 'there is no objective "error"'),
        (["--table", "t.csv"], "needs at least one --objective"),
        (["--table", "t.csv", "--dataset", "digits"], "exclude each other"),
        (["--table", "nowhere.csv", "--objective", "a:maximize"], "does not exist"),
        (["--space", "mobil"], 'did you mean "mobile"?'),
        (["--dataset", "digit"], 'did you mean "digits"?'),
        (["--dataset", "./nowhere"], "does not exist"),
        (["--name", "My Search"], "metadata.name"),
        (["--dataset", "none", "--objective", "accuracy"], "dataset is missing"),
    ],
)
def test_wrong_answers_leave_no_file(options: list[str], says: str, inside: Path) -> None:
    told = xnas("init", *options, "-y")
    assert told.code == 2
    assert says in told.err
    assert list(inside.iterdir()) == []


def test_an_existing_file_is_kept_unless_forced(inside: Path) -> None:
    (inside / "search.yaml").write_text("precious")
    told = xnas("init", "-y")
    assert told.code == 2
    assert "exists" in told.err
    assert (inside / "search.yaml").read_text() == "precious"
    assert xnas("init", "-y", "--force").code == 0
    assert validate_file(inside / "search.yaml") == []


def test_a_missing_folder_is_said(inside: Path) -> None:
    told = xnas("init", "no/where.yaml", "-y")
    assert (told.code, "cannot write no/where.yaml" in told.err) == (1, True)


def test_questions_on_a_terminal(inside: Path) -> None:
    told = xnas_on_terminal(
        "init",
        columns=60,
        typed=[
            ("Search space", "mobile\r"),
            ("Data set", "lines\r"),
            ("Objectives", "accuracy parameters\r"),
            ("Networks to score", "0\r"),
            ("1 or more", "30\r"),
            ("Seed", "\r"),
        ],
    )
    assert told.code == 0, told.text
    spec = load_search(inside / "search.yaml").spec
    assert (spec.search_space.name, spec.limits.max_evaluations, spec.seed) == ("mobile", 30, 1)
    assert [o.name for o in spec.objectives] == ["accuracy", "parameters"]


def test_ctrl_c_at_a_question(inside: Path) -> None:
    told = xnas_on_terminal("init", typed=[("Search space", "\x03")])
    assert told.code == 130
    assert "Traceback" not in told.out
    assert list(inside.iterdir()) == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    space=st.sampled_from(names(PluginKind.SPACE)),
    dataset=st.sampled_from(["digits", "lines", "mnist", "fashion-mnist", "cifar10", None]),
    wanted=st.lists(st.sampled_from(sorted(METRICS)), min_size=1, max_size=8, unique=True),
    evaluations=st.integers(1, 100_000),
    seed=st.integers(0, 2**53 - 1),
    stem=st.text(min_size=1, max_size=80),
)
def test_every_combination_is_valid(
    tmp_path: Path, space: str, dataset: str | None, wanted: list[str], evaluations: int, seed: int, stem: str
) -> None:
    if dataset is None:
        wanted = [name for name in wanted if METRICS[name].static] or ["macs"]
    objectives = tuple(ObjectiveChoice(name, METRICS[name].direction) for name in wanted)
    population = default_population(evaluations)
    text = render(
        Choices(
            name_from(Path(stem.replace("\0", "-"))), space, dataset, None, objectives, evaluations, population, seed
        )
    )
    file = tmp_path / "search.yaml"
    file.write_text(text, encoding="utf-8")
    problems = [problem for problem in validate_file(file) if evaluations > 1 or "populationSize" not in problem.field]
    assert problems == [], text
    assert max(map(len, text.splitlines())) <= 120


def test_objectives_that_cannot_be_guessed_are_refused() -> None:
    assert parse_objective("loss").direction.value == "minimize"
    with pytest.raises(InvalidInputError, match="needs a direction"):
        parse_objective("c10_test_200")
