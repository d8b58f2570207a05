"""What the operator's image leaves out is needed by none of its modules."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

REQUIREMENTS = Path(__file__).parents[2] / "requirements"
IMPORT_ALL = """
import importlib, json, pkgutil, sys

left_out = set(json.loads(sys.argv[1]))

class LeftOut:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in left_out:
            raise ImportError(f"{name} is not in the image")

sys.meta_path.insert(0, LeftOut())
done = []
for root in ("xnas_core", "xnas_operator"):
    package = importlib.import_module(root)
    for module in pkgutil.walk_packages(package.__path__, f"{root}."):
        if ".testing" not in module.name and not module.name.endswith("__main__"):
            importlib.import_module(module.name)
            done.append(module.name)
print(json.dumps(done))
"""


def test_the_operator_needs_nothing_that_its_image_leaves_out() -> None:
    excludes = (REQUIREMENTS / "operator.excludes").read_text(encoding="utf-8")
    left_out = [line for line in excludes.splitlines() if line and not line.startswith("#")]
    lock = (REQUIREMENTS / "operator.lock").read_text(encoding="utf-8")
    assert left_out
    for name in (*left_out, "torch", "captum"):
        assert not re.search(rf"^{name}==", lock, re.MULTILINE), name
    code = [sys.executable, "-W", "ignore", "-c", IMPORT_ALL, json.dumps([*left_out, "PIL", "torch", "captum"])]
    done = subprocess.run(code, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert {"xnas_core.search.engine", "xnas_operator.pool"} <= set(json.loads(done.stdout))
