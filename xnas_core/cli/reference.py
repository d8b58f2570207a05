"""The command line's reference page, made from the commands' own help."""

from __future__ import annotations

from typer.core import TyperGroup
from typer.main import get_command

from xnas_core.cli.app import app

WIDTH = 100

_HEAD = """# Command line

<!-- Made from the commands' help by tools/generate.py; do not edit. -->

Results go to standard output; progress, logs and errors to standard error. With `--json` the answer is one JSON
document on standard output, errors included: `{"error": sentence, "reason": word}`.

| exit code | meaning |
|---|---|
| 0 | done; for `run`: the search is complete, or suspended as its file says |
| 1 | the command, or the search, failed; or whoever read the output went away |
| 2 | wrong input or usage |
| 130 | interrupted; for `run`: the same command goes on |

| variable | meaning |
|---|---|
| `XNAS_DATA` | folder with data sets |
| `XNAS_CACHE` | folder for decoded data; otherwise `xnas` in the user's cache folder |
| `XNAS_TOKEN` | token for `xnas evaluator`, in place of `--token-file`; token for the operator, in place of `--token` |
| `KUBECONFIG` | the cluster, in place of `--kubeconfig` |
| `XNAS_SERVICE_ACCOUNT` | in place of `--service-account` |
| `XNAS_OPERATOR_NAMESPACE` | in place of `--operator-namespace` |
| `XNAS_ADDRESS`, `XNAS_CA_FILE` | in place of `--address`, `--ca-file` |
| `XNAS_S3_ENDPOINT`, `XNAS_S3_REGION`, `XNAS_S3_CA_FILE` | the store of a SEARCH that is `s3://BUCKET/PREFIX` |
| `XNAS_S3_ACCESS_KEY`, `XNAS_S3_SECRET_KEY` | its keys |
| `NO_COLOR` | no colours |

SEARCH is the output folder of `xnas run`, or `NAMESPACE/NAME` on a cluster, or `s3://BUCKET/PREFIX` in a store; see
[cluster-commands.md](cluster-commands.md).

A progress display is drawn only where standard error is a terminal; elsewhere, and with `-v`, a run logs one line at
each turning point.
"""


def reference() -> str:
    """Return docs/cli.md."""
    root = get_command(app)
    if not isinstance(root, TyperGroup):
        raise TypeError("the command line is a group of commands")
    with root.make_context(
        "xnas", [], terminal_width=WIDTH, max_content_width=WIDTH, resilient_parsing=True
    ) as context:
        parts = [_HEAD, _section("xnas", root.get_help(context))]
        for name in root.list_commands(context):
            command = root.get_command(context, name)
            if command is None:
                continue
            with command.make_context(name, [], parent=context, resilient_parsing=True) as inner:
                parts.append(_section(f"xnas {name}", command.get_help(inner)))
    return "\n".join(parts)


def _section(title: str, text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return f"## {title}\n\n```text\n{lines}\n```\n"
