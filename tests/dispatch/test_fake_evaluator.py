"""The fake evaluator behaves as evaluators must."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import pytest

from xnas_core.testing.evaluator_contract import EvaluatorContract, Start
from xnas_core.testing.fake_evaluator import OPTIONS, FakeEvaluator, programmed


class TestFakeEvaluator(EvaluatorContract):
    @pytest.fixture
    def start(self, folder: Path) -> Start:
        @asynccontextmanager
        async def start(address: str, slots: int) -> AsyncIterator[None]:
            async with grpc.aio.insecure_channel(address, options=OPTIONS) as channel:
                evaluator = FakeEvaluator(channel, "fake-1", slots, outcome=programmed, store=folder / "out")
                task = asyncio.ensure_future(evaluator.run())
                yield
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

        return start
