from dataclasses import replace

import pytest
import torch
from yacs.config import CfgNode

from vireid.config.schema import default_config
from vireid.losses.build import TERMS, build_criterion
from vireid.losses.criterion import Criterion, WeightedTerm
from vireid.losses.cross_modal import cross_modal_kl_loss, margin_mmd_loss
from vireid.losses.distillation import distillation_loss, raw_hint_loss
from vireid.losses.identity import identity_loss
from vireid.losses.triplet import (
    batch_hard_triplet_loss,
    center_cluster_loss,
    circle_loss,
    hetero_center_triplet_loss,
    weighted_triplet_loss,
)
from vireid.structures import Batch, HeadOutput, ModelOutput, PartOutput, TeacherOutput

WEIGHTS = {
    "IDENTITY": 0.5,
    "TRIPLET": 2.0,
    "WEIGHTED_TRIPLET": 3.0,
    "HETERO_CENTER": 0.25,
    "CENTER_CLUSTER": 0.75,
    "CIRCLE": 0.125,
    "CROSS_MODAL_KL": 2.5,
    "MMD": 1.5,
}


def output_of(dtype: torch.dtype = torch.float32) -> ModelOutput:
    generator = torch.Generator().manual_seed(0)
    embedding, feature, logits = (
        torch.randn(8, size, generator=generator).to(dtype).requires_grad_() for size in (6, 6, 4)
    )
    return ModelOutput({"deep": HeadOutput(embedding, feature, logits)})


def batch_of() -> Batch:
    labels = torch.tensor([0, 0, 1, 1, 0, 0, 1, 1])
    return Batch(torch.empty(8, 3, 1, 1), labels, torch.arange(8) >= 4, torch.arange(8))


def plain_config() -> CfgNode:
    cfg = default_config()
    cfg.MODEL.SDM.ENABLED = cfg.MODEL.MGIM.ENABLED = False
    return cfg


def criterion_of(weights: dict[str, float]) -> Criterion:
    cfg = plain_config()
    for key in cfg.LOSS:
        cfg.LOSS[key].WEIGHT = weights.get(key, 0.0)
    cfg.LOSS.IDENTITY.LABEL_SMOOTHING = 0.4
    cfg.LOSS.TRIPLET.MARGIN, cfg.LOSS.HETERO_CENTER.MARGIN = 1.5, 2.5
    cfg.LOSS.CENTER_CLUSTER.MARGIN, cfg.LOSS.MMD.MARGIN = 3.5, 0.2
    cfg.LOSS.CIRCLE.MARGIN, cfg.LOSS.CIRCLE.GAMMA = 0.3, 5.0
    return build_criterion(cfg)


def expected_terms(output: ModelOutput, batch: Batch) -> dict[str, torch.Tensor]:
    embedding, logits = output.deep.embedding.float(), output.deep.logits.float()
    return {
        "identity": identity_loss(logits, batch.labels, label_smoothing=0.4),
        "triplet": batch_hard_triplet_loss(embedding, batch.labels, margin=1.5),
        "weighted_triplet": weighted_triplet_loss(embedding, batch.labels),
        "hetero_center": hetero_center_triplet_loss(
            embedding, batch.labels, batch.is_infrared, margin=2.5
        ),
        "center_cluster": center_cluster_loss(embedding, batch.labels, margin=3.5),
        "circle": circle_loss(embedding, batch.labels, margin=0.3, gamma=5.0),
        "cross_modal_kl": cross_modal_kl_loss(logits, batch.labels, batch.is_infrared),
        "mmd": margin_mmd_loss(embedding, batch.labels, batch.is_infrared, margin=0.2),
    }


def test_every_configured_loss_has_a_term():
    assert set(TERMS) == set(WEIGHTS)
    others = {"PART_IDENTITY", "PART_TRIPLET", "SDM", "BRANCH_IDENTITY"}
    assert set(default_config().LOSS) == {*TERMS, *others}


def test_total_and_its_gradient_are_the_weighted_sums_of_the_terms():
    output, batch = output_of(), batch_of()
    report = criterion_of(WEIGHTS)(output, batch)
    expected = expected_terms(output, batch)
    assert list(report.terms) == list(expected)
    for name, value in expected.items():
        assert value.item() > 0.01
        assert torch.equal(report.terms[name], value)
    again = output_of()
    total = sum(WEIGHTS[n.upper()] * v for n, v in expected_terms(again, batch).items())
    torch.testing.assert_close(report.total, total)
    report.total.backward()
    total.backward()
    torch.testing.assert_close(output.deep.embedding.grad, again.deep.embedding.grad)
    torch.testing.assert_close(output.deep.logits.grad, again.deep.logits.grad)
    assert output.deep.feature.grad is None  # metric losses see what precedes BNNeck


@pytest.mark.parametrize("left_out", WEIGHTS)
def test_term_of_weight_zero_is_absent(left_out: str):
    criterion = criterion_of(WEIGHTS | {left_out: 0.0})
    report = criterion(output_of(), batch_of())
    assert list(report.terms) == [key.lower() for key in WEIGHTS if key != left_out]


def test_report_lists_the_loss_first_and_then_the_terms_in_order():
    criterion = Criterion(
        {
            "second": WeightedTerm(2.0, lambda output, batch: torch.tensor(3.0)),
            "first": WeightedTerm(0.5, lambda output, batch: torch.tensor(8.0)),
        }
    )
    named = criterion(output_of(), batch_of()).named()
    assert list(named.items()) == [("loss", 10.0), ("loss_second", 3.0), ("loss_first", 8.0)]
    assert not any(value.requires_grad for value in named.values())


def test_terms_are_computed_in_float32_under_bf16_autocast():
    output, batch = output_of(torch.bfloat16), batch_of()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        report = criterion_of(WEIGHTS)(output, batch)
    expected = expected_terms(output, batch)  # outside autocast
    assert report.total.dtype == torch.float32
    for name, value in expected.items():
        assert report.terms[name].dtype == torch.float32
        assert torch.equal(report.terms[name], value)


def full_output() -> ModelOutput:
    """Three students, the deep head, and parts at two granularities."""
    generator = torch.Generator().manual_seed(5)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(8, *shape, generator=generator).requires_grad_()

    heads = {
        name: HeadOutput(draw(6), draw(6), draw(4))
        for name in ("shallow1", "shallow2", "shallow3", "deep")
    }
    return ModelOutput(
        heads, (PartOutput(draw(4), draw(4), draw(2, 4)), PartOutput(draw(6), draw(6), draw(3, 4)))
    )


def test_total_of_the_whole_system_is_the_weighted_sum_of_all_terms():
    cfg = default_config()
    cfg.MODEL.SDM.ALPHA, cfg.MODEL.SDM.BETA = 0.25, 0.5
    cfg.MODEL.SDM.WEIGHTS = [1.0, 2.0, 3.0]
    cfg.LOSS.SDM.WEIGHT, cfg.LOSS.PART_IDENTITY.WEIGHT = 0.1, 0.7
    cfg.LOSS.PART_TRIPLET.WEIGHT = 0.3
    report = build_criterion(cfg)(full_output(), batch_of())
    weights = {"identity": 1.0, "triplet": 1.0, "part_identity": 0.7, "part_triplet": 0.3}
    for number, weight in enumerate([0.1, 0.2, 0.3], start=1):
        weights[f"sdm_identity_shallow{number}"] = weight * 0.75
        weights[f"sdm_kl_shallow{number}"] = weight * 0.25
        weights[f"sdm_hint_shallow{number}"] = weight * 0.5
    assert list(report.terms) == list(weights)
    assert all(value.item() > 0.01 for value in report.terms.values())
    total = sum(weights[name] * value.item() for name, value in report.terms.items())
    assert report.total.item() == pytest.approx(total, abs=1e-5)


@pytest.mark.parametrize("teacher", ["global", "global+parts", "ensemble", "ema"])
def test_students_terms_by_hand(teacher: str):
    cfg = default_config()
    cfg.MODEL.SDM.TEACHER, cfg.MODEL.SDM.TEMPERATURE = teacher, 2.0
    output, batch = full_output(), batch_of()
    averaged = output.deep.map(lambda tensor: tensor.flip(0)) if teacher == "ema" else None
    output = replace(output, averaged=averaged)
    terms = build_criterion(cfg)(output, batch).terms
    heads = {name: head.logits.detach().double() for name, head in output.heads.items()}
    if teacher == "global":
        target = heads["deep"]
    elif teacher == "ensemble":
        target = sum(heads.values()) / 4
    elif teacher == "ema":
        target = heads["deep"].flip(0)
    else:
        parts = [part.logits.detach().double() for part in output.parts]
        every = [heads["deep"], *(part[:, k] for part in parts for k in range(part.shape[1]))]
        target = sum(every) / 6
    p = (target / 2).softmax(1)
    for name in ("shallow1", "shallow2", "shallow3"):
        q = (heads[name] / 2).softmax(1)
        expected = 4 * (p * (p / q).log()).sum(1).mean()
        assert terms[f"sdm_kl_{name}"].item() == pytest.approx(expected.item(), abs=1e-5)
        hint = 0.0
        target_head = averaged or output.deep
        for a, b in zip(output.heads[name].feature, target_head.feature, strict=True):
            hint += ((a / a.norm() - b / b.norm()) ** 2).sum().item() / 8
        assert terms[f"sdm_hint_{name}"].item() == pytest.approx(hint, abs=1e-5)


@pytest.mark.parametrize("teacher", ["global", "global+parts", "ensemble"])
@pytest.mark.parametrize("detach", [True, False])
def test_gradient_reaches_the_teacher_only_when_it_is_not_detached(teacher: str, detach: bool):
    cfg = default_config()
    cfg.MODEL.SDM.TEACHER, cfg.MODEL.SDM.DETACH_TEACHER = teacher, detach
    output = full_output()
    terms = build_criterion(cfg)(output, batch_of()).terms
    sum(value for name, value in terms.items() if name.startswith("sdm_")).backward()
    assert (output.deep.logits.grad is None) == detach
    assert (output.deep.feature.grad is None) == detach
    assert (output.parts[0].logits.grad is None) == (detach or teacher != "global+parts")
    assert output.heads["shallow2"].logits.grad.abs().sum() > 0


def test_a_student_of_weight_zero_and_a_hint_that_is_off_leave_no_term():
    cfg = default_config()
    cfg.MODEL.SDM.WEIGHTS, cfg.MODEL.SDM.HINT = [1.0, 0.0, 1.0], "none"
    names = list(build_criterion(cfg)(full_output(), batch_of()).terms)
    expected = [f"sdm_{kind}_shallow{k}" for k in (1, 3) for kind in ("identity", "kl")]
    assert [name for name in names if name.startswith("sdm_")] == expected


LABELS = batch_of().labels


def cross_entropies(output: ModelOutput, smoothing: float) -> list[torch.Tensor]:
    """Of every part's classifier."""
    return [
        identity_loss(part.logits[:, k], LABELS, label_smoothing=smoothing)
        for part in output.parts
        for k in range(part.logits.shape[1])
    ]


def student_kl(output: ModelOutput, temperature: float) -> torch.Tensor:
    return distillation_loss(output.heads["shallow1"].logits, output.deep.logits, temperature)


def student_identity(output: ModelOutput) -> torch.Tensor:
    return identity_loss(output.heads["shallow1"].logits, LABELS, label_smoothing=0.4)


def raw_hint(output: ModelOutput) -> torch.Tensor:
    return raw_hint_loss(output.heads["shallow1"].embedding, output.deep.embedding)


def embedding_hint(output: ModelOutput) -> torch.Tensor:
    pairs = zip(output.heads["shallow1"].embedding, output.deep.embedding, strict=True)
    return sum(2 - 2 * (a @ b) / (a.norm() * b.norm()) for a, b in pairs) / len(LABELS)


def part_triplets(output: ModelOutput, loss=weighted_triplet_loss, **margin: float) -> torch.Tensor:
    return sum(loss(part.embedding, LABELS, **margin) for part in output.parts) / 2


def part_sum(output: ModelOutput) -> torch.Tensor:
    return sum(cross_entropies(output, 0.1))


# option, value, the only terms that it changes, what the first of them then is
WIDE = {"loss": batch_hard_triplet_loss, "margin": 1.5}
SMOOTHING = ("LOSS.IDENTITY.LABEL_SMOOTHING", 0.4)
OPTIONS = [
    ("MODEL.SDM.SCALE_T2", False, "sdm_kl_", lambda o: student_kl(o, 3.0) / 9),
    ("MODEL.SDM.TEMPERATURE", 5.0, "sdm_kl_", lambda o: student_kl(o, 5.0)),
    ("MODEL.SDM.HINT", "mse_raw", "sdm_hint_", raw_hint),
    ("MODEL.SDM.HINT", "l2_norm", "sdm_hint_", embedding_hint),
    ("LOSS.PART_TRIPLET.KIND", "weighted", "part_triplet", part_triplets),
    ("LOSS.PART_TRIPLET.MARGIN", 1.5, "part_triplet", lambda o: part_triplets(o, **WIDE)),
    (
        "LOSS.PART_IDENTITY.REDUCTION",
        "sum",
        "part_identity",
        lambda o: sum(cross_entropies(o, 0.1)),
    ),
    (*SMOOTHING, "part_identity", lambda o: sum(cross_entropies(o, 0.4)) / 5),
    (*SMOOTHING, "sdm_identity_", student_identity),
]


@pytest.mark.parametrize(("key", "value", "prefix", "expected"), OPTIONS)
def test_an_option_changes_its_terms_as_it_says(key, value, prefix, expected):
    cfg, output = default_config(), full_output()
    before = build_criterion(cfg)(output, batch_of()).terms
    cfg.merge_from_list([key, value])
    after = build_criterion(cfg)(output, batch_of()).terms
    changed = [name for name in after if after[name] != before[name]]
    smoothed = key.endswith("SMOOTHING")  # which every classification has
    assert set(changed) == {
        name for name in after if name.startswith(prefix) or (smoothed and "identity" in name)
    }
    first = next(name for name in changed if name.startswith(prefix))
    assert after[first].item() == pytest.approx(expected(output).item(), rel=1e-5)


def taught_output(teacher_logits: torch.Tensor | None = None) -> ModelOutput:
    output = output_of()
    said = torch.randn(8, 4, generator=torch.Generator().manual_seed(7))
    said = (said if teacher_logits is None else teacher_logits).requires_grad_()
    feature = torch.randn(8, 3, generator=torch.Generator().manual_seed(8)).requires_grad_()
    return ModelOutput(output.heads, teacher=TeacherOutput(said, feature))


def taught_config(**options: float | bool) -> CfgNode:
    cfg = plain_config()
    cfg.TEACHER.WEIGHTS = "somewhere"
    for key, value in options.items():
        cfg.DISTILL[key] = value
    return cfg


def test_a_teacher_adds_its_divergence_under_a_name_of_its_own():
    output, batch = taught_output(), batch_of()
    criterion = build_criterion(taught_config(WEIGHT=0.5, TEMPERATURE=2.0))
    assert criterion.weights == {"identity": 1.0, "triplet": 1.0, "distill_kl": 0.5}
    report = criterion(output, batch)
    student, teacher = output.deep.logits, output.teacher.logits
    p, q = (logits.div(2).softmax(dim=1) for logits in (teacher, student))
    by_hand = 4 * (p * (p / q).log()).sum(dim=1).mean()
    torch.testing.assert_close(report.terms["distill_kl"], by_hand)
    report.total.backward()
    assert output.deep.logits.grad is not None and teacher.grad is None


@pytest.mark.parametrize("options", [{"WEIGHT": 0.0}, {}])
def test_no_teacher_or_one_without_a_say_adds_no_term(options: dict[str, float]):
    cfg = taught_config(**options)
    cfg.TEACHER.WEIGHTS = "somewhere" if options else ""
    assert set(build_criterion(cfg).weights) == {"identity", "triplet"}


def test_a_teacher_is_gathered_with_its_students_output():
    doubled = taught_output().map(lambda tensor: 2 * tensor)
    torch.testing.assert_close(doubled.teacher.logits, 2 * taught_output().teacher.logits)
    torch.testing.assert_close(doubled.teacher.feature, 2 * taught_output().teacher.feature)
    assert output_of().map(lambda tensor: tensor).teacher is None


def test_features_and_relations_are_learnt_from_the_teachers():
    output, batch = taught_output(), batch_of()
    cfg = taught_config(WEIGHT=0.0, FEATURE_WEIGHT=0.5, RELATION_WEIGHT=3.0)
    criterion = build_criterion(cfg, (6, 3))
    own, taught = {"identity": 1.0, "triplet": 1.0}, {"distill_relation": 3.0}
    assert criterion.weights == own | taught | {"distill_feature": 0.5}
    (projection,) = criterion.parameters()
    report = criterion(output, batch)
    student, teacher = output.deep.feature, output.teacher.feature
    pairs = zip(student @ projection.T, teacher, strict=True)
    by_hand = sum(((s / s.norm() - t / t.norm()) ** 2).sum() for s, t in pairs) / 8
    torch.testing.assert_close(report.terms["distill_feature"], by_hand)
    report.total.backward()
    assert projection.grad.abs().sum() > 0 and student.grad.abs().sum() > 0
    assert teacher.grad is None and output.teacher.logits.grad is None


def test_branches_are_classified_each_and_summed():
    cfg = plain_config()
    cfg.MODEL.DIRECTIONAL.ENABLED, cfg.LOSS.BRANCH_IDENTITY.WEIGHT = True, 0.5
    cfg.LOSS.IDENTITY.LABEL_SMOOTHING = 0.2
    output, batch = output_of(), batch_of()
    logits = [torch.randn(8, 4, generator=torch.Generator().manual_seed(k)) for k in (1, 2, 3)]
    branches = {f"branch{k}": HeadOutput(z, z, z) for k, z in enumerate(logits, start=1)}
    criterion = build_criterion(cfg)
    assert criterion.weights["branch_identity"] == 0.5
    terms = criterion(ModelOutput({**output.heads, **branches}), batch).terms
    expected = sum(identity_loss(z, batch.labels, label_smoothing=0.2) for z in logits)
    torch.testing.assert_close(terms["branch_identity"], expected)
