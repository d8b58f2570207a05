"""Regenerate every generated file: protobuf code now; each generator is a function in GENERATORS.

Run by `make generate`; `make verify` runs it and fails if anything changed.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import generate_cli
import generate_crd

ROOT = Path(__file__).resolve().parent.parent


def protobuf() -> None:
    """Write proto/gen/xnas from proto/xnas: messages, gRPC stubs and type stubs."""
    gen = ROOT / "proto" / "gen"
    shutil.rmtree(gen / "xnas", ignore_errors=True)
    gen.mkdir(parents=True, exist_ok=True)
    sources = sorted(str(path.relative_to(ROOT / "proto")) for path in (ROOT / "proto" / "xnas").rglob("*.proto"))
    bin_folder = Path(sys.executable).parent
    subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc", "-I", "proto",
            f"--plugin=protoc-gen-mypy={bin_folder / 'protoc-gen-mypy'}",
            f"--plugin=protoc-gen-mypy_grpc={bin_folder / 'protoc-gen-mypy_grpc'}",
            f"--python_out={gen}", f"--grpc_python_out={gen}", f"--mypy_out={gen}", f"--mypy_grpc_out={gen}",
            *sources,
        ],
        cwd=ROOT,
        check=True,
    )  # fmt: skip
    for folder in {path.parent for path in (gen / "xnas").rglob("*_pb2.py")} | {gen / "xnas"}:
        (folder / "__init__.py").touch()


GENERATORS = (protobuf, generate_crd.crd, generate_crd.reference, generate_cli.cli)

if __name__ == "__main__":
    for generator in GENERATORS:
        generator()
