"""How a command ends: one sentence for an error, an exit code, no traceback for what a user did."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import sys
from collections.abc import Sequence
from typing import Any

import typer
from typer.core import TyperGroup

from xnas_core.cli import exit_codes
from xnas_core.cli.session import Session

_NARROW = 52
_OUTPUT_FAILED = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF)


class XnasGroup(TyperGroup):
    """The group of all commands. In place of typer's own messages and codes it gives ours (`exit_codes`)."""

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        """Run, and return the exit code, or leave the process with it (`standalone_mode`)."""
        session = Session()
        columns = shutil.get_terminal_size().columns
        if columns < _NARROW:
            # Left alone, help is never narrower than this.
            extra.setdefault("terminal_width", columns - 2)
        code = self._guarded(
            session,
            args=args,
            prog_name=prog_name or "xnas",
            complete_var=complete_var,
            windows_expand_args=windows_expand_args,
            **extra,
        )
        if standalone_mode:
            sys.exit(code)
        return code

    def _guarded(self, session: Session, **arguments: Any) -> int:
        from xnas_core.errors import InvalidInputError, XnasError

        try:
            result = super().main(standalone_mode=False, obj=session, **arguments)
            sys.stdout.flush()
        except typer.TyperException as error:
            return _end(session, f"{error.format_message()} {_hint(error)}".strip(), "Usage", error.exit_code)
        except typer.Abort:
            return _end(session, "", "Interrupted", exit_codes.INTERRUPTED)
        except InvalidInputError as error:
            return _end(session, str(error), error.reason, exit_codes.BAD_INPUT)
        except XnasError as error:
            return _end(session, str(error), error.reason, exit_codes.FAILED)
        except BrokenPipeError:
            # The reader of our output went away (`| head`).
            _give_output_up()
            return exit_codes.FAILED
        except OSError as error:
            if error.filename is None:
                if error.errno not in _OUTPUT_FAILED:
                    raise
                _give_output_up()
                session.answered = True
            return _end(session, _refusal(error), "System", exit_codes.FAILED)
        code = result if isinstance(result, int) else exit_codes.OK
        # Typer turns Ctrl-C into this code before we see it.
        return _end(session, "", "Interrupted", code) if code == exit_codes.INTERRUPTED else code


def _end(session: Session, message: str, reason: str, code: int) -> int:
    if session.json and not session.answered:
        session.answer({"error": message or "interrupted", "reason": reason})
    if message:
        # Where standard error cannot be written either, the exit code has to say it.
        with contextlib.suppress(OSError):
            print(f"error: {message}", file=sys.stderr, flush=True)
    return code


def _give_output_up() -> None:
    """Drop what is still buffered for standard output: it must not raise again when the process ends."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _refusal(error: OSError) -> str:
    """Return what the operating system refused; without a file's name it was the output of the command."""
    said = error.strerror or str(error)
    if error.filename is None:
        return f"the output cannot be written: {said}; free some space, or send it elsewhere"
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return f"cannot use {os.fsdecode(error.filename)}: {said}{'; free some space' if full else ''}"


def _hint(error: typer.TyperException) -> str:
    """Return where help is to be found for a usage error."""
    context = getattr(error, "ctx", None)
    return f"(see '{context.command_path} --help')" if context is not None else ""
