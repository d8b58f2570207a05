"""Every file in examples/ is a valid search, and says how it is run."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from xnas_core.api import load_search, validate_file

EXAMPLES = Path(__file__).parents[2] / "examples"
FILES = sorted(EXAMPLES.glob("*.yaml"))
ON_CLUSTERS = sorted((EXAMPLES / "cluster").glob("*.yaml"))
CELL = "|nor_conv_3x3~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|"


def test_all_examples_are_there() -> None:
    assert {path.stem for path in FILES} >= {
        "quickstart", "fashion-mnist", "cifar10", "tabular", "mobile", "graph-only",
    }  # fmt: skip
    assert {path.stem for path in ON_CLUSTERS} >= {
        "gpu-pool", "volume-data", "s3-data", "kueue", "tabular-volume", "suspended",
    }  # fmt: skip


@pytest.mark.parametrize("file", [*FILES, *ON_CLUSTERS], ids=lambda path: path.stem)
def test_example_is_valid_and_named_after_its_file(file: Path, tmp_path: Path) -> None:
    copy = Path(shutil.copy(file, tmp_path))
    # The table is not part of the project; whoever runs the example puts it beside the file.
    (tmp_path / "nas-bench-201-cifar10.csv.gz").write_text(f"arch,c10_test_200,c10_mflops\n{CELL},93.1,113.9\n")
    assert validate_file(copy) == []
    assert load_search(copy).metadata.name == file.stem
    text = file.read_text(encoding="utf-8")
    if file in FILES:
        assert f"# xnas run examples/{file.name} --output runs/{file.stem}\n" in text
    else:
        assert re.search(rf"^# kubectl apply (-n team-a )?-f examples/cluster/{file.name}$", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 120


def test_quickstart_is_what_the_readme_promises() -> None:
    spec = load_search(EXAMPLES / "quickstart.yaml").spec
    assert spec.dataset is not None
    assert (spec.dataset.name, spec.limits.max_evaluations) == ("digits", 48)
    assert dict(spec.search_space.parameters) == {"cellsPerStage": 1, "channels": 8}
    assert [objective.metric_name for objective in spec.objectives] == ["accuracy", "introspectability"]
    assert spec.explanations.methods == ["integratedGradients", "saliency", "gradCam"]
