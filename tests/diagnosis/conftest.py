from __future__ import annotations

import pytest
import torch

from xnas_evaluator.testing_trained import TrainedFolder, trained_folder


@pytest.fixture(scope="session")
def diagnosed_run(tmp_path_factory: pytest.TempPathFactory) -> TrainedFolder:
    """A network that was trained for one epoch, so that it makes mistakes."""
    torch.set_num_threads(1)
    return trained_folder(tmp_path_factory.mktemp("diagnosis") / "run", epochs=1)
