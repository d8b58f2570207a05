"""From a written file to an exported network, with real training: what a newcomer types."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from xnas_core.testing.command_line import xnas, xnas_process


@pytest.mark.slow
def test_from_init_to_export(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert xnas("init", "first.yaml", "--evaluations", "5", "--yes").code == 0
    text = Path("first.yaml").read_text()
    Path("first.yaml").write_text(text.replace("epochs: 6", "epochs: 1\n    threads: 1"))
    assert xnas("validate", "first.yaml").out == "first.yaml: valid\n"
    ran = xnas_process("run", "first.yaml", "--output", "runs/first", "--json")
    assert ran.code == 0, ran.err
    best = json.loads(ran.out)["front"][0]
    assert 0 < best["objectives"]["accuracy"] <= 1
    assert "test_accuracy" in best["metrics"]
    card = json.loads(xnas("candidate", "runs/first", best["id"][:8], "--json").out)
    assert any(artifact["key"].endswith("gradCam.png") for artifact in card["artifacts"])
    told = xnas("export", "runs/first", best["id"], "--format", "onnx")
    assert told.code == 0, told.err
    assert Path(f"runs/first/exports/{best['id']}.onnx").stat().st_size > 1000
    assert "checked on" in told.out
