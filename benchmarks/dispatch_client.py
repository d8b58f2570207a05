"""The evaluators of the dispatch benchmark: a process of its own, spoken to by lines on stdin and stdout.

"measure" starts counting, "report" prints a JSON line with the number of evaluations since then and the waits from
free slot to next assignment, "stop" ends. `--bare` does the same over plain gRPC streams without any protocol.

A thousand evaluators have a thousand processors in life and share one here. So they do as little as the protocol allows
(each message is parsed, each result made and acknowledged); otherwise their own work is most of what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import random
import sys
import time
from collections.abc import Callable, Iterable
from typing import Any

import grpc
import orjson

from xnas.v1alpha1 import evaluator_pb2 as pb
from xnas_core import wire
from xnas_core.dispatch import messages as m
from xnas_core.testing.fake_evaluator import OPTIONS

REQUEST_BYTES = 320
"""Size of a bare request: that of a typical Completed."""
LOCAL = (*OPTIONS, ("grpc.use_local_subchannel_pool", 1))
_Streams = grpc.aio.StreamStreamMultiCallable[bytes, bytes]


class BareEvaluator:
    """Sends a message, waits for the answer, takes its time, sends the next."""

    def __init__(self, channel: grpc.aio.Channel, seconds: Callable[[], float]) -> None:
        self.waits: list[float] = []
        self._channel = channel
        self._seconds = seconds

    async def run(self) -> None:
        """Ping and pong until cancelled."""
        loop = asyncio.get_running_loop()
        connect: _Streams = self._channel.stream_stream("/bare/Connect")
        call = connect()
        request = bytes(REQUEST_BYTES)
        while True:
            sent = loop.time()
            await call.write(request)
            await call.read()
            self.waits.append(loop.time() - sent)
            if pause := self._seconds():
                await asyncio.sleep(pause)


class SlimEvaluator:
    """An evaluator of one slot that speaks the protocol on one stream, and ends with an error where that breaks."""

    def __init__(self, channel: grpc.aio.Channel, name: str, seconds: Callable[[], float]) -> None:
        self.waits: list[float] = []
        self._name = name
        self._seconds = seconds
        self._unacknowledged: set[str] = set()
        self._connect: _Streams = channel.stream_stream(wire.CONNECT)

    async def run(self) -> None:
        """Evaluate until cancelled.

        Raises:
            RuntimeError: the server ended the stream.
            KeyError: it acknowledged what was not sent.
        """
        loop = asyncio.get_running_loop()
        call = self._connect()
        await call.write(wire.register(m.Register(evaluator=self._name, slots=1)).SerializeToString())
        freed, beat_at, interval = 0.0, loop.time(), 5.0
        while True:
            data = await call.read()
            if not isinstance(data, bytes):
                raise RuntimeError(f"the server ended the stream of {self._name}: {await call.details()}")
            for message in _parts(pb.ConnectResponse.FromString(data)):
                if message.HasField("ack"):
                    self._unacknowledged.remove(message.ack.task_id)
                elif message.HasField("welcome"):
                    interval = message.welcome.heartbeat_seconds
                elif message.HasField("assign"):
                    if freed:
                        self.waits.append(loop.time() - freed)
                    assignment = orjson.loads(message.assign.assignment_json)
                    if pause := self._seconds():
                        await asyncio.sleep(pause)
                    if loop.time() - beat_at >= interval:
                        beat_at = loop.time()
                        await call.write(wire.heartbeat([assignment["task_id"]]).SerializeToString())
                    freed = loop.time()
                    await call.write(self._completed(assignment))

    def _completed(self, assignment: dict[str, Any]) -> bytes:
        task_id, candidate = assignment["task_id"], assignment["candidate_id"]
        self._unacknowledged.add(task_id)
        digits = int(candidate[1:], 16)
        result = {
            "task_id": task_id,
            "kind": assignment["kind"],
            "candidate_id": candidate,
            "attempt": assignment["attempt"],
            # Values that follow from the candidate alone, spread evenly as the digits of its id are.
            "metrics": {"accuracy": (digits >> 24) / 2**24, "introspectability": (digits & 0xFFFFFF) / 2**24},
            "environment": {"device": "simulated"},
        }
        return wire.completed(task_id, orjson.dumps(result)).SerializeToString()


def _parts(response: pb.ConnectResponse) -> Iterable[pb.ConnectResponse]:
    return response.batch.responses if response.HasField("batch") else (response,)


async def serve(options: argparse.Namespace) -> None:
    """Run the evaluators and obey stdin."""
    rng = random.Random(options.first)

    def seconds() -> float:
        return options.mean * rng.uniform(0.5, 1.5) if options.mean else 0.0

    channels = [grpc.aio.insecure_channel(options.address, options=LOCAL) for _ in range(options.connections)]
    evaluators: list[BareEvaluator | SlimEvaluator] = []
    for number in range(options.first, options.first + options.count):
        channel = channels[number % len(channels)]
        if options.bare:
            evaluators.append(BareEvaluator(channel, seconds))
        else:
            evaluators.append(SlimEvaluator(channel, f"e{number}", seconds))
    gc.freeze()
    gc.set_threshold(100_000, 50, 100)
    tasks = [asyncio.ensure_future(evaluator.run()) for evaluator in evaluators]
    try:
        await _obey(evaluators, tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _obey(evaluators: list[BareEvaluator | SlimEvaluator], tasks: list[asyncio.Task[None]]) -> None:
    loop = asyncio.get_running_loop()
    started = used = 0.0
    while True:
        word = (await asyncio.to_thread(sys.stdin.readline)).strip()
        if word == "measure":
            started, used = loop.time(), time.process_time()
            for evaluator in evaluators:
                evaluator.waits.clear()
        elif word == "report":
            seconds, cpu = loop.time() - started, time.process_time() - used
            for task in tasks:
                if task.done():
                    task.result()
            waits = [wait for evaluator in evaluators for wait in evaluator.waits]
            print(json.dumps({"seconds": seconds, "cpu": cpu, "waits": waits}), flush=True)
        else:
            return


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--address", required=True)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--mean", type=float, default=0.0)
    parser.add_argument("--bare", action="store_true")
    asyncio.run(serve(parser.parse_args()))
