from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq

from xnas_core.report import write_candidates, write_front, write_report
from xnas_core.testing.sample_search import sample_search


def test_the_three_files_are_written_and_the_report_is_deterministic(tmp_path: Path) -> None:
    sample = sample_search(60)
    write_candidates(sample.view, tmp_path / "candidates.parquet")
    write_front(sample.view, tmp_path / "front.csv")
    for name in ("a.html", "b.html"):
        write_report(sample.view, sample.read, tmp_path / name)
    assert pq.read_table(tmp_path / "candidates.parquet").num_rows == 60
    assert len((tmp_path / "front.csv").read_text().splitlines()) == 1 + len(sample.view.front)
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.html", "b.html", "candidates.parquet", "front.csv"]
