"""Stripes, their reduction and their relations against loops over single parts."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from vireid.models.part_relations import OneVsRest, PartAttention, PartGraph, PartLinear
from vireid.models.parts import MultiGranularityParts, StripePool, stripe_bounds
from vireid.models.pooling import AvgPool, GeMPool, MaxPool

# method.md's table at C = 512, granularities 2, 3 and 6, learnt exponent included
PARAMETERS = {
    (128, "none"): 197_377,
    (128, "one_vs_rest"): 296_193,
    (128, "attention"): 230_401,
    (128, "graph"): 214_017,
    (256, "none"): 394_753,
    (256, "one_vs_rest"): 657_921,
    (256, "attention"): 526_337,
    (256, "graph"): 460_801,
}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def parts(granularities=(2, 3), **options) -> MultiGranularityParts:
    torch.manual_seed(0)
    settings = {"channels": 8, "dim": 4, "relation": "one_vs_rest"} | options
    made = MultiGranularityParts(GeMPool(), granularities=granularities, **settings).eval()
    for module in made.modules():  # statistics that are not the identity
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 1.5)
    return made


def apply(layer: PartLinear, vector: Tensor) -> Tensor:
    """One vector through linear map, running statistics and ReLU."""
    norm = layer.norm
    centred = (layer.linear.weight @ vector - norm.running_mean) / (
        norm.running_var + norm.eps
    ).sqrt()
    return (centred * norm.weight + norm.bias).clamp(min=0)


def test_stripes_cover_the_rows_once_where_they_divide_and_overlap_where_not():
    assert stripe_bounds(18, 3) == [(0, 6), (6, 12), (12, 18)]
    assert stripe_bounds(16, 3) == [(0, 6), (5, 11), (10, 16)]
    pooled = F.adaptive_avg_pool2d(draw(2, 5, 16, 3), (3, 1)).squeeze(3).transpose(1, 2)
    torch.testing.assert_close(StripePool(AvgPool(), [3])(draw(2, 5, 16, 3)), pooled)


@pytest.mark.parametrize("pool", [GeMPool(3.7), AvgPool(), MaxPool()])
def test_pooling_rows_first_equals_pooling_each_stripe(pool: nn.Module):
    maps = draw(2, 5, 6, 3).abs()
    pooled = StripePool(pool, [1, 2, 3])(maps)
    stripes = [maps, maps[:, :, :3], maps[:, :, 3:], *(maps[:, :, k : k + 2] for k in (0, 2, 4))]
    expected = torch.stack([pool(stripe) for stripe in stripes], dim=1)
    assert pooled.shape == (2, 6, 5)
    torch.testing.assert_close(pooled, expected)


@pytest.mark.parametrize(("dim", "relation"), PARAMETERS)
def test_parameters_are_counted_to_the_unit(dim: int, relation: str):
    module = parts((2, 3, 6), channels=512, dim=dim, relation=relation)
    assert sum(p.numel() for p in module.parameters()) == PARAMETERS[dim, relation]


@pytest.mark.parametrize("scope", ["within", "all"])
def test_one_vs_rest_equals_loops(scope: str):
    module, maps = parts((1, 2, 3), scope=scope), draw(2, 8, 6, 3).abs()
    outputs = torch.cat(module(maps), dim=1)
    pooled = module.pool(maps)
    groups = [[0], [1, 2], [3, 4, 5]]
    relation = module.relate[0]
    for b in range(2):
        for g, members in enumerate(groups):
            for k in members:
                reduced = apply(module.reduce[g], pooled[b, k])
                rest = [j for j in (members if scope == "within" else range(6)) if j != k]
                expected = reduced
                if rest:
                    mean = sum(pooled[b, j] for j in rest) / len(rest)
                    joined = torch.cat([reduced, apply(relation.rest, mean)])
                    expected = reduced + apply(relation.join, joined)
                torch.testing.assert_close(outputs[b, k], expected)


def test_the_rest_of_two_is_the_other_and_the_order_of_the_rest_does_not_matter():
    relation = OneVsRest(8, 4).eval()
    pooled, reduced = draw(2, 4, 8), draw(2, 4, 4, seed=1)
    everything = torch.ones(4, 4, dtype=torch.bool)
    permuted = [0, 3, 1, 2]
    first = relation(pooled, reduced, everything)[:, 0]
    other = relation(pooled[:, permuted], reduced[:, permuted], everything)[:, 0]
    torch.testing.assert_close(first, other)
    pair = relation(pooled[:, :2], reduced[:, :2], everything[:2, :2])
    joined = torch.cat([reduced[:, :1], relation.rest(pooled[:, 1:2])], dim=2)
    torch.testing.assert_close(pair[:, :1], reduced[:, :1] + relation.join(joined))


def test_parts_without_others_are_left_alone_in_both_modes_by_different_ways():
    network, maps = parts([1, 2, 3]), draw(2, 8, 6, 3).abs()
    with torch.no_grad():
        computed_for_all = network(maps)
        for relation in network.relate:
            relation.training = True  # the flag alone: normalisation keeps its running statistics
        for found, wanted in zip(network(maps), computed_for_all, strict=True):
            torch.testing.assert_close(found, wanted)


def test_attention_equals_loops():
    torch.manual_seed(0)
    relation, reduced = PartAttention(8, 4), draw(2, 5, 4)
    related = torch.block_diag(torch.ones(2, 2), torch.ones(3, 3)).bool()
    output = relation(draw(2, 5, 8), reduced, related)
    for b in range(2):
        for k in range(5):
            members = [j for j in range(5) if related[k, j]]
            query = relation.query(reduced[b, k])
            scores = torch.stack([query @ relation.key(reduced[b, j]) for j in members]) / 2**0.5
            weights = scores.softmax(0)
            mean = sum(
                w * relation.value(reduced[b, j]) for w, j in zip(weights, members, strict=True)
            )
            expected = reduced[b, k] + relation.norm(relation.out(mean))
            torch.testing.assert_close(output[b, k], expected)


def test_graph_equals_loops():
    torch.manual_seed(0)
    relation, reduced = PartGraph(8, 4).eval(), draw(2, 5, 4)
    related = torch.block_diag(torch.ones(2, 2), torch.ones(3, 3)).bool()
    output = relation(draw(2, 5, 8), reduced, related)
    for b in range(2):
        for k in range(5):
            members = [j for j in range(5) if related[k, j]]
            cosines = [F.cosine_similarity(reduced[b, k], reduced[b, j], dim=0) for j in members]
            weights = (torch.stack(cosines) / 0.1).softmax(0)
            mean = sum(w * reduced[b, j] for w, j in zip(weights, members, strict=True))
            expected = reduced[b, k] + apply(relation.update, mean)
            torch.testing.assert_close(output[b, k], expected)


@pytest.mark.parametrize("relation", ["one_vs_rest", "attention", "graph"])
def test_other_granularities_matter_only_across_them(relation: str):
    """Granularity 3's vectors, when the reduction of granularity 6 changes."""
    maps = draw(2, 8, 6, 3).abs()
    for scope in ("within", "all"):
        module = parts((3, 6), relation=relation, scope=scope)
        weight = module.reduce[1].linear.weight
        before = module(maps)[0]
        with torch.no_grad():
            weight.mul_(3)  # changes the reduced parts of granularity 6 alone
        assert torch.equal(module(maps)[0], before) == (
            scope == "within" or relation == "one_vs_rest"  # whose rest is made of pooled parts
        )


@pytest.mark.parametrize(
    ("reduce_sharing", "relation_sharing", "reductions", "relations"),
    [("all", "all", 1, 1), ("granularity", "granularity", 2, 2), ("part", "all", 5, 1)],
)
def test_weights_are_shared_as_asked(reduce_sharing, relation_sharing, reductions, relations):
    module = parts(reduce_sharing=reduce_sharing, relation_sharing=relation_sharing)
    assert (len(module.reduce), len(module.relate)) == (reductions, relations)
    module.train()
    outputs = module(draw(6, 8, 6, 3).abs())
    sum(output.square().sum() for output in outputs).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in module.parameters())


@pytest.mark.parametrize("relation", ["one_vs_rest", "attention", "graph"])
def test_a_part_without_others_has_no_weights_for_relations(relation: str):
    module = parts((1,), relation=relation)
    assert not list(module.relate.parameters())
    maps = draw(2, 8, 6, 3).abs()
    reduced = apply(module.reduce[0], module.pool(maps)[0, 0])
    torch.testing.assert_close(module(maps)[0][0, 0], reduced)
    own = parts((1, 2), relation=relation, relation_sharing="granularity").train()
    sum(output.square().sum() for output in own(draw(6, 8, 6, 3).abs())).backward()
    assert not list(own.relate[0].parameters()) and list(own.relate[1].parameters())
    assert all(p.grad is not None for p in own.parameters())
    for together in ({"scope": "all"}, {"relation_sharing": "all"}):
        assert list(parts((1, 2), relation=relation, **together).relate.parameters())


def test_weights_per_granularity_cannot_relate_across():
    with pytest.raises(ValueError, match="share their weights"):
        parts(scope="all", relation_sharing="granularity")
