"""What is right is read as it is meant; whatever is wrong, validation answers and never breaks."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xnas_core import plugins
from xnas_core.api import SpecError, load_search, load_searches, resolve_paths, validate_file
from xnas_core.api.change import changed_fields
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.api.status import ArchitectureSearchStatus, StateWord
from xnas_core.api.validate import check_document
from xnas_core.api.yaml_tree import read_documents
from xnas_core.plugins import PluginKind
from xnas_core.search.view import SearchState

GOOD = """\
apiVersion: xnas.dev/v1alpha1
kind: ArchitectureSearch
metadata: {name: good}
spec:
  seed: 7
  searchSpace: {name: nas-bench-201, parameters: {cellsPerStage: 1, channels: 8}}
  dataset: {name: digits, validationFraction: 0.2}
  training:
    epochs: 3
    optimizer: {learningRate: 1e-1, weightDecay: 5e-4, momentum: 0.9}
    schedule: {warmupEpochs: 1}
  objectives:
  - {name: accuracy, direction: maximize}
  - {name: introspectability, direction: maximize, parameters: {groupBy: trueClass}, reference: 0}
  constraints:
  - {metric: parameters, max: 1e6}
  algorithm: {populationSize: 8}
  limits: {maxEvaluations: 48}
"""


def _plain(text: str) -> Any:
    trees, flaws = read_documents(text)
    assert flaws == []
    return trees[0].plain()


def _file(folder: Path, text: str) -> Path:
    path = folder / "search.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_right_file_has_no_problems(tmp_path: Path) -> None:
    path = _file(tmp_path, GOOD)
    assert validate_file(path) == []
    spec = load_search(path).spec
    assert (spec.seed, spec.training.optimizer.learning_rate, spec.constraints[0].max) == (7, 0.1, 1e6)
    assert spec.training.optimizer.nesterov
    assert spec.search_space.parameters == {"cellsPerStage": 1, "channels": 8}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1E3", 1000.0),
        ("+.5", 0.5),
        ("-7", -7),
        ("007", 7),
        ("0x1F", 31),
        ("0o17", 15),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("-.inf", float("-inf")),
        ("true", True),
        ("FALSE", False),
        ("yes", "yes"),
        ("no", "no"),
        ("on", "on"),
        ("off", "off"),
        ("~", None),
        ("null", None),
        ("2030-01-01", "2030-01-01"),
        ("'1'", "1"),
        ('"true"', "true"),
        ("v1", "v1"),
        ("0.1.0", "0.1.0"),
    ],
)
def test_scalars_are_those_of_yaml_1_2(text: str, value: Any) -> None:
    read = _plain(f"a: {text}\n")["a"]
    assert read == value
    assert type(read) is type(value)


def test_aliases_are_copies_and_may_be_used() -> None:
    shared = {"b": [1, 2]}
    assert _plain("a: &x {b: [1, 2]}\nc: *x\nd: [*x]\n") == {"a": shared, "c": shared, "d": [shared]}


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-(10**18), 10**18)
        | st.text(st.characters(exclude_categories=["C", "Z"])),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(st.characters(categories=["L"]), min_size=1, max_size=5), inner, max_size=3)
        ),
        max_leaves=8,
    )
)
def test_json_is_read_as_json(value: Any) -> None:
    assert _plain(json.dumps({"a": value})) == {"a": value}


def test_several_searches_in_one_file(tmp_path: Path) -> None:
    path = _file(tmp_path, "# first\n" + GOOD + "---\n" + GOOD.replace("name: good", "name: other") + "---\n")
    loaded = load_searches(path)
    assert [(each.search.metadata.name, each.line) for each in loaded] == [("good", 2), ("other", 21)]
    with pytest.raises(SpecError, match=r"search.yaml:21:1 holds 2 searches, but one is needed"):
        load_search(path)
    _file(tmp_path, GOOD + "---\n" + GOOD.replace("seed: 7", "seed: -7") + "---\nkind: Pod\n")
    problems = validate_file(path)
    assert [(problem.line, problem.field) for problem in problems] == [(24, "spec.seed"), (39, "kind")]


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "search.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert validate_file(path) == []


def test_what_the_api_server_adds_is_no_mistake() -> None:
    document = {
        **_plain(GOOD),
        "metadata": {
            "name": "good",
            "namespace": "team-a",
            "uid": "8f5e6a52-0000-4000-8000-000000000000",
            "resourceVersion": "12",
            "generation": 2,
            "creationTimestamp": "2030-01-01T00:00:00Z",
            "labels": {"app.kubernetes.io/name": "xnas", "team": ""},
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": '{"a": 1}\n'},
            "managedFields": [{"manager": "kubectl", "fieldsV1": {"f:spec": {}}}],
        },
        "status": {
            "observedGeneration": 2,
            "state": "Running",
            "conditions": [
                {
                    "type": "Accepted",
                    "status": "True",
                    "reason": "Accepted",
                    "lastTransitionTime": "2030-01-01T00:00:00Z",
                }
            ],
            "front": [{"id": "c0123456789ab", "values": {"accuracy": 0.9}}],
            "startTime": "2030-01-01T00:00:00+00:00",
        },
    }
    search, findings = check_document(document, Path())
    assert findings == []
    assert search is not None
    assert search.status is not None
    assert search.status.to_document()["conditions"][0]["lastTransitionTime"] == "2030-01-01T00:00:00Z"
    again, _ = check_document(search.to_document(), Path())
    assert again == search


def test_the_words_for_a_state_include_the_engines() -> None:
    assert {state.value for state in SearchState} < {word.value for word in StateWord}
    assert ArchitectureSearchStatus().state is StateWord.PENDING


def test_defaults_applied_here_are_those_of_the_models() -> None:
    given_ = _plain(GOOD)["spec"]
    document = ArchitectureSearchSpec.model_validate_json(json.dumps(given_)).to_document()
    assert changed_fields(given_, document) == ([], [])


def test_paths_start_at_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    path = _file(tmp_path, GOOD.replace("{name: digits,", "{source: {imageFolder: images},"))
    spec = resolve_paths(load_search(path).spec, path.parent)
    assert spec.dataset is not None
    assert spec.dataset.source is not None
    assert spec.dataset.source.image_folder == str(tmp_path / "images")
    assert spec.dataset.source.npz is None
    assert resolve_paths(spec, Path("/elsewhere")) == spec

    remote = GOOD.replace("{name: digits,", "{source: {npz: s3://b/x.npz},")
    dataset = resolve_paths(load_search(_file(tmp_path, remote)).spec, tmp_path).dataset
    assert dataset is not None
    assert dataset.source is not None
    assert dataset.source.npz == "s3://b/x.npz"

    named = GOOD.replace("{name: digits,", "{name: mnist, path: images,")
    dataset = resolve_paths(load_search(_file(tmp_path, named)).spec, tmp_path).dataset
    assert dataset is not None
    assert dataset.path == str(tmp_path / "images")


def test_a_path_in_a_volume_is_not_looked_for_here(tmp_path: Path) -> None:
    volume = "volume: {persistentVolumeClaim: {claimName: images}}"
    text = GOOD.replace("{name: digits,", f"{{source: {{imageFolder: /data/images}}, {volume},")
    assert validate_file(_file(tmp_path, text)) == []


def test_a_table_is_resolved_and_its_columns_are_objectives(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("index,arch,error\n0,|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|,3.5\n")
    text = """\
apiVersion: xnas.dev/v1alpha1
kind: ArchitectureSearch
metadata: {name: table}
spec:
  searchSpace: {name: nas-bench-201}
  benchmark: {table: t.csv}
  objectives:
  - {name: error, direction: minimize}
  - {name: cost, direction: minimize, metric: macs}
  constraints:
  - {metric: cost, max: 1000000000}
  limits: {maxGenerations: 3}
"""
    path = _file(tmp_path, text)
    assert validate_file(path) == []
    benchmark = resolve_paths(load_search(path).spec, tmp_path).benchmark
    assert benchmark is not None
    assert benchmark.table == str(tmp_path / "t.csv")


class _BrokenSpace:
    """A plug-in that is not what it should be."""

    def __init__(self, *_: Any) -> None:
        raise RuntimeError("no licence")


def test_a_broken_plug_in_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plugins, "names", lambda kind: ["nas-bench-201"] if kind is PluginKind.SPACE else ["digits"])
    monkeypatch.setattr(plugins, "load", lambda *_: _BrokenSpace)
    messages = [str(problem) for problem in validate_file(_file(tmp_path, GOOD))]
    assert any("the search space nas-bench-201 failed: RuntimeError: no licence" in message for message in messages)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(0, len(GOOD)), st.integers(0, 12), st.text(max_size=6)), min_size=1, max_size=4))
def test_a_damaged_file_is_answered_with_sentences(tmp_path: Path, cuts: list[tuple[int, int, str]]) -> None:
    text = GOOD
    for start, length, inserted in cuts:
        text = text[:start] + inserted + text[start + length :]
    path = tmp_path / "search.yaml"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    for problem in validate_file(path):
        assert problem.message
        assert "Input should" not in problem.message
        str(problem).encode()


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["name", "a"]), inner, max_size=2),
    max_leaves=4,
)


def _places(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path, *(place for key, child in children for place in _places(child, (*path, key)))]


PLACES = [place for place in _places(_plain(GOOD)) if place]


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(PLACES), ANYTHING)
def test_any_value_anywhere_is_answered(place: tuple[Any, ...], value: Any) -> None:
    document = copy.deepcopy(_plain(GOOD))
    here = document
    for part in place[:-1]:
        here = here[part]
    here[place[-1]] = value
    search, findings = check_document(document, Path())
    assert (search is None) == any(finding.severity == "error" for finding in findings)
    assert not any("Input should" in finding.message for finding in findings)
