"""What a search found, for people: candidates.parquet, front.csv and report.html."""

from __future__ import annotations

from xnas_core.report.html import render, write_report
from xnas_core.report.publish import publish
from xnas_core.report.tables import candidates_table, front_csv, write_candidates, write_front

__all__ = ["candidates_table", "front_csv", "publish", "render", "write_candidates", "write_front", "write_report"]
