"""Features on disk: ``features.npz``, arrays of other code, and SYSU-MM01's official folders."""

from vireid.evaluation.feature_files.contents import FeatureFile
from vireid.evaluation.feature_files.read_write import (
    holds_features,
    read_feature_file,
    read_features,
    read_source,
    read_test_ids,
    write_features,
)

__all__ = [
    "FeatureFile",
    "holds_features",
    "read_feature_file",
    "read_features",
    "read_source",
    "read_test_ids",
    "write_features",
]
