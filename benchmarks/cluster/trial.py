"""Evaluate the candidate of trial.json beside this file: what a pod does that is made for one trial.

Runs in the evaluator's image, which has nothing of this folder. Prints the seconds that the evaluation took, storing
and all: what a pod costs on top of that is what is measured.
"""

import json
import tempfile
import time
from pathlib import Path

from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.tasks import Assignment
from xnas_evaluator import tasks
from xnas_evaluator.testing import FolderContext

trial = json.loads((Path(__file__).parent / "trial.json").read_text())
spec = ArchitectureSearchSpec.model_validate_json(json.dumps(trial["spec"]))
assignment = Assignment.model_validate_json(json.dumps(trial["assignment"]))
# Before the clock starts, as on a warm evaluator: importing torch is a cost of the pod.
tasks.warm_up(spec)
started = time.perf_counter()
result = tasks.run(FolderContext(assignment, spec, Path(tempfile.mkdtemp()), threads=max(1, spec.training.threads)))
print(json.dumps({"seconds": time.perf_counter() - started, "metrics": result.metrics}))
