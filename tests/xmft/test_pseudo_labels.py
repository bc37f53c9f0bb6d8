import numpy as np
import pytest
from sklearn.metrics import adjusted_rand_score

from xmft.errors import DataError
from xmft.methods.pseudo_labels import pseudo_labels


def blobs(n: int, clusters: int, shape: tuple[int, ...]) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    centers = 10 * rng.standard_normal((clusters, *shape))
    truth = rng.integers(0, clusters, n)
    fields = centers[truth] + 0.5 * rng.standard_normal((n, *shape))
    return fields.astype(np.float32), truth


@pytest.mark.parametrize(("n", "clusters"), [(200, 4), (2500, 10)])
def test_recovers_well_separated_blobs(n: int, clusters: int) -> None:
    fields, truth = blobs(n, clusters, (2, 8, 8))
    labels = pseudo_labels(fields, clusters=clusters)
    assert adjusted_rand_score(truth, labels) == 1
    assert labels.dtype == np.int64 and labels.shape == (n,)
    assert np.array_equal(np.unique(labels), np.arange(clusters))


def test_the_seed_decides() -> None:
    fields = np.random.default_rng(1).standard_normal((2100, 3, 5)).astype(np.float32)
    first = pseudo_labels(fields, seed=3)
    assert np.array_equal(first, pseudo_labels(fields, seed=3))
    assert not np.array_equal(first, pseudo_labels(fields, seed=4))


def test_units_and_offset_do_not_matter() -> None:
    fields, _ = blobs(150, 5, (6,))
    assert adjusted_rand_score(
        pseudo_labels(fields, clusters=5), pseudo_labels(64 * fields + 256, clusters=5)
    ) == pytest.approx(1)


def test_a_channel_of_large_scale_does_not_hide_the_others() -> None:
    fields, truth = blobs(200, 4, (1, 8, 8))
    noise = 1e5 * np.random.default_rng(5).standard_normal(fields.shape).astype(np.float32)
    constant = np.full_like(fields, 101325.0)
    labels = pseudo_labels(np.concatenate([fields, noise, constant], axis=1), clusters=4)
    assert adjusted_rand_score(truth, labels) == 1


def test_nearly_identical_targets_are_reported() -> None:
    targets = np.zeros((60_000, 2), dtype=np.float32)
    targets[59_990:59_992] = [[1, 0], [0, 1]]
    with pytest.raises(DataError, match="all identical"):
        pseudo_labels(targets, clusters=3)


def test_reads_mapped_files_and_multi_hot_labels(tmp_path: pytest.TempPathFactory) -> None:
    rng = np.random.default_rng(2)
    kinds = np.eye(12, dtype=np.int64)[:4].repeat(3, axis=0)
    targets = kinds[rng.integers(0, 12, 300)]
    np.save(tmp_path / "y.npy", targets)
    labels = pseudo_labels(np.load(tmp_path / "y.npy", mmap_mode="r"), clusters=4)
    assert adjusted_rand_score(targets.argmax(1), labels) == 1


def test_several_labels_cluster_by_which_occur_together() -> None:
    rng = np.random.default_rng(6)
    themes = np.zeros((3, 30))
    for number in range(3):
        themes[number, 10 * number : 10 * number + 8] = 0.9
    truth = rng.integers(0, 3, 400)
    targets = (rng.random((400, 30)) < themes[truth]).astype(np.float32)
    assert adjusted_rand_score(truth, pseudo_labels(targets, clusters=3)) == 1


def test_as_many_clusters_as_samples() -> None:
    targets = np.random.default_rng(3).standard_normal((6, 4)).astype(np.float32)
    assert sorted(pseudo_labels(targets, clusters=6)) == list(range(6))


def test_one_cluster() -> None:
    assert np.array_equal(pseudo_labels(np.ones((3, 2)), clusters=1), np.zeros(3))


def test_clusters_that_coincide_in_the_components_are_dropped() -> None:
    targets = np.zeros((40, 2), dtype=np.float32)
    targets[:, 0] = np.arange(40) % 2 * 1000
    targets[0, 1] = 1e-3
    labels = pseudo_labels(targets, clusters=3, components=1)
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))


def test_too_few_distinct_targets_are_reported() -> None:
    with pytest.raises(DataError, match=r"2 distinct samples.* option 'clusters'"):
        pseudo_labels(np.arange(20).reshape(20, 1) % 2, clusters=3)


def test_values_that_are_not_finite_are_reported() -> None:
    targets = np.random.default_rng(4).standard_normal((50, 3))
    targets[40, 1] = np.nan
    with pytest.raises(DataError, match="not finite"):
        pseudo_labels(targets)


def test_wrong_arguments_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 1"):
        pseudo_labels(np.ones((3, 2)), clusters=0)
