"""A network that a library opens and cannot compute."""

import numpy as np
import pytest

from vireid.deploy.backends import INPUT, OUTPUT, open_onnxruntime
from vireid.errors import CheckpointError


def test_what_cannot_be_computed_is_one_line_about_the_file(tmp_path):
    """By ONNX Runtime; OpenVINO computes something of the same file."""
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    path = tmp_path / "x.onnx"
    floats = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Transpose", [INPUT], ["across"], perm=[1, 2, 3, 0]),
            onnx.helper.make_node("MatMul", ["across", "weights"], [OUTPUT]),
        ],
        "of three images",
        [onnx.helper.make_tensor_value_info(INPUT, floats, ["n", 3, 4, 2])],
        [onnx.helper.make_tensor_value_info(OUTPUT, floats, [3, 4, 2, 5])],
        [onnx.helper.make_tensor("weights", floats, [3, 5], np.ones(15))],
    )
    opset = [onnx.helper.make_opsetid("", 18)]
    onnx.save(onnx.helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    run = open_onnxruntime(path, 1).run
    assert (run(np.ones((3, 3, 4, 2), np.float32)) == 3).all()
    with pytest.raises(CheckpointError, match="x.onnx cannot be computed for 2 images") as error:
        run(np.ones((2, 3, 4, 2), np.float32))
    assert "\n" not in str(error.value)
