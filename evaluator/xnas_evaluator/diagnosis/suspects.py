"""Suspected wrong labels: training samples that lie far from the mean of their own label.

Carmichael et al. 2023, section 4. The mean is taken over the training samples that were looked at, wrong labels
included: nothing else is known of them.
"""

from __future__ import annotations

import base64

import numpy as np
import numpy.typing as npt

from xnas_core.diagnosis import SUSPECTS, Suspect
from xnas_evaluator.diagnosis.gather import Gathered
from xnas_evaluator.diagnosis.pictures import thumbnail
from xnas_evaluator.training.device_data import DevicePart


def suspects(gathered: Gathered, part: DevicePart, sources: npt.NDArray[np.int64] | None) -> tuple[Suspect, ...]:
    """Return the samples with the least similarity to the mean of their own label, least first.

    Args:
        gathered: of the training split, compared with the means of true classes.
        part: the training split.
        sources: position of each sample of the split in the data set as it came, where that is known.
    """
    order = np.argsort(gathered.similarity, kind="stable")[:SUSPECTS]
    return tuple(
        Suspect(
            position=int(gathered.positions[at]),
            source=None if sources is None else int(sources[int(gathered.positions[at])]),
            label=int(gathered.labels[at]),
            predicted=int(gathered.predictions[at]),
            similarity=float(gathered.similarity[at]),
            thumbnail=base64.b64encode(thumbnail(part.images[int(gathered.positions[at])].cpu().numpy())).decode(),
        )
        for at in order
    )
