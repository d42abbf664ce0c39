import numpy as np
import pytest

from vireid.evaluation.distance import distance_rows


def distances(metric: str, queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    return distance_rows(metric, queries, gallery)(np.arange(len(queries)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances_have_their_hand_values(dtype: type):
    queries = np.array([[3.0, 4.0], [0.0, 0.0]], dtype=dtype)
    gallery = np.array([[6.0, 8.0], [-4.0, 3.0], [-3.0, -4.0]], dtype=dtype)
    np.testing.assert_allclose(
        distances("euclidean", queries, gallery), [[5.0, 50**0.5, 10.0], [10.0, 5.0, 5.0]]
    )
    np.testing.assert_allclose(
        distances("cosine", queries, gallery), [[-1.0, 0.0, 1.0], [0.0, 0.0, 0.0]], atol=1e-15
    )


def test_float32_features_with_a_large_common_offset_keep_their_order():
    """Squares of 1000 leave float32 no digits for differences of 0.01."""
    offset = np.float32(1000.0)
    gallery = offset + np.float32([[0.02], [0.05], [0.5], [1.0]])
    found = distances("euclidean", np.full((1, 1), offset), gallery)
    np.testing.assert_allclose(found[0], gallery[:, 0].astype(float) - 1000.0, rtol=1e-6)
