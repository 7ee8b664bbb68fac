"""Labels of an offline k-means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.cluster import KMeans

from espnet2_birq.labels import CentroidQuantizer
from espnet2_birq.labels.arrays import save_arrays


def test_labels_equal_the_library_s_prediction(tmp_path: Path) -> None:
    vectors = np.random.default_rng(0).normal(size=(500, 7))
    kmeans = KMeans(20, n_init=1, random_state=0).fit(vectors)
    save_arrays(tmp_path / "km.npz", centroids=kmeans.cluster_centers_)
    labels = CentroidQuantizer(7, str(tmp_path / "km.npz"))(torch.from_numpy(vectors))
    assert labels.shape == (500, 1)
    assert labels[:, 0].tolist() == kmeans.predict(vectors).tolist()


def test_l2_compares_directions(tmp_path: Path) -> None:
    save_arrays(tmp_path / "km.npz", centroids=np.array([[10.0, 0.0], [0.0, 0.1]]))
    features = torch.tensor([[0.2, 0.1], [3.0, 4.0]])
    assert CentroidQuantizer(2, str(tmp_path / "km.npz"), distance="l2")(features)[:, 0].tolist() == [0, 1]


def test_centroids_of_other_features_are_refused(tmp_path: Path) -> None:
    save_arrays(tmp_path / "km.npz", centroids=np.zeros((5, 7)))
    with pytest.raises(ValueError, match=r"of shape \(5, 7\), the anchor's features are 9 wide; run birq_kmeans"):
        CentroidQuantizer(9, str(tmp_path / "km.npz"))
    with pytest.raises(ValueError, match=r"num_codes is 8, but .*km\.npz holds 5 centroids"):
        CentroidQuantizer(7, str(tmp_path / "km.npz"), num_codes=8)
