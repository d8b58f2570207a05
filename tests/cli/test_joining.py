"""The token of a listening run: in a file for its owner only, the same for the next run, gone with the search."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest

from xnas_core.cli.joining import TOKEN_FILE, JoiningObserver, earlier_token, read_token
from xnas_core.errors import InvalidInputError
from xnas_core.local.contract import Level, RunProgress, RunStarted

STARTED = RunStarted("x", "id", False, 0, 5, (), "unix:/x", "127.0.0.1:7411", "secret-token-of-a-run")


class Heard:
    def __init__(self) -> None:
        self.messages: list[str] = []

    def on_started(self, started: RunStarted) -> None:
        self.messages.append(f"started {started.name}")

    def on_progress(self, progress: RunProgress) -> None:
        raise AssertionError(progress)

    def on_message(self, level: Level, text: str) -> None:
        assert level == "info"
        self.messages.append(text)


@pytest.mark.parametrize("over", [True, False])
def test_the_file_is_private_and_goes_with_the_search(over: bool, tmp_path: Path) -> None:
    heard, file = Heard(), tmp_path / TOKEN_FILE
    with JoiningObserver(heard, tmp_path, keep_token=False) as joining:
        joining.on_started(STARTED)
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert read_token(file) == STARTED.token
        if over:
            joining.over()
    assert file.exists() is not over
    assert earlier_token(tmp_path) == (None if over else STARTED.token)
    assert heard.messages == [
        "started x",
        f"evaluators join with: xnas evaluator --connect 127.0.0.1:7411 --token-file {file}",
    ]
    assert "secret" not in "".join(heard.messages)


def test_a_token_that_others_may_have_written_or_read_is_not_used_again(tmp_path: Path) -> None:
    file = tmp_path / TOKEN_FILE
    assert earlier_token(tmp_path) is None
    file.write_text("secret-token-of-a-run\n")
    file.chmod(0o640)
    assert earlier_token(tmp_path) is None
    file.chmod(0o600)
    assert earlier_token(tmp_path) == "secret-token-of-a-run"
    file.write_text("short")
    assert earlier_token(tmp_path) is None
    file.rename(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_text("secret-token-of-a-run")
    file.symlink_to(tmp_path / "elsewhere")
    assert earlier_token(tmp_path) is None


def test_an_old_file_or_a_link_in_its_place_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text("untouched")
    (tmp_path / TOKEN_FILE).symlink_to(tmp_path / "elsewhere")
    with JoiningObserver(Heard(), tmp_path, keep_token=False) as joining:
        joining.on_started(STARTED)
        assert not (tmp_path / TOKEN_FILE).is_symlink()
    assert (tmp_path / "elsewhere").read_text() == "untouched"


def test_no_file_without_listening_or_with_a_token_of_the_users(tmp_path: Path) -> None:
    heard = Heard()
    with JoiningObserver(heard, tmp_path, keep_token=True) as joining:
        joining.on_started(STARTED)
    with JoiningObserver(heard, tmp_path, keep_token=False) as joining:
        joining.on_started(replace(STARTED, listening=None, token=None))
    assert list(tmp_path.iterdir()) == []
    assert "--token-file FILE" in heard.messages[1]


@pytest.mark.parametrize(
    "content", [b"", b"short", b"with a space in it!\nand a line", "tökens-are-ascii".encode(), b"\xff" * 20]
)
def test_tokens_that_are_none(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "t").write_bytes(content)
    with pytest.raises(InvalidInputError):
        read_token(tmp_path / "t")
    with pytest.raises(InvalidInputError, match="cannot be read"):
        read_token(tmp_path / "nowhere")
