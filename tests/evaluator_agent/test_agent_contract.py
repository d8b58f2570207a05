"""The real agent, with real worker processes, behaves as evaluators must."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from xnas_core.testing.evaluator_contract import EvaluatorContract, Start
from xnas_evaluator.agent.agent import Agent
from xnas_evaluator.agent.settings import AgentSettings


class TestAgent(EvaluatorContract):
    @pytest.fixture
    def start(self, folder: Path) -> Start:
        @asynccontextmanager
        async def start(address: str, slots: int) -> AsyncIterator[None]:
            settings = AgentSettings(
                address,
                slots=slots,
                device="cpu",
                cache=folder / "cache",
                tasks="xnas_evaluator.testing_tasks:run",
                poll_seconds=0.05,
            )
            task = asyncio.ensure_future(Agent(settings).serve())
            yield
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

        return start
