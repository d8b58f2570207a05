from __future__ import annotations

import csv
import io
import os
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xnas_core.errors import InvalidInputError, StoreError
from xnas_core.report import candidates_table, front_csv, write_candidates, write_front
from xnas_core.search.view import CandidateState, SearchView
from xnas_core.testing.sample_search import sample_search

VIEW = sample_search(80).view

EXPECTED = {
    "id": pa.string(),
    "arch": pa.string(),
    "state": pa.string(),
    "generation": pa.int32(),
    "parents": pa.list_(pa.string()),
    "attempts": pa.int32(),
    "accuracy": pa.float64(),
    "introspectability": pa.float64(),
    "completeness_delta": pa.float64(),
    "generalization_gap": pa.float64(),
    "latency_ms": pa.float64(),
    "loss": pa.float64(),
    "macs": pa.float64(),
    "parameters": pa.float64(),
    "test_accuracy": pa.float64(),
    "train_seconds": pa.float64(),
    "accuracy_stderr": pa.float64(),
    "test_accuracy_stderr": pa.float64(),
    "objective_accuracy": pa.float64(),
    "objective_introspectability": pa.float64(),
    "timing_metrics_seconds": pa.float64(),
    "timing_train_seconds": pa.float64(),
    "violation": pa.float64(),
    "on_front": pa.bool_(),
    "failure": pa.string(),
    "number": pa.int32(),
    "genes": pa.list_(pa.int32()),
    "operators": pa.list_(pa.string()),
    "proposed_at": pa.timestamp("us", tz="UTC"),
    "finished_at": pa.timestamp("us", tz="UTC"),
    "artifact_paths": pa.list_(pa.string()),
    "artifact_bytes": pa.list_(pa.int64()),
    "artifact_sha256": pa.list_(pa.string()),
}


def with_first(view: SearchView, **changes: object) -> SearchView:
    first = replace(view.candidates[0], **changes)  # type: ignore[arg-type]  # any field of a candidate
    return replace(view, candidates=(first, *view.candidates[1:]), front=(first.id,))


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_columns_their_order_and_their_types() -> None:
    schema = candidates_table(VIEW).schema
    assert dict(zip(schema.names, schema.types, strict=True)) == EXPECTED
    assert schema.names == list(EXPECTED)
    assert schema.metadata[b"xnas.search"] == VIEW.search_id.encode()


def test_the_file_holds_every_candidate_exactly(tmp_path: Path) -> None:
    write_candidates(VIEW, tmp_path / "candidates.parquet")
    read = pq.read_table(tmp_path / "candidates.parquet").to_pylist()
    assert [row["id"] for row in read] == [c.id for c in VIEW.candidates]
    for row, c in zip(read, VIEW.candidates, strict=True):
        assert row["accuracy"] == c.metrics.get("accuracy")
        assert row["parents"] == list(c.parents)
        assert row["artifact_sha256"] == [a.sha256 for a in c.artifacts]
        assert row["proposed_at"].timestamp() == pytest.approx(c.proposed_at, abs=1e-6)
        assert row["failure"] == (c.failure or None)


def test_what_is_not_known_is_null() -> None:
    view = sample_search(6, finished=False).view
    table = candidates_table(view)
    assert table["objective_accuracy"].null_count == 6
    assert table["finished_at"].null_count == 6
    assert table["parameters"].null_count == 0


def test_an_empty_search_has_an_empty_table(tmp_path: Path) -> None:
    view = sample_search(0).view
    write_candidates(view, tmp_path / "candidates.parquet")
    assert pq.read_table(tmp_path / "candidates.parquet").num_rows == 0
    assert rows(front_csv(view)) == []


def test_front_csv_is_the_front_best_first_objective_first() -> None:
    read = rows(front_csv(VIEW))
    assert [row["id"] for row in read] == list(VIEW.front)
    values = [float(row["accuracy"]) for row in read]
    assert values == sorted(values, reverse=True)
    assert list(read[0]) == list(EXPECTED)
    assert {row["on_front"] for row in read} == {"true"}
    assert front_csv(VIEW).count("\r\n") == len(read) + 1
    by_id = {c.id: c for c in VIEW.candidates}
    for row in read:
        c = by_id[row["id"]]
        assert row["parents"] == ";".join(c.parents)
        assert row["artifact_paths"].split(";") == [a.key for a in c.artifacts]
        assert row["proposed_at"].endswith("+00:00")


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_survive_the_csv(value: float) -> None:
    view = with_first(VIEW, metrics={"accuracy": value}, errors={"accuracy": value}, timings={"train_seconds": value})
    (row,) = rows(front_csv(view))
    for name in ("accuracy", "accuracy_stderr", "timing_train_seconds"):
        assert float(row[name]) == value


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_text_survives_the_csv(text: str) -> None:
    view = with_first(VIEW, arch=text, failure="x" + text, state=CandidateState.FAILED)
    (row,) = rows(front_csv(view))
    assert (row["arch"], row["failure"]) == (text, "x" + text)


@pytest.mark.parametrize("name", ["id", "state", "on_front", "objective_accuracy", "accuracy_stderr"])
def test_a_metric_whose_name_is_taken_keeps_a_column_of_its_own(name: str) -> None:
    first = VIEW.candidates[0]
    view = with_first(VIEW, metrics={**first.metrics, name: 0.125})
    names = candidates_table(view).schema.names
    assert len(names) == len(set(names))
    held = [candidates_table(view)[n][0].as_py() for n in (name, f"metric_{name}")]
    assert 0.125 in held
    assert held != [0.125, 0.125]


def test_columns_do_not_depend_on_the_order_of_candidates() -> None:
    backwards = replace(VIEW, candidates=tuple(reversed(VIEW.candidates)))
    assert candidates_table(backwards).schema.names == candidates_table(VIEW).schema.names


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "front.csv"
    target.write_text("old")
    write_front(VIEW, target)
    assert target.read_bytes().decode() == front_csv(VIEW)
    with pytest.raises(StoreError, match="cannot write"):
        write_front(VIEW, tmp_path / "absent" / "front.csv")
    assert [p.name for p in tmp_path.iterdir()] == ["front.csv"]


def test_what_is_no_plain_file_is_not_replaced(tmp_path: Path) -> None:
    pipe = tmp_path / "front.csv"
    os.mkfifo(pipe)
    for place in (pipe, tmp_path):
        with pytest.raises(InvalidInputError, match="is not a plain file"):
            write_front(VIEW, place)
    assert pipe.is_fifo()
