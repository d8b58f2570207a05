"""The evaluators of the dispatch benchmark: a process of its own, spoken to by lines on stdin and stdout.

"measure" starts counting, "report" prints a JSON line with the number of evaluations since then and the waits from
free slot to next assignment, "stop" ends. `--bare` does the same over plain gRPC streams without any protocol.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
from collections.abc import Callable

import grpc

from xnas_core.testing.fake_evaluator import OPTIONS, FakeEvaluator, Outcome, seeded_metrics

REQUEST_BYTES = 420
"""Size of a bare request: that of a typical Completed."""
LOCAL = (*OPTIONS, ("grpc.use_local_subchannel_pool", 1))


class BareEvaluator:
    """Sends a message, waits for the answer, takes its time, sends the next."""

    def __init__(self, channel: grpc.aio.Channel, seconds: Callable[[], float]) -> None:
        self.waits: list[float] = []
        self._channel = channel
        self._seconds = seconds

    async def run(self) -> None:
        """Ping and pong until cancelled."""
        loop = asyncio.get_running_loop()
        connect: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream("/bare/Connect")
        call = connect()
        request = bytes(REQUEST_BYTES)
        while True:
            sent = loop.time()
            await call.write(request)
            await call.read()
            self.waits.append(loop.time() - sent)
            if pause := self._seconds():
                await asyncio.sleep(pause)


async def serve(options: argparse.Namespace) -> None:
    """Run the evaluators and obey stdin."""
    rng = random.Random(options.first)

    def seconds() -> float:
        return options.mean * rng.uniform(0.5, 1.5) if options.mean else 0.0

    channels = [grpc.aio.insecure_channel(options.address, options=LOCAL) for _ in range(options.connections)]
    evaluators: list[BareEvaluator | FakeEvaluator] = []
    for number in range(options.first, options.first + options.count):
        channel = channels[number % len(channels)]
        if options.bare:
            evaluators.append(BareEvaluator(channel, seconds))
        else:
            evaluators.append(
                FakeEvaluator(
                    channel,
                    f"e{number}",
                    outcome=lambda _: Outcome(seconds=seconds()),
                    metrics=seeded_metrics,
                    remember=False,
                )
            )
    tasks = [asyncio.ensure_future(evaluator.run()) for evaluator in evaluators]
    try:
        await _obey(evaluators)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _obey(evaluators: list[BareEvaluator | FakeEvaluator]) -> None:
    loop = asyncio.get_running_loop()
    started = loop.time()
    while True:
        word = (await asyncio.to_thread(sys.stdin.readline)).strip()
        if word == "measure":
            started = loop.time()
            for evaluator in evaluators:
                evaluator.waits.clear()
        elif word == "report":
            waits = [wait for evaluator in evaluators for wait in evaluator.waits]
            print(json.dumps({"seconds": loop.time() - started, "waits": waits}), flush=True)
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
