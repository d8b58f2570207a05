"""The experiments at a tiny budget: they run, go on where they were stopped, and repeat."""

from __future__ import annotations

import csv
import shutil
from dataclasses import replace
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from benchmarks.experiments.__main__ import EXPERIMENTS, main, plan
from benchmarks.experiments.attack import attacked_one, futile_weights
from benchmarks.experiments.debugging import groups
from benchmarks.experiments.gaming import CONSTRAINED, OPEN, PRUNED, futile, live
from benchmarks.experiments.mislabels import corrupt
from benchmarks.experiments.parallel import search_all, study_all
from benchmarks.experiments.publishing import Table
from benchmarks.experiments.quality import TWO
from benchmarks.experiments.searching import hypervolumes, search
from benchmarks.experiments.setting import PLAIN, REGULARISED, SETTINGS, UNPRUNED, digest, space
from benchmarks.experiments.statistics import difference, mean_with_interval, rank_correlation
from benchmarks.experiments.workshop import SittingOverError, Workshop
from xnas_core.tasks import TaskResult
from xnas_evaluator.context import NonFiniteError

TINY = replace(SETTINGS["tiny"], population=2, evaluations=2, studied=2)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("experiments")


@pytest.fixture(scope="module")
def sittings(cache: Path) -> tuple[Path, int]:
    """All experiments, in sittings that end after a few trainings; the results and how many sittings there were."""
    output = cache / "results"
    for number in range(1, 30):
        # The clock goes on by a second at each look, and it is looked at before each training.
        workshop = Workshop(TINY, cache / "kept", minutes=9 / 60, clock=map(float, count()).__next__)
        try:
            for run in EXPERIMENTS.values():
                run(workshop, output)
        except SittingOverError:
            continue
        return output, number
    raise AssertionError("the experiments do not end")


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_several_sittings_give_what_one_gives(sittings: tuple[Path, int], cache: Path, tmp_path: Path) -> None:
    output, number = sittings
    assert number > 1
    workshop = Workshop(TINY, cache / "kept")
    for run in EXPERIMENTS.values():
        run(workshop, tmp_path)
    assert workshop.made == 0
    assert _contents(tmp_path) == _contents(output)
    names = {"objectives", "regulariser", "debugging", "debugging-networks", "gaming", "attack"}
    assert {f"{name}-tiny{end}" for name in names for end in (".csv", ".md")} < set(_contents(output))
    assert "mislabels-tiny.svg" in _contents(output)
    assert b"nan" not in b"".join(content for name, content in _contents(output).items() if name.endswith(".md"))


def test_what_is_torn_is_made_again_and_is_the_same(sittings: tuple[Path, int], cache: Path, tmp_path: Path) -> None:
    shutil.copytree(cache / "kept", tmp_path / "kept")
    workshop = Workshop(TINY, tmp_path / "kept")
    before = search(workshop, TWO, 1).candidates[0]
    folder = workshop.folder(PLAIN) / "candidates" / before.id / "evaluate-1"
    assert not (folder / "state.safetensors").exists()
    (folder / "result.json").unlink()
    again = Workshop(TINY, tmp_path / "kept")
    after = search(again, TWO, 1).candidates[0]
    assert again.made == 1
    timed = {"train_seconds", "latency_ms"}
    assert {k: v for k, v in after.metrics.items() if k not in timed} == {
        k: v for k, v in before.metrics.items() if k not in timed
    }
    assert {a.sha256 for a in after.result.artifacts if a.name == "checkpoint.safetensors"} <= {
        a.sha256 for a in before.result.artifacts
    }


def test_processes_at_once_train_what_one_trains(cache: Path, sittings: tuple[Path, int], tmp_path: Path) -> None:
    """Two processes meet at the first networks, which both arms begin with; each is trained by one of them."""
    arms = (TWO, replace(TWO, title="again", objectives=("accuracy",)))
    workshop = Workshop(TINY, tmp_path / "kept")
    search_all(workshop, arms, 2)
    alone = Workshop(TINY, cache / "kept")
    for arm in arms:
        for seed in TINY.seeds:
            mine, theirs = search(workshop, arm, seed), search(alone, arm, seed)
            assert np.array_equal(mine.values("accuracy"), theirs.values("accuracy"))
            assert [c.id for c in mine.front] == [c.id for c in theirs.front]
    assert workshop.made == len(list(workshop.folder(PLAIN).glob("candidates/*/evaluate-1/result.json")))
    study_all(workshop, 2)
    assert len(list((workshop.folder(PLAIN) / "studies").iterdir())) == len({c.id for g in groups(workshop) for c in g})
    with pytest.raises(SittingOverError):
        search_all(Workshop(TINY, tmp_path / "kept", minutes=0), [replace(TWO, variant=REGULARISED)], 2)


def test_an_attack_changes_claims_alone(cache: Path, sittings: tuple[Path, int]) -> None:
    workshop = Workshop(TINY, cache / "kept")
    # Nothing goes on from the second node, which has a convolution: no score depends on it.
    attackable = workshop.trained(UNPRUNED, (0, 0, 3, 3, 4, 3))
    found = attacked_one(workshop, attackable)
    assert found is not None
    assert found.moved == 0
    assert found.after["accuracy"] == found.before["accuracy"]
    assert found.after["introspectability_live"] == pytest.approx(found.before["introspectability_live"], rel=1e-6)
    assert found.after["introspectability"] > found.before["introspectability"]
    assert found.after["futile_share"] > found.before["futile_share"]
    network = workshop.checkpoint(UNPRUNED, attackable).network.eval()
    futile = {id(weight) for weight in futile_weights(network, workshop.data(UNPRUNED))}
    assert 0 < len(futile) < len(list(network.parameters()))
    # All of this one's weights matter.
    assert attacked_one(workshop, workshop.trained(UNPRUNED, (0, 3, 4, 3, 3, 4))) is None


def test_arms_and_seeds_share_what_is_trained(cache: Path, sittings: tuple[Path, int]) -> None:
    workshop = Workshop(TINY, cache / "kept", minutes=0)
    # (conv 3x3, then two edges that lead nowhere) and the same without them are one network once pruned.
    pruned = space(TINY, PLAIN)
    same = [(0, 3, 4, 3, 3, 4), (0, 3, 4, 3, 0, 3)]
    assert len({pruned.identity(genes) for genes in [(3, 0, 3, 3, 3, 4), (3, 0, 0, 3, 3, 4)]}) == 1
    assert len({space(TINY, UNPRUNED).identity(genes) for genes in same}) == 2
    assert len({digest(TINY, variant) for variant in (PLAIN, REGULARISED, UNPRUNED)}) == 3
    assert digest(TINY, PLAIN) == digest(replace(TINY, seeds=(9,), evaluations=7), PLAIN)
    found = search(workshop, TWO, 2)
    assert workshop.made == 0
    assert len(found.candidates) == TINY.evaluations
    with pytest.raises(SittingOverError):
        search(workshop, TWO, 77)


def test_hypervolume_is_the_sum_of_rectangles(cache: Path, sittings: tuple[Path, int]) -> None:
    found = search(Workshop(TINY, cache / "kept", minutes=0), TWO, 1)
    volumes = hypervolumes(found, ("accuracy", "introspectability"), (0.0, 0.0))
    for number in range(1, len(volumes) + 1):
        points = [(c.metrics["accuracy"], c.metrics.get("introspectability", -1.0)) for c in found.candidates[:number]]
        area, height = 0.0, 0.0
        for x, y in sorted(points, reverse=True):
            area, height = area + x * max(0.0, y - height), max(height, y)
        assert volumes[number - 1] == pytest.approx(area)


def test_the_constraint_keeps_what_is_owed_to_futile_activations_off_the_front(
    cache: Path, sittings: tuple[Path, int]
) -> None:
    workshop = Workshop(TINY, cache / "kept")
    # Nothing reads node 2, and two convolutions lead there.
    candidate = workshop.trained(UNPRUNED, (0, 0, 1, 2, 3, 3))
    assert candidate.metrics["introspectability_live"] != candidate.metrics["introspectability"]
    assert live(OPEN, candidate) == candidate.metrics["introspectability_live"]
    assert futile(OPEN, candidate) == candidate.metrics["futile_share"]
    assert (live(PRUNED, candidate), futile(PRUNED, candidate)) == (candidate.metrics["introspectability"], 0.0)
    shares = [futile(OPEN, one) for one in search(workshop, OPEN, 1).candidates]
    front = search(workshop, replace(CONSTRAINED, most_futile=0.0), 1).front
    assert len(front) <= sum(share == 0 for share in shares)
    assert all(futile(OPEN, member) == 0 for member in front)


@given(st.integers(2, 10), st.integers(5, 60), st.integers(0, 99))
def test_a_share_of_the_labels_becomes_another_class(classes: int, samples: int, seed: int) -> None:
    labels = np.arange(samples, dtype=np.int64) % classes
    given_, wrong = corrupt(labels, classes, 0.2, seed)
    assert wrong.sum() == round(0.2 * samples)
    assert np.array_equal(given_ != labels, wrong)
    assert given_.min() >= 0
    assert given_.max() < classes


def test_statistics_are_scipys() -> None:
    values, others = np.array([0.3, 0.5, 0.1, 0.4]), np.array([0.2, 0.1, 0.3, 0.35])
    low, high = stats.t.interval(0.95, 3, values.mean(), stats.sem(values))
    assert mean_with_interval(values) == f"{values.mean():.4f} [{low:.4f}, {high:.4f}]"
    assert mean_with_interval(np.array([np.nan, 0.25])) == "0.2500"
    assert mean_with_interval(np.array([np.nan])) == "–"
    apart = values - others
    low, high = stats.t.interval(0.95, 3, apart.mean(), stats.sem(apart))
    assert difference(values, others).startswith(f"{apart.mean():+.4f} [{low:+.4f}, {high:+.4f}], p = ")
    rho = stats.spearmanr(values, others).statistic
    assert rank_correlation([*values, None], [*others, 1.0]).startswith(f"{rho:+.2f} [")
    assert rank_correlation([1, 2], [1, 2]) == "– (n = 2)"


def test_a_network_whose_training_comes_to_nan_is_an_evaluation_without_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverges(_: object) -> TaskResult:
        raise NonFiniteError("the training loss became nan in epoch 1")

    monkeypatch.setattr("benchmarks.experiments.workshop.evaluate", diverges)
    workshop = Workshop(TINY, tmp_path)
    found = search(workshop, TWO, 1)
    assert workshop.made == len(found.candidates) == TINY.evaluations
    assert found.front == ()
    assert np.isnan(found.values("accuracy")).all()
    assert hypervolumes(found, ("accuracy", "introspectability"), (0.0, 0.0)).tolist() == [0.0] * TINY.evaluations
    again = Workshop(TINY, tmp_path)
    assert search(again, TWO, 1).candidates[0].result.environment["failed"].startswith("the training loss")
    assert again.made == 0


def test_tables_are_read_back(tmp_path: Path) -> None:
    table = Table("name", "Title", ("what", "value"), [["|a~0|", 0.123456], ["none", None]], ["A note."])
    table.write(tmp_path)
    with (tmp_path / "name.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [["what", "value"], ["|a~0|", "0.123456"], ["none", ""]]
    lines = (tmp_path / "name.md").read_text().splitlines()
    assert "| \\|a~0\\| | 0.1235 |" in lines
    assert "| none | – |" in lines
    assert lines[-1] == "- A note."


def test_the_command_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--plan", "--setting", "digits"]) == 0
    said = capsys.readouterr().out
    assert said.strip() == plan(SETTINGS["digits"], list(EXPERIMENTS))
    assert "in all at most" in said
    arguments = ["objectives", "--setting", "tiny", "--cache", str(tmp_path / "c"), "--output", str(tmp_path / "o")]
    assert main([*arguments, "--minutes", "0"]) == 3
    assert "Run the same command to go on" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["nothing"])
