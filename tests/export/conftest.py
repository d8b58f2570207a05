from __future__ import annotations

import pytest
import torch

from xnas_evaluator.loading import TrainedNetwork, load_model
from xnas_evaluator.testing_trained import TrainedFolder, trained_folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> TrainedFolder:
    torch.set_num_threads(1)
    return trained_folder(tmp_path_factory.mktemp("export") / "run")


@pytest.fixture
def network(trained: TrainedFolder) -> TrainedNetwork:
    return load_model(trained.root, trained.candidate)
