"""The calls as programs, played step by step: what no real service does on command."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from google.protobuf.message import Message

from xnas.v1alpha1 import search_pb2 as pb
from xnas_core.api.spec import ArchitectureSearchSpec
from xnas_core.api.status import StateWord
from xnas_core.client import CandidateQuery, RetryPolicy, calls, streams
from xnas_core.client.connection import Connection
from xnas_core.client.files import MemorySink
from xnas_core.client.program import Blocking, Emit, Open, Pause, Program, Read, Step, Unary
from xnas_core.errors import IntegrityError, XnasError
from xnas_core.service import values as v
from xnas_core.service import wire_searches
from xnas_core.service.errors import (
    ChangedMeanwhileError,
    DeadlineError,
    ServiceError,
    UnauthenticatedError,
    UnavailableError,
)
from xnas_core.spaces.base import DataShape
from xnas_core.testing.growing_search import spec_document

CONNECTION = Connection("127.0.0.1:1", timeout=5.0, retry=RetryPolicy(attempts=3, reconnects=2))
SPEC = ArchitectureSearchSpec.model_validate(spec_document(), strict=False)
ACCEPTED = v.Accepted(SPEC, DataShape(1, 8, 8, 10), {})
BEGUN = pb.GetSearchResponse(
    search=wire_searches.search(v.SearchInfo("a", "b", "uid", v.Standing(StateWord.RUNNING), accepted=ACCEPTED))
)


class FakeStream:
    """A stream of prepared messages and errors."""

    def __init__(self, items: list[Any]) -> None:
        self.items = iter(items)
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True

    def read(self) -> Any:
        item = next(self.items, None)
        if isinstance(item, XnasError):
            raise item
        return item


class Player:
    """Carries out a program's steps with a function of the test's for calls."""

    def __init__(self, answer: Callable[[Unary[Any] | Open[Any]], Any]) -> None:
        self.answer = answer
        self.steps: list[Step] = []
        self.emitted: list[Any] = []

    def play(self, program: Program[Any]) -> Any:
        outcome: Any = None
        error: XnasError | None = None
        while True:
            try:
                step = program.send(outcome) if error is None else program.throw(error)
            except StopIteration as end:
                return end.value
            self.steps.append(step)
            outcome = error = None
            try:
                outcome = self._carry_out(step)
            except XnasError as failure:
                error = failure

    def _carry_out(self, step: Step) -> Any:
        match step:
            case Emit():
                self.emitted.append(step.value)
            case Read():
                assert isinstance(step.stream, FakeStream)
                return step.stream.read()
            case Blocking():
                return step.action()
            case Unary() | Open():
                answer = self.answer(step)
                if isinstance(answer, XnasError):
                    raise answer
                return answer
        return None

    def calls(self) -> list[Message]:
        return [step.request for step in self.steps if isinstance(step, Unary | Open)]


def in_turn(*answers: Any) -> Callable[[Any], Any]:
    rest: Iterator[Any] = iter(answers)
    return lambda _: next(rest)


def test_each_retry_has_what_is_left_of_the_deadline() -> None:
    player = Player(in_turn(UnavailableError("x"), UnavailableError("x"), BEGUN))
    assert player.play(calls.get(CONNECTION, "a", "b")).uid == "uid"
    left = [step.seconds for step in player.steps if isinstance(step, Unary)]
    assert all(0 < seconds <= 5.0 for seconds in left)
    assert left == sorted(left, reverse=True)
    pauses = [step.seconds for step in player.steps if isinstance(step, Pause)]
    assert 0.1 <= pauses[0] <= 0.2
    assert 0.2 <= pauses[1] <= 0.4


@pytest.mark.parametrize("error", [DeadlineError("x"), ServiceError("x"), UnauthenticatedError("x")])
def test_only_unavailable_is_retried(error: XnasError) -> None:
    player = Player(in_turn(error))
    with pytest.raises(type(error)):
        player.play(calls.get(CONNECTION, "a", "b"))
    assert len(player.steps) == 1


def test_a_pause_that_the_deadline_does_not_leave_is_not_taken() -> None:
    short = Connection("127.0.0.1:1", timeout=0.05)
    player = Player(in_turn(UnavailableError("x")))
    with pytest.raises(UnavailableError):
        player.play(calls.get(short, "a", "b"))
    assert len(player.steps) == 1


def test_a_list_without_end_is_noticed() -> None:
    endless = pb.ListCandidatesResponse(next_page_token="t")
    player = Player(lambda _: endless)
    with pytest.raises(ServiceError, match="the same page token twice"):
        player.play(calls.candidates(CONNECTION, "a", "b", CandidateQuery()))


def test_a_front_that_changes_between_its_pages_is_read_anew() -> None:
    first = pb.GetFrontResponse(members=[_candidate("c1")], next_page_token="t", size=2)
    last = pb.GetFrontResponse(members=[_candidate("c2")], size=2, hypervolume=0.5)
    player = Player(in_turn(BEGUN, first, ChangedMeanwhileError("x"), first, last))
    front = player.play(calls.front(CONNECTION, "a", "b", history=False))
    assert [member.id for member in front.members] == ["c1", "c2"]


def test_a_front_that_never_rests_is_given_up() -> None:
    first = pb.GetFrontResponse(members=[_candidate("c1")], next_page_token="t", size=2)
    player = Player(in_turn(BEGUN, *[first, ChangedMeanwhileError("the front has changed")] * 5))
    with pytest.raises(ChangedMeanwhileError):
        player.play(calls.front(CONNECTION, "a", "b", history=False))


def _candidate(identity: str) -> pb.Candidate:
    return pb.Candidate(id=identity, state=pb.CANDIDATE_STATE_SUCCEEDED)


# --- downloads -------------------------------------------------------------------------------------------------------


def _parts(content: bytes, *, size: int | None = None, sha256: str | None = None) -> list[pb.GetArtifactResponse]:
    header = pb.ArtifactHeader(
        size=len(content) if size is None else size, sha256=sha256 or hashlib.sha256(content).hexdigest()
    )
    chunks = [pb.GetArtifactResponse(data=content[i : i + 4]) for i in range(0, len(content), 4)]
    return [pb.GetArtifactResponse(header=header), *chunks]


def _download(*streams_: FakeStream) -> tuple[Any, Player]:
    player = Player(in_turn(*streams_))
    return player.play(streams.download(CONNECTION, "a", "b", "report.html", MemorySink())), player


def test_a_download_is_what_was_announced() -> None:
    stream = FakeStream(_parts(b"0123456789"))
    assert _download(stream)[0] == b"0123456789"
    assert stream.cancelled


@pytest.mark.parametrize(
    "parts",
    [
        _parts(b"0123456789", sha256="0" * 64),
        _parts(b"0123456789", size=11),
        _parts(b"0123456789", size=9),
        _parts(b"0123456789")[:-1],
        _parts(b"0123456789")[1:],
        [],
    ],
    ids=["digest", "longer", "shorter", "cut", "no header", "nothing"],
)
def test_what_came_torn_or_altered_is_refused(parts: list[Any]) -> None:
    with pytest.raises(IntegrityError):
        _download(FakeStream(parts))


def test_a_download_that_broke_off_starts_over_with_nothing() -> None:
    whole = _parts(b"0123456789")
    broken = FakeStream([*whole[:3], UnavailableError("x")])
    content, player = _download(broken, FakeStream(whole))
    assert content == b"0123456789"
    assert broken.cancelled
    assert len(player.calls()) == 2


def test_downloads_are_not_repeated_for_ever() -> None:
    player = Player(lambda _: FakeStream([UnavailableError("x")]))
    with pytest.raises(UnavailableError):
        player.play(streams.download(CONNECTION, "a", "b", "report.html", MemorySink()))
    assert len(player.calls()) == 3


# --- watches ---------------------------------------------------------------------------------------------------------


def _event(token: str, *, finished: bool = False) -> pb.WatchSearchResponse:
    return pb.WatchSearchResponse(resume_token=token, progress=pb.SearchProgress(proposed=1), search_finished=finished)


def _watch(player: Player, **changes: Any) -> None:
    settings = {"resume_token": "", "from_beginning": True, "until_finished": True}
    player.play(streams.watch(CONNECTION, "a", "b", **{**settings, **changes}))


def test_a_watch_goes_on_behind_the_last_event() -> None:
    first = FakeStream([_event("1"), _event("2"), UnavailableError("x")])
    player = Player(in_turn(first, FakeStream([_event("3")]), FakeStream([_event("4", finished=True)])))
    _watch(player)
    assert [event.token for event in player.emitted] == ["1", "2", "3", "4"]
    asked = [(r.resume_token, r.from_beginning) for r in player.calls() if isinstance(r, pb.WatchSearchRequest)]
    assert asked == [("", True), ("2", False), ("3", False)]
    assert first.cancelled


def test_a_service_that_only_ever_repeats_itself_is_given_up() -> None:
    player = Player(lambda _: FakeStream([_event("1"), UnavailableError("x")]))
    with pytest.raises(UnavailableError):
        _watch(player)
    # The first event was news; after that, two reconnects more are allowed.
    assert len(player.calls()) == 3


def test_a_stream_that_ends_without_a_word_counts_as_a_failure() -> None:
    player = Player(lambda _: FakeStream([]))
    with pytest.raises(UnavailableError, match="ended the watch"):
        _watch(player)
    assert len(player.calls()) == 3


def test_an_event_of_a_newer_service_is_left_aside() -> None:
    unknown = pb.WatchSearchResponse(resume_token="1")
    player = Player(in_turn(FakeStream([unknown, _event("2", finished=True)])))
    _watch(player)
    assert [event.token for event in player.emitted] == ["2"]


def test_a_wrong_token_at_the_start_is_no_reason_to_try_again() -> None:
    player = Player(lambda _: FakeStream([UnauthenticatedError("x")]))
    with pytest.raises(UnauthenticatedError):
        _watch(player)
    assert len(player.calls()) == 1


def test_who_leaves_a_watch_closes_its_stream() -> None:
    stream = FakeStream([_event("1"), _event("2")])
    program = streams.watch(CONNECTION, "a", "b", resume_token="", from_beginning=False, until_finished=True)
    assert isinstance(next(program), Open)
    assert isinstance(program.send(stream), Read)
    assert isinstance(program.send(_event("1")), Emit)
    program.close()
    assert stream.cancelled
