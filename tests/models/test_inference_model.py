"""What is deployed: the truncated network, its blocks, and its size."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vireid.config.schema import default_config
from vireid.cost.flops import unique_parameters
from vireid.errors import UsageError
from vireid.losses.build import build_criterion
from vireid.models.build import POOLS, build_model
from vireid.models.inference_model import TestTimeFlip, build_inference_model
from vireid.models.reid_model import ReidModel
from vireid.structures import Batch

FLAGS = torch.tensor([False, True, False, True])
# method.md's table: what stands between the tapped map and pooling
SHALLOW = {
    "pool_proj": (32_768, 131_072, 196_608, 262_144),
    "light": (48_000, 205_056, 202_240, 267_776),
    "byot": (338_176, 166_144, 133_376, 149_760),
    "sepconv": (383_488, 202_752, 352_768, 535_552),
}


def model(classes: int = 7, **options: object) -> ReidModel:
    torch.manual_seed(0)
    cfg = default_config()
    cfg.INPUT.SIZE = [96, 48]
    cfg.MODEL.BACKBONE, cfg.MODEL.PRETRAINED = "osnet_x0_25", "none"
    cfg.merge_from_list([word for pair in options.items() for word in pair])
    network, _ = build_model(cfg, classes)
    for module in network.modules():
        if isinstance(module, (nn.BatchNorm1d, nn.BatchNorm2d)):
            module.running_mean.uniform_(-0.1, 0.1)
            module.running_var.uniform_(0.8, 1.2)
    return network.eval()


def images() -> torch.Tensor:
    return torch.randn(4, 3, 96, 48, generator=torch.Generator().manual_seed(1))


def full_size(**options: object) -> ReidModel:
    return model(395, **{"MODEL.BACKBONE": "osnet_x1_0", **options})


@pytest.mark.parametrize(
    ("dim", "relation", "deployed"),
    [(128, "one_vs_rest", 2_447_214), (256, "attention", 2_677_358), (128, "attention", 2_381_422)],
)
def test_deployed_parameters_of_other_relations(dim: int, relation: str, deployed: int):
    network = full_size(**{"MODEL.MGIM.DIM": dim, "MODEL.MGIM.RELATION": relation})
    assert unique_parameters(build_inference_model(network)) == deployed


@pytest.mark.parametrize("head", SHALLOW)
@pytest.mark.parametrize("taps", [("conv1", "conv2", "conv3"), ("conv2", "conv3", "conv4")])
def test_parameters_of_shallow_heads(head: str, taps: tuple[str, ...]):
    network = full_size(**{"MODEL.SDM.HEAD": head, "MODEL.SDM.TAPS": list(taps)})
    for tap, student in zip(taps, network.shallow.values(), strict=True):
        expected = SHALLOW[head][int(tap[-1]) - 1]
        assert unique_parameters(student) == expected + 1_025 + 512 * 395


@pytest.mark.parametrize("head", SHALLOW)
def test_every_exit_is_the_truncated_networks_own_feature(head: str):
    network = model(**{"MODEL.SDM.HEAD": head, "MODEL.SDM.TAPS": ["conv1", "conv3", "conv4"]})
    with torch.no_grad():
        output = network(images(), FLAGS)
        for number, stages in ((1, 1), (2, 3), (3, 4)):
            chosen = build_inference_model(network, exit_name=f"shallow{number}").eval()
            backbone = chosen.backbone
            assert len(backbone.visible) + len(backbone.shared) == stages
            feature = chosen(images(), FLAGS)
            assert feature.shape == (4, 128)
            torch.testing.assert_close(feature, output.heads[f"shallow{number}"].feature)
        deep = build_inference_model(network, embedding="global").eval()(images(), FLAGS)
        torch.testing.assert_close(deep, output.deep.feature)


def test_blocks_are_brought_to_unit_length_and_count_alike():
    network = model()
    with torch.no_grad():
        output = network(images(), FLAGS)
        feature = build_inference_model(network).eval()(images(), FLAGS)
        only_parts = build_inference_model(network, embedding="parts").eval()(images(), FLAGS)
    blocks = [output.deep.feature, *(part.feature for part in output.parts)]
    expected = torch.cat([F.normalize(block, dim=1) for block in blocks], dim=1) / 2
    assert feature.shape == (4, 128 + (2 + 3 + 6) * 256)
    torch.testing.assert_close(feature, expected)
    torch.testing.assert_close(feature.norm(dim=1), torch.ones(4))
    torch.testing.assert_close(only_parts, expected[:, 128:] * 2 / 3**0.5)


def test_flip_averages_with_the_mirror_image():
    chosen = build_inference_model(model()).eval()
    with torch.no_grad():
        plain, mirrored = (chosen(batch, FLAGS) for batch in (images(), images().flip(3)))
        found = TestTimeFlip(chosen)(images(), FLAGS)
    assert not torch.allclose(plain, mirrored, atol=1e-3)
    torch.testing.assert_close(found, (plain + mirrored) / 2)


def test_without_parts_the_embedding_is_global():
    network = model(**{"MODEL.MGIM.ENABLED": False})
    with torch.no_grad():
        feature = build_inference_model(network).eval()(images(), FLAGS)
        torch.testing.assert_close(feature, network(images(), FLAGS).deep.feature)


@pytest.mark.parametrize("shared_depth", range(6))
@pytest.mark.parametrize("exit_name", ["shallow1", "shallow3", "deep"])
def test_exits_hold_no_more_than_they_compute(shared_depth: int, exit_name: str):
    """Every parameter but those of the classifiers receives a gradient from the features."""
    network = model(**{"MODEL.SHARED_DEPTH": shared_depth})
    chosen = build_inference_model(network, exit_name=exit_name)
    chosen.train()
    chosen(images(), FLAGS).square().sum().backward()
    assert all(p.grad is not None for p in chosen.parameters())


def test_unknown_exits_and_embeddings_are_named():
    network = model(**{"MODEL.SDM.TAPS": ["conv2"], "MODEL.MGIM.ENABLED": False})
    with pytest.raises(UsageError, match="shallow2.*deep, shallow1"):
        build_inference_model(network, exit_name="shallow2")
    with pytest.raises(UsageError, match="TEST.EMBED parts"):
        build_inference_model(network, embedding="parts")


def test_granularity_that_does_not_divide_the_map_is_refused_unless_overlap_is_allowed():
    with pytest.raises(
        UsageError, match=r"6 rows, which 4 does not divide; choose one of \[1, 2, 3, 6\]"
    ):
        model(**{"MODEL.MGIM.GRANULARITIES": [2, 4]})
    network = model(**{"MODEL.MGIM.GRANULARITIES": [2, 4], "MODEL.MGIM.ALLOW_OVERLAP": True})
    assert network(images(), FLAGS).parts[1].logits.shape == (4, 4, 7)
    with pytest.raises(UsageError, match=r"6 rows, fewer than 7 stripes"):
        model(**{"MODEL.MGIM.GRANULARITIES": [2, 7], "MODEL.MGIM.ALLOW_OVERLAP": True})


def test_students_send_no_gradient_into_conv5_or_the_teachers_classifier():
    cfg = default_config()
    network = model().train()
    batch = Batch(images(), torch.tensor([0, 0, 1, 1]), FLAGS, torch.arange(4))
    terms = build_criterion(cfg)(network(images(), FLAGS), batch).terms
    sum(value for name, value in terms.items() if name.startswith("sdm_")).backward()
    untouched = [
        *network.backbone.shared[-1].parameters(),
        *network.head.parameters(),
        *network.parts.parameters(),
        *network.pool.parameters(),
    ]
    assert all(p.grad is None for p in untouched)
    assert all(p.grad is not None for p in network.backbone.shared[-2].parameters())
    assert all(p.grad.abs().sum() > 0 for p in network.shallow.shallow1.head.parameters())


# option → how many reductions, relations, BNNecks and classifiers the parts then have
WIRED = {
    "MODEL.MGIM.REDUCE_SHARING": {"all": (1, 1, 3, 3), "part": (11, 1, 3, 3)},
    "MODEL.MGIM.RELATION_SHARING": {"granularity": (3, 3, 3, 3)},
    "MODEL.MGIM.BNNECK": {False: (3, 1, 0, 3)},
    "MODEL.MGIM.CLASSIFIER": {"granularity": (3, 1, 3, 3), "part": (3, 1, 3, 3)},
}


@pytest.mark.parametrize(
    ("key", "value", "counts"),
    [(key, value, counts) for key, values in WIRED.items() for value, counts in values.items()],
)
def test_options_of_the_parts_reach_their_modules(key: str, value: object, counts: tuple):
    head = model(**{key: value}).parts
    aggregate = head.features.aggregate
    norms = [m for m in head.features.bnnecks if isinstance(m, nn.BatchNorm1d)]
    found = (len(aggregate.reduce), len(aggregate.relate), len(norms), len(head.classifiers))
    assert found == counts
    groups = [len(classifier.weight) for classifier in head.classifiers]
    assert groups == ([1, 1, 1] if value == "granularity" and "CLASS" in key else [2, 3, 6])


def test_without_a_bnneck_parts_are_retrieved_as_they_are():
    output = model(**{"MODEL.MGIM.BNNECK": False})(images(), FLAGS)
    assert all(torch.equal(part.feature, part.embedding) for part in output.parts)
    output = model()(images(), FLAGS)
    assert not any(torch.equal(part.feature, part.embedding) for part in output.parts)


@pytest.mark.parametrize(("scope", "related"), [("within", 2**2 + 3**2 + 6**2), ("all", 11**2)])
def test_scope_decides_which_parts_are_related(scope: str, related: int):
    aggregate = model(**{"MODEL.MGIM.SCOPE": scope}).parts.features.aggregate
    assert int(aggregate.related.sum()) == related


@pytest.mark.parametrize("pool", ["gem", "avg", "max"])
def test_parts_have_a_pool_and_an_exponent_of_their_own(pool: str):
    network = model(**{"MODEL.MGIM.POOL": pool, "MODEL.MGIM.GEM_P": 5.0})
    assert type(network.parts.features.aggregate.pool.pool) is type(POOLS[pool](5.0))
    if pool == "gem":
        assert network.parts.features.aggregate.pool.pool.exponent.item() == 5.0
    assert network.pool.exponent.item() == 3.0
