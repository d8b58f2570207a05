"""`xnas --help` is quick because it imports nothing that a command needs."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from xnas_core.cli import main
from xnas_core.cli.reference import reference
from xnas_core.testing.command_line import xnas, xnas_on_terminal

HEAVY = (
    "torch", "captum", "pyarrow", "plotly", "pymoo", "grpc", "jinja2", "structlog", "numpy", "pydantic", "rich",
    "kubernetes", "urllib3", "minio",
)  # fmt: skip
COMMANDS = (
    "init", "validate", "plan", "run", "submit", "list", "watch", "front", "candidate", "lineage", "artifacts",
    "report", "compare", "explain", "refine", "export", "get", "suspend", "resume", "scale", "retry", "logs", "delete",
    "evaluator", "version",
)  # fmt: skip


def _imported(*arguments: str) -> set[str]:
    code = f"""
import sys
from xnas_core.cli import main
code = main({list(arguments)!r})
print('|'.join(name for name in {HEAVY!r} if name in sys.modules))
sys.exit(code)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert "Usage: xnas" in done.stdout
    return {name for name in done.stdout.splitlines()[-1].split("|") if name}


def test_help_imports_nothing_heavy() -> None:
    # typer itself imports pydantic.
    assert _imported("--help") <= {"pydantic"}


def test_help_of_a_command_imports_nothing_heavy() -> None:
    assert _imported("run", "--help") <= {"pydantic"}


@pytest.mark.parametrize("command", ["list", "watch", "front"])
def test_help_of_commands_for_a_cluster_imports_no_kubernetes(command: str) -> None:
    assert _imported(command, "--help") <= {"pydantic"}


def test_the_options_for_a_cluster_are_listed_apart() -> None:
    told = xnas("front", "--help").out
    own, _, cluster = told.partition("Cluster options:")
    assert "--json" in own
    assert "--kubeconfig" not in own
    for option in ("--namespace", "--kubeconfig", "--context", "--address", "--ca-file", "--service-account"):
        assert option in cluster
    assert "XNAS_TOKEN" in cluster
    assert "--address" not in xnas("list", "--help").out


def test_kubectl_xnas_is_the_same() -> None:
    code = "import sys; from xnas_core.cli import kubectl; sys.exit(kubectl(['front', '--help']))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[0].startswith("Usage: kubectl xnas front")
    told = xnas("front", "--help", columns=80).out
    assert done.stdout.partition("\n")[2].split() == told.partition("\n")[2].split()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example_and_the_exit_codes(command: str) -> None:
    told = xnas(command, "--help")
    assert told.code == 0
    assert "Example" in told.out
    assert f"xnas {command}" in told.out
    assert "Exit codes: 0 done, 1 failed, 2 wrong input or usage, 130 interrupted." in told.out


def test_help_lists_all_commands() -> None:
    listed = xnas("--help").out.partition("Commands:\n")[2].splitlines()
    assert [line.split()[0] for line in listed[: len(COMMANDS)]] == list(COMMANDS)


@pytest.mark.parametrize("command", ["", "run", "front"])
def test_help_fits_forty_columns(command: str) -> None:
    told = xnas_on_terminal(*([command] if command else []), "--help", columns=40)
    # The column of descriptions is at least ten wide, whatever the names of options leave.
    prose = told.text.partition("xample")[0].splitlines()
    assert prose[0].startswith("Usage: xnas")
    assert all(len(line) <= 44 for line in prose), max(prose, key=len)
    assert "\x1b" not in told.out


def test_the_reference_page_is_what_the_commands_say() -> None:
    page = Path(__file__).parents[2] / "docs" / "cli.md"
    assert page.read_text(encoding="utf-8") == reference(), "run `make generate`"


def test_nothing_at_all_is_a_call_for_help() -> None:
    told = xnas()
    assert (told.code, told.err) == (0, "")
    assert told.out == xnas("--help").out


def test_version_names_what_results_depend_on(monkeypatch: pytest.MonkeyPatch) -> None:
    told = xnas("version")
    assert told.code == 0
    assert {"xnas", "python", "torch", "pymoo", "numpy"} <= {line.split()[0] for line in told.out.splitlines()}
    found = metadata.version

    def without_torch(name: str) -> str:
        if name == "torch":
            raise metadata.PackageNotFoundError(name)
        return found(name)

    monkeypatch.setattr(metadata, "version", without_torch)
    assert json.loads(xnas("version", "--json").out)["versions"]["torch"] is None
    assert "torch     not installed" in xnas("version").out


def test_main_returns_the_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == 0
    assert main(["front", "nowhere"]) == 2
    assert capsys.readouterr().err.startswith("error: ")
