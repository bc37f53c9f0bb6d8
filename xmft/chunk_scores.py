"""Scores of labels as public code of NAS-Bench-360's successors computes them: means over chunks.

That code walks the test set in a shuffled order, scores every 1000 predictions or so by themselves
and averages the scores of these chunks, the short last one like the others. F1 scores and areas
under curves are no means over samples, so the result is another number than the score of the
whole split. It is computed here to stand beside published ones; nothing is ranked by it.

The public order changes from run to run. Here it is one permutation that follows from the number of
samples alone: in the order of a file the windows of one record would share a chunk.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from xmft.errors import DataError
from xmft.field_errors import nrmse


def mean_of_batch_means(
    prediction: Tensor, target: Tensor, *, size: int
) -> Float[Tensor, " batches"]:
    """Mean relative L2 error of each batch, in the order of the samples; the last may be smaller.

    Args:
        prediction: `[n, ...]`, of all samples.
        target: Likewise.
        size: Samples of a batch.
    """
    return torch.stack([part.double().mean() for part in nrmse(prediction, target).split(size)])


def chunks(count: int, size: int) -> Iterator[Tensor]:
    """Yield the numbers 0 to `count` - 1 in a fixed shuffled order, `size` at a time, int64.

    `RandomState` is the one generator of numpy whose stream is promised never to change.
    """
    order = np.random.RandomState(0).permutation(count).astype(np.int64)
    for start in range(0, count, size):
        yield torch.from_numpy(order[start : start + size])


def chunk_f1(logits: Tensor, labels: Tensor, *, size: int) -> Float[Tensor, " chunks"]:
    """Mean F1 of each chunk over those classes that occur in its labels or its predictions.

    A class that is never right scores 0.

    Args:
        logits: `[n, classes]`, of all samples.
        labels: `[n]`.
        size: Samples of a chunk.
    """
    from sklearn.metrics import f1_score

    truth, predicted = labels.numpy(), logits.argmax(dim=1).numpy()
    scores = [
        f1_score(truth[part], predicted[part], average="macro", zero_division=0.0)
        for part in (chunk.numpy() for chunk in chunks(len(truth), size))
    ]
    return torch.tensor(scores, dtype=torch.float64)


def chunk_auroc(logits: Tensor, targets: Tensor, *, size: int) -> Float[Tensor, " chunks"]:
    """Mean area under the ROC curve of each chunk over the labels that have both values in it.

    The curve is that of the probabilities in float32, in which large logits tie. The public code
    has no number for a chunk without any such label; here it is left out.

    Args:
        logits: `[n, labels]`, of all samples.
        targets: `[n, labels]` of 0 and 1.
        size: Samples of a chunk.

    Raises:
        DataError: no chunk has such a label.
    """
    from scipy.stats import rankdata

    if not torch.isfinite(logits).all():
        return torch.full((1,), torch.nan)
    probabilities, truth = logits.float().sigmoid().numpy(), targets.numpy() > 0
    scores = []
    for chunk in (chunk.numpy() for chunk in chunks(len(truth), size)):
        known = truth[chunk].any(axis=0) & ~truth[chunk].all(axis=0)
        if known.any():
            part = truth[chunk][:, known]
            ranks = rankdata(probabilities[chunk][:, known], axis=0)
            there = part.sum(axis=0)
            # Pairs of a sample that has the label and one that has not, in the right order; ties
            # count half. That is the area under the curve, for all labels at once.
            right = (ranks * part).sum(axis=0) - there * (there + 1) / 2
            scores.append(np.mean(right / (there * (len(part) - there))))
    if not scores:
        raise DataError(
            f"None of {truth.shape[1]} labels is there in some and missing in others of any "
            f"{size} of the {len(truth)} samples, so that none can be scored. Use more samples."
        )
    return torch.tensor(scores, dtype=torch.float64)
