"""Class labels for tasks that have none, by clustering their targets."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from xmft.decoded_targets import DecodedTargets
from xmft.errors import DataError

Targets = npt.NDArray[Any] | DecodedTargets

# Raised when the same targets start to give other labels: kept ones are then made anew.
VERSION = 1
_FIT_SAMPLES = 2000  # bounds time and memory: targets can be large fields in a mapped file
_CHUNK = 1000


def pseudo_labels(
    targets: Targets,
    *,
    clusters: int = 10,
    components: int = 16,
    seed: int = 0,
) -> npt.NDArray[np.int64]:
    """Cluster the targets into `clusters` classes, the same for the same seed.

    k-means on the leading principal component scores of the flattened targets, every channel
    divided by its standard deviation first. The published code (`infer_label`) clusters raw target
    values with k = 10 and no seed, where the channel of the largest scale decides.

    Args:
        targets: `[n, ...]`, any numeric dtype; may be memory-mapped, is read in chunks.
        clusters: Number of classes.
        components: Most principal components used; fitted on at most 2000 samples.
        seed: Seed of the sample, the components and the centres.

    Returns:
        Labels `[n]`, every number from 0 to the largest label occurring at least once. There are
        fewer than `clusters` only if distinct targets coincide in all components.

    Raises:
        ValueError: `clusters` or `components` is below 1.
        DataError: there are fewer distinct targets than clusters, or values that are not finite.
    """
    if clusters < 1 or components < 1:
        raise ValueError(f"Clusters and components are at least 1: {clusters}, {components}.")
    if not isinstance(targets, DecodedTargets):
        targets = np.asanyarray(targets)
    distinct = _distinct(targets, clusters)
    if distinct < clusters:
        raise DataError(
            f"The targets hold {distinct} distinct samples, too few for {clusters} pseudo-label "
            "classes. Use more samples, or fewer classes (the method's option 'clusters')."
        )
    if clusters == 1:
        return np.zeros(len(targets), dtype=np.int64)
    # Imported here: scikit-learn takes seconds, and plans need nothing of it.
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning

    # Several threads would add in an order that changes from run to run.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        scores = _scores(targets, components, seed)
        found = KMeans(clusters, n_init=4, random_state=seed).fit_predict(scores)
    _, labels = np.unique(found, return_inverse=True)
    return labels.astype(np.int64)


def _rows(targets: Targets, start: int) -> npt.NDArray[np.float32]:
    chunk = np.asarray(targets[start : start + _CHUNK], dtype=np.float32)
    chunk = chunk.reshape(len(chunk), -1)
    if not np.isfinite(chunk).all():
        raise DataError(
            f"The targets {start} to {start + len(chunk) - 1} hold values that are not finite. "
            "Remove these samples or read the file again."
        )
    return chunk


def _distinct(targets: Targets, enough: int) -> int:
    """Count distinct samples, giving up at `enough`."""
    seen: set[bytes] = set()
    for start in range(0, len(targets), _CHUNK):
        for row in _rows(targets, start) + 0.0:  # turns -0.0 into 0.0
            seen.add(row.tobytes())
            if len(seen) >= enough:
                return enough
    return len(seen)


def _scores(targets: Targets, components: int, seed: int) -> npt.NDArray[np.float32]:
    """Return the principal component scores `[n, c]` of the targets with standardised channels."""
    count = min(len(targets), _FIT_SAMPLES)
    chosen = np.sort(np.random.default_rng(seed).permutation(len(targets))[:count])
    sample = np.asarray(targets[chosen], dtype=np.float32)
    scale = _channel_scale(sample)
    if not np.isfinite(scale).all():
        raise DataError("The targets hold values that are not finite. Remove these samples.")
    sample = sample.reshape(count, -1) / scale
    if (sample == sample[0]).all():
        raise DataError(
            f"{count} targets drawn at random are all identical: there is nothing to cluster. "
            "Check the target of the task."
        )
    from sklearn.decomposition import PCA

    pca = PCA(min(components, *sample.shape), random_state=seed).fit(sample)
    # The scores keep their variances: with unit variance each, directions of noise would weigh as
    # much as those that separate the clusters.
    chunks = [pca.transform(_rows(targets, s) / scale) for s in range(0, len(targets), _CHUNK)]
    return np.asarray(np.concatenate(chunks), dtype=np.float32)


def _channel_scale(sample: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Return the standard deviation of the channel of every flattened entry.

    Fields are `[n, channels, *grid]`; anything flatter is one channel. Entries are not scaled one
    by one, as those that hardly ever differ (the rim of a mask) would count most.
    """
    channels = sample.shape[1] if sample.ndim > 2 else 1
    entries = sample.reshape(len(sample), channels, -1)
    deviations = entries.std(axis=(0, 2), dtype=np.float64)
    # float32 rounding leaves a constant channel with a deviation that is not quite zero.
    size = np.abs(entries).max(axis=(0, 2))
    deviations = np.where(deviations > 1e-6 * size, deviations, np.maximum(size, 1))
    return np.repeat(deviations, entries.shape[2]).astype(np.float32)
