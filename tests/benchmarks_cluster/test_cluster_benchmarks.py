"""The benchmarks of the cluster, without one: what they read, compute and print."""

from __future__ import annotations

import json
import math
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import __main__ as benchmarks
from benchmarks.cluster import __main__ as cluster
from benchmarks.cluster import api_requests, observing, operator_pod, overhead, pod_per_trial, stages
from benchmarks.cluster.journalled import begun, gaps, work_seconds
from benchmarks.cluster.observing import Seen
from benchmarks.cluster.place import graph_only, quickstart
from xnas_core.api.validate import check_document
from xnas_core.search.events import AttemptStarted, Event, Started, Succeeded
from xnas_core.tasks import TaskKind
from xnas_evaluator.testing import assignment

SAMPLES = """\
# HELP xnas_api_requests_total Requests
# TYPE xnas_api_requests_total counter
xnas_api_requests_total{verb="update",resource="architecturesearches/status",code="200"} %d
xnas_api_requests_total{verb="update",resource="architecturesearches/status",code="409"} %d
xnas_api_requests_total{verb="update",resource="leases",code="200"} %d
xnas_api_requests_total{verb="get",resource="jobs",code="200"} %d
xnas_api_requests_total{verb="get",resource="version",code="200"} %d
# HELP xnas_journal_seconds Time
# TYPE xnas_journal_seconds histogram
xnas_journal_seconds_bucket{le="+Inf"} %d
xnas_journal_seconds_sum %f
xnas_journal_seconds_count %d
"""


def started(time: float) -> Started:
    return Started(
        time=time, search_id="s", spec={}, spec_digest="0" * 64, data_shape=(1, 8, 8, 10), versions={}
    )  # fmt: skip


def assigned(time: float, candidate: str, kind: TaskKind = TaskKind.EVALUATE) -> AttemptStarted:
    return AttemptStarted(time=time, task=kind, candidate=candidate, attempt=1, evaluator="e", task_id=f"t{candidate}")


def succeeded(time: float, candidate: str, kind: TaskKind = TaskKind.EVALUATE, **timings: float) -> Succeeded:
    return Succeeded(time=time, task=kind, candidate=candidate, attempt=1, metrics={}, timings=timings)


# --- What is read ---------------------------------------------------------------------------------------------------


@given(st.floats(0, 4e9).map(lambda seconds: round(seconds, 6)))
def test_times_of_logs_are_read_to_the_microsecond(seconds: float) -> None:
    from datetime import UTC, datetime

    stamp = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")
    for written in (f"{stamp}Z", f"{stamp}789Z", f"{stamp}+00:00"):
        assert observing.moment(written) == pytest.approx(seconds, abs=2e-6)
    assert observing.moment("1970-01-01T00:00:07Z") == 7
    assert observing.moment("1970-01-01T01:00:07.5+01:00") == 7.5


def test_the_first_welcome_is_found_in_the_log() -> None:
    log = (
        "1970-01-01T00:00:05.1Z event='not connected; trying again' level=info\n"
        "1970-01-01T00:00:06.25Z event=connected search=x level=info\n"
        "1970-01-01T00:00:09.5Z event=connected search=x level=info\n"
    )
    assert observing.connected(log) == 6.25
    with pytest.raises(ValueError, match="does not say"):
        observing.connected(log.splitlines()[0])


def test_the_first_fitting_state_counts() -> None:
    pods: list[dict[str, Any]] = [
        {"spec": {}},
        {"spec": {"nodeName": "one"}},
        {"spec": {"nodeName": "one"}, "late": True},
    ]
    seen = [Seen(9.0, "ERROR", {"code": 410}), *(Seen(float(n), "MODIFIED", pod) for n, pod in enumerate(pods))]
    found = observing.first(seen, observing.scheduled)
    assert found is not None
    assert found.time == 1.0
    assert observing.first(seen, lambda pod: "never" in pod) is None


def test_the_end_of_a_job() -> None:
    def job(kind: str, status: str) -> dict[str, Any]:
        return {"status": {"conditions": [{"type": kind, "status": status}]}}

    assert observing.complete(job("Complete", "True"))
    assert not observing.complete(job("Complete", "False"))
    assert not observing.complete(job("SuccessCriteriaMet", "True"))
    assert observing.failed(job("Failed", "True"))
    assert not observing.failed({})


def test_memory_is_that_of_the_kernel() -> None:
    found = operator_pod.parse_memory("Name:\tpython\nVmHWM:\t  204800 kB\nVmRSS:\t  102400 kB\n")
    assert (found.peak, found.now) == (200.0, 100.0)


def test_requests_are_counted_between_two_readings_without_lease_and_health() -> None:
    before = operator_pod.parse_samples(SAMPLES % (10, 0, 100, 5, 0, 4, 0.4, 4))
    after = operator_pod.parse_samples(SAMPLES % (14, 1, 900, 7, 9, 14, 0.9, 14))
    counted = operator_pod.requests(before, after)
    assert counted.status == 5
    assert counted.by_kind == {"update architecturesearches/status": 5, "get jobs": 2}
    assert counted.all == 7
    assert operator_pod.mean_ms(before, after, "xnas_journal_seconds") == pytest.approx(50.0)
    assert math.isnan(operator_pod.mean_ms(after, after, "xnas_journal_seconds"))


# --- What is computed -----------------------------------------------------------------------------------------------


def test_single_measures_are_within_the_metrics_and_storing_is_apart() -> None:
    timings = {
        "train_seconds": 2.0, "metrics_seconds": 1.0, "measure_x_seconds": 0.5,
        "state_seconds": 0.25, "checkpoint_seconds": 0.125,
    }  # fmt: skip
    assert work_seconds(timings) == (3.0, 0.375)
    assert work_seconds({}) == (0, 0)


def test_work_began_before_the_first_result() -> None:
    events: list[Event] = [started(10.0), assigned(12.0, "a"), assigned(12.5, "b")]
    with pytest.raises(ValueError, match="no evaluation"):
        begun(events)
    events += [succeeded(20.0, "a", train_seconds=5.0), succeeded(21.0, "b", train_seconds=7.0)]
    found = begun(events)
    assert (found.accepted, found.assigned, found.working) == (10.0, 12.0, 14.0)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1), st.floats(0, 1)), min_size=2, max_size=12))
def test_overhead_is_what_is_left_of_the_gaps(parts: list[tuple[float, float, float]]) -> None:
    now, events = 0.0, [started(0.0)]  # type: float, list[Event]
    for number, (computing, storing, rest) in enumerate(parts):
        events.append(assigned(now, str(number)))
        now += computing + storing + rest
        events.append(succeeded(now, str(number), train_seconds=computing, state_seconds=storing))
    events += [assigned(now, "0", TaskKind.FINALISE), succeeded(now + 100, "0", TaskKind.FINALISE)]
    found = gaps(events, 0)
    assert len(found) == len(parts) - 1
    assert [gap.overhead for gap in found] == pytest.approx([rest for _, _, rest in parts[1:]], abs=1e-9)
    assert [gap.storing for gap in found] == pytest.approx([storing for _, storing, _ in parts[1:]])
    assert gaps(events, 2) == found[1:]


def test_two_at_once_have_no_gap_between_them() -> None:
    with pytest.raises(ValueError, match="one slot"):
        gaps([started(0.0), assigned(1.0, "a"), assigned(1.0, "b")], 0)


def test_parts_add_up_to_the_whole() -> None:
    runs = [stages.Moments(*range(0, 9)), stages.Moments(*range(0, 18, 2)), stages.Moments(*range(0, 27, 3))]
    rows = stages.rows(runs)
    assert [row[0] for row in rows] == [*stages.PARTS, stages.TOTAL]
    assert rows[-1] == [stages.TOTAL, "16.00", "24.00"]
    assert rows[0] == ["apply to Job", "2.00", "3.00"]
    assert sum(runs[1].seconds) == runs[1].total


def test_overhead_beside_a_pod_a_trial() -> None:
    warm = gaps([
        started(0.0), assigned(0.0, "a"), succeeded(1.0, "a"),
        assigned(1.0, "b"), succeeded(2.0, "b", train_seconds=0.95, state_seconds=0.01),
        assigned(2.0, "c"), succeeded(3.0, "c", train_seconds=0.99),
    ], 0)  # fmt: skip
    trials = [pod_per_trial.Trial(wall, 1.0, {}) for wall in (4.0, 5.0, 9.0)]
    case = overhead.Case("training", "training", warm, trials, 3.0)
    assert case.mean_ms == pytest.approx(25.0)
    assert case.computing_ms == pytest.approx(970.0)
    assert case.storing_ms == pytest.approx(5.0)
    assert case.pod_ms == pytest.approx(4000.0)
    assert case.ratio == pytest.approx(160)
    notes = overhead._notes(case)
    assert "not met" in notes[0]
    assert notes[1].endswith("160 times (met)")


def test_requests_as_a_row() -> None:
    counted = operator_pod.Requests(20, {"update architecturesearches/status": 20, "get jobs": 4, "create pods": 1})
    assert api_requests.row("x", 50, 61.4, counted) == ["x", "50", "61", "20", "25", "0.400", "0.500"]
    assert api_requests.most(counted.by_kind).startswith("update architecturesearches/status 20, get jobs 4")


# --- What is asked of the cluster -----------------------------------------------------------------------------------


def test_the_searches_are_valid() -> None:
    documents = [
        quickstart("start", "team"),
        {**quickstart("large", "team"), "spec": dict(graph_only(16_000))},
        {**quickstart("train", "team"), "spec": overhead.trainings(24)},
    ]
    for document in documents:
        _, problems = check_document(document, Path("/data"), here=False)
        assert not problems


def test_a_trial_gets_what_an_evaluator_has_but_no_way_to_the_operator() -> None:
    mounts = [{"name": name, "mountPath": f"/{name}"} for name in ("xnas-token", "xnas-ca", "tmp", "tables")]
    pod = {
        "spec": {
            "securityContext": {"runAsUser": 65532},
            "volumes": [{"name": mount["name"]} for mount in mounts],
            "containers": [
                {
                    "image": "evaluator", "imagePullPolicy": "Never", "resources": {}, "env": [], "securityContext": {},
                    "volumeMounts": mounts,
                }
            ],
        }
    }  # fmt: skip
    template = pod_per_trial.job("trial-0", "team", pod)["spec"]["template"]["spec"]
    assert [volume["name"] for volume in template["volumes"]] == ["tmp", "tables", "trial"]
    container = template["containers"][0]
    assert container["image"] == "evaluator"
    assert [mount["name"] for mount in container["volumeMounts"]] == ["tmp", "tables", "trial"]


def test_a_trial_evaluates_its_candidate(tmp_path: Path) -> None:
    task = assignment(encoding="two")
    (tmp_path / "table.csv").write_text("arch,accuracy,mflops\none,0.5,1\ntwo,0.75,2\n")
    spec = {
        "searchSpace": {"name": "nas-bench-201"},
        "benchmark": {"table": str(tmp_path / "table.csv"), "key": "arch"},
        "objectives": [{"name": "accuracy", "direction": "maximize"}],
    }
    trial = {"spec": spec, "assignment": json.loads(task.model_dump_json())}
    (tmp_path / "trial.json").write_text(json.dumps(trial))
    shutil.copy(Path(pod_per_trial.__file__).with_name("trial.py"), tmp_path)
    done = subprocess.run(
        [sys.executable, str(tmp_path / "trial.py")], check=True, capture_output=True, text=True, timeout=60
    )  # fmt: skip
    result = json.loads(done.stdout)
    assert result["metrics"] == {"accuracy": 0.75, "mflops": 2.0}
    assert result["seconds"] >= 0


# --- The command line -----------------------------------------------------------------------------------------------


def test_parts_of_the_cluster_are_known_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert {f"cluster.{part}" for part in cluster.PARTS} == set(benchmarks.CLUSTER[1:])
    assert benchmarks.command("cluster.start")[-2:] == ["benchmarks.cluster", "start"]
    assert benchmarks.command("engine")[-1] == "benchmarks.engine"
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert benchmarks.everything() == benchmarks.NAMES
    assert benchmarks.main(["nothing"]) == 2


def test_without_a_cluster_they_say_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("KUBECONFIG", raising=False)
    assert cluster.main(["start"]) == 2
    assert "KUBECONFIG" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        cluster.main(["nothing"])
