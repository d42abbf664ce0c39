"""Exported networks compute what the trained one does, for either modality and any batch."""

import importlib.util
from collections.abc import Sequence

import pytest
import torch
from torch import nn

from vireid.config.schema import default_config
from vireid.deploy import backends
from vireid.deploy.backends import RUNTIMES
from vireid.deploy.model_files import OneStream, is_shared, write_onnx
from vireid.errors import UsageError
from vireid.models.build import build_model
from vireid.models.inference_model import InferenceModel, build_inference_model

SIZE = [96, 48]
# A backbone of few stages, which is exported in half of the time
SHORT = {"MODEL.BACKBONE": "sdc_cnn_x0_25_s16", "MODEL.SDM.ENABLED": False}
HAS_EXPORTER = importlib.util.find_spec("onnxscript") is not None


def deployed(exit_name: str = "deep", **options: object) -> InferenceModel:
    torch.manual_seed(0)
    cfg = default_config()
    cfg.INPUT.SIZE, cfg.MODEL.BACKBONE = SIZE, "osnet_x0_25"
    cfg.merge_from_list([word for pair in options.items() for word in pair])
    network = build_model(cfg, 7, load_weights=False)[0]
    for module in network.modules():  # no statistics are the identity, none are another's
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    return build_inference_model(network, exit_name=exit_name).eval()


def images(count: int = 3, size: Sequence[int] = SIZE) -> torch.Tensor:
    return torch.randn(count, 3, *size, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("statistics", ["joint", "dual", "separate"])
@pytest.mark.parametrize("shared_depth", [0, 3, 5])
@pytest.mark.parametrize("infrared", [False, True])
def test_one_stream_equals_the_network_on_its_modality(statistics, shared_depth, infrared):
    options = {"MODEL.NORM_STATISTICS": statistics, "MODEL.SHARED_DEPTH": shared_depth}
    network = deployed(**options)
    infrared_only = [*network.backbone.infrared.parameters()]  # two streams that differ
    infrared_only += [p for name, p in network.named_parameters() if ".infrared.weight" in name]
    for parameter in infrared_only:
        parameter.data.mul_(1.5)
    with torch.no_grad():
        expected = network(images(), torch.full((3,), infrared))
        other = network(images(), torch.full((3,), not infrared))
        torch.testing.assert_close(OneStream(network, infrared=infrared)(images()), expected)
    assert torch.allclose(expected, other) == (shared_depth == 5 and statistics == "joint")


def test_the_network_itself_stays_as_it_was():
    network = deployed(**{"MODEL.NORM_STATISTICS": "dual"})
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    OneStream(network, infrared=True)
    after = network.state_dict()
    assert list(after) == list(before)
    assert all(torch.equal(tensor, before[name]) for name, tensor in after.items())


def test_missing_packages_are_named_with_what_installs_them(tmp_path, monkeypatch):
    monkeypatch.setattr("vireid.deploy.backends.find_spec", lambda name: None)
    monkeypatch.setattr(backends, "openvino_core", backends.openvino_core.__wrapped__)  # no cache
    with pytest.raises(UsageError, match=r"onnx, onnxscript .*pip install 'vireid\[export\]'"):
        write_onnx(nn.Identity(), tmp_path / "x.onnx", size=SIZE)
    for name, load in RUNTIMES.items():
        with pytest.raises(UsageError, match=rf"{name} is not installed.*vireid\[export\]"):
            load(tmp_path / "x.onnx", 1)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_EXPORTER, reason="needs the extra 'export': onnx, onnxscript")
@pytest.mark.parametrize(
    ("exit_name", "options"),
    [
        ("deep", {"MODEL.MGIM.GRANULARITIES": [1, 2, 6]}),  # the single part has no others
        ("deep", {"MODEL.MGIM.RELATION": "attention", "MODEL.NORM_STATISTICS": "dual", **SHORT}),
        ("shallow2", {"MODEL.BACKBONE": "osnet_ain_x0_25"}),
    ],
)
def test_files_compute_torchs_features_for_any_number_of_images(exit_name, options, tmp_path):
    network = deployed(exit_name, **options)
    path = tmp_path / "network.onnx"
    write_onnx(OneStream(network, infrared=True), path, size=SIZE)
    found = [name for name in RUNTIMES if importlib.util.find_spec(name)]
    assert found, "the extra 'export' brings both"
    for name in found:
        run = RUNTIMES[name](path, 1)
        for count in (1, 2, 5):
            with torch.inference_mode():
                expected = network(images(count), torch.ones(count, dtype=torch.bool))
            features = torch.from_numpy(run(images(count).numpy()).copy())
            torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-5)


# One stream, square images, a global feature alone, as configs/vrkd has them
VEHICLES = {
    "INPUT.SIZE": [64, 64],
    "MODEL.SHARED_DEPTH": 5,
    "MODEL.SDM.ENABLED": False,
    "MODEL.MGIM.ENABLED": False,
    "MODEL.POOL": "avg",
}


@pytest.mark.skipif(not HAS_EXPORTER, reason="needs the extra 'export': onnx, onnxscript")
@pytest.mark.parametrize(
    "options",
    [
        {"MODEL.BACKBONE": "sdc_cnn_x0_25_s16"},
        pytest.param(
            {"MODEL.BACKBONE": "sdc_cnn_x0_25_s16", "MODEL.DIRECTIONAL.ENABLED": True},
            marks=pytest.mark.slow,
        ),
        pytest.param({"MODEL.BACKBONE": "mobilenet_v2"}, marks=pytest.mark.slow),
        pytest.param({"MODEL.BACKBONE": "resnet18"}, marks=pytest.mark.slow),
    ],
    ids=["sdc_cnn", "directional", "mobilenet_v2", "resnet18"],
)
def test_vehicle_networks_compute_torchs_features(options, tmp_path):
    network, path = deployed(**VEHICLES, **options), tmp_path / "network.onnx"
    assert is_shared(network)
    write_onnx(OneStream(network, infrared=False), path, size=VEHICLES["INPUT.SIZE"])
    for name in (name for name in RUNTIMES if importlib.util.find_spec(name)):
        run = RUNTIMES[name](path, 1)
        for count in (1, 3):
            shown = images(count, VEHICLES["INPUT.SIZE"])
            with torch.inference_mode():
                expected = network(shown, torch.zeros(count, dtype=torch.bool))
            features = torch.from_numpy(run(shown.numpy()).copy())
            torch.testing.assert_close(features, expected, rtol=1e-3, atol=1e-5)
