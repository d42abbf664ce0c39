"""A frozen teacher: what it teaches, what it refuses, and that it leaves nothing behind."""

import re
import shutil
import signal
from dataclasses import replace

import pytest
import torch

from tests.conftest import SMALL
from tests.engine.test_distributed import ONE_STEP, train_on_two
from tests.helpers import log_of
from tests.run_files import (
    assert_same_training,
    assert_weighted_sum,
    change_checkpoint,
    column,
    last,
    metrics,
    stop_at_step,
    weights_of_terms,
)
from vireid.cli import evaluate, train
from vireid.config import apply_overrides, load_config
from vireid.data.build import build_splits
from vireid.data.datasets.files import fingerprint
from vireid.data.transforms import normalize
from vireid.engine.build import build_trainer
from vireid.engine.checkpoint import LAST
from vireid.engine.distributed import World
from vireid.engine.trainer import Trainer
from vireid.losses.distillation import distillation_loss
from vireid.models.build import build_model
from vireid.models.teacher import FrozenTeacher
from vireid.runs import pipeline
from vireid.runs.teacher import load_teacher, weights_digest

# A student that is nothing but a backbone and its average: no students of its own, no parts.
PLAIN = ("MODEL.SDM.ENABLED=false", "MODEL.MGIM.ENABLED=false", "MODEL.POOL=avg")
CPU = torch.device("cpu")
SHORT = (*PLAIN, "LOSS.TRIPLET.WEIGHT=0", "SOLVER.EPOCHS=1")
DIRECTIONAL = ("MODEL.BACKBONE=sdc_cnn_x0_25_s16", "MODEL.DIRECTIONAL.ENABLED=true")
DIRECTIONAL += ("INPUT.SIZE=[64, 64]", "MODEL.SHARED_DEPTH=5")


@pytest.fixture(scope="session")
def taught(tiny_command, finished_run, tmp_path_factory):
    """A run with a teacher and with students of its own; and its teacher afterwards."""
    folder, teachers, load = tmp_path_factory.mktemp("runs") / "taught", [], load_teacher

    def kept(*arguments, **options):
        teachers.append(load(*arguments, **options))
        return teachers[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "load_teacher", kept)
        assert train.main(tiny_command(folder, f"TEACHER.WEIGHTS={finished_run}")) == 0
    return folder, teachers[0]


def test_it_teaches_beside_every_other_loss(taught, finished_run):
    rows, before = metrics(taught[0]), metrics(finished_run)
    assert set(rows[0]) - set(before[0]) == {"loss_distill_kl", "teacher_accuracy"}
    for row in rows:
        assert_weighted_sum(row, weights_of_terms(distill_kl=1.0))
        assert float(row["loss_distill_kl"]) > 0
        assert 0 < float(row["teacher_accuracy"]) <= 1


def test_training_leaves_the_teacher_bit_for_bit_as_it_was(taught, finished_run):
    network, held = taught[1].module, last(finished_run)["model"]
    state = network.model.state_dict()
    assert state.keys() == held.keys()
    assert all(torch.equal(state[name], held[name]) for name in held)
    assert not any(module.training for module in network.modules())
    assert all(p.grad is None and not p.requires_grad for p in network.parameters())


def test_the_students_checkpoint_holds_no_teacher_but_its_digest(taught, finished_run):
    checkpoint, own = last(taught[0]), last(finished_run)
    assert checkpoint["model"].keys() == own["model"].keys()  # of one architecture, here
    assert checkpoint["criterion"] == own["criterion"] == {}
    groups = checkpoint["optimizer"]["param_groups"]
    assert [g["name"] for g in groups] == [g["name"] for g in own["optimizer"]["param_groups"]]
    assert checkpoint["teacher"] == taught[1].digest == weights_digest(own["model"])
    assert own["teacher"] == ""
    assert "taught by" in log_of(taught[0])


def test_a_teacher_without_a_say_changes_nothing(tiny_command, finished_run, tmp_path):
    """The control of a sweep over the weight; its teacher need not even be there."""
    options = ("TEACHER.WEIGHTS=gone", "DISTILL.WEIGHT=0")
    assert train.main(tiny_command(tmp_path / "run", *options)) == 0
    assert_same_training(tmp_path / "run", finished_run)


def test_a_student_starts_from_the_weights_that_it_has_without_a_teacher(
    tiny_command, finished_run, tmp_path
):
    found = []
    for name, weights in (("with", finished_run), ("without", "")):
        options = (*ONE_STEP, *SHORT, f"TEACHER.WEIGHTS={weights}")
        assert train.main(tiny_command(tmp_path / name, *options)) == 0
        found.append(metrics(tmp_path / name)[0]["loss_identity"])
    assert found[0] == found[1]  # of the first step, before it moved anything


def test_stopped_and_resumed_equals_undisturbed(
    tiny_command, finished_run, taught, tmp_path, monkeypatch
):
    arguments = tiny_command(tmp_path / "run", f"TEACHER.WEIGHTS={finished_run}")
    with monkeypatch.context() as patch:
        stop_at_step(patch, 2, signal.SIGTERM)
        assert train.main(arguments) == 143
    assert train.main([*arguments, "--resume"]) == 0
    assert_same_training(tmp_path / "run", taught[0])


def test_scoring_a_student_needs_no_teacher(tiny_command, finished_run, tmp_path, capsys):
    teacher = shutil.copytree(finished_run, tmp_path / "teacher")
    arguments = tiny_command(tmp_path / "run", *SHORT, f"TEACHER.WEIGHTS={teacher}")
    assert train.main(arguments) == 0
    results = (tmp_path / "run/results.json").read_text()
    shutil.rmtree(teacher)
    assert evaluate.main(["--run", str(tmp_path / "run")]) == 0
    assert (tmp_path / "run/results.json").read_text() == results
    capsys.readouterr()
    assert train.main([*arguments, "--resume", "SOLVER.EPOCHS", "2"]) == 4
    assert "TEACHER.WEIGHTS" in capsys.readouterr().err


def test_another_teacher_is_noted_and_within_an_epoch_refused(
    tiny_command, finished_run, tmp_path, capsys, monkeypatch
):
    teacher = shutil.copytree(finished_run, tmp_path / "teacher")
    arguments = tiny_command(
        tmp_path / "run", *SHORT, f"TEACHER.WEIGHTS={teacher}", "SOLVER.EPOCHS=2"
    )
    with monkeypatch.context() as patch:
        stop_at_step(patch, 2, signal.SIGTERM)
        assert train.main(arguments) == 143
    weights = last(teacher)["model"]
    weights["head.bnneck.bias"] += 1
    change_checkpoint(teacher / LAST, model=weights)
    capsys.readouterr()
    assert train.main([*arguments, "--resume"]) == 2
    error = capsys.readouterr().err
    assert "teacher (weights)" in error and "middle of an epoch" in error
    assert train.main([*arguments, "--resume", "DISTILL.TEMPERATURE", "2"]) == 2
    assert "DISTILL.TEMPERATURE 4.0 → 2.0" in capsys.readouterr().err
    change_checkpoint(tmp_path / "run" / LAST, progress={"epoch": 1, "step": 0, "sums": {}})
    assert train.main([*arguments, "--resume"]) == 0
    assert "changed since the checkpoint: teacher (weights)" in capsys.readouterr().out


def refused(command, capsys, code: int) -> str:
    """The one line that a refused training prints; nothing was begun."""
    assert train.main(command) == code
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "Traceback" not in error, error
    return error


@pytest.mark.parametrize(
    ("done", "phrase"),
    [
        ({"epoch": 3, "step": 2}, "saved within epoch 4: its training is not finished"),
        ({"epoch": 1, "step": 0}, "saved after epoch 1 of 3: its training is not finished"),
        ({"epoch": 3, "step": 0}, "epoch 3, weights"),
    ],
)
def test_a_teacher_says_when_its_training_is_not_finished(
    tiny_command, finished_run, tmp_path, done, phrase
):
    teacher = shutil.copytree(finished_run, tmp_path / "teacher")
    config = last(teacher)["config"].replace("  EPOCHS: 2\n", "  EPOCHS: 3\n")
    assert "  EPOCHS: 3\n" in config
    change_checkpoint(teacher / LAST, progress=done, config=config)
    assert phrase in loaded(tiny_command, tmp_path, f"TEACHER.WEIGHTS={teacher}")[0].origin


@pytest.mark.parametrize("how", ["--overwrite", "--resume"])
def test_a_run_does_not_take_its_teachers_place(tiny_command, finished_run, run, capsys, how):
    command = [*tiny_command(run, f"TEACHER.WEIGHTS={run}", "SOLVER.EPOCHS=3"), how]
    assert "is in this run's folder" in refused(command, capsys, 2)
    assert last(run)["progress"] == last(finished_run)["progress"]


@pytest.mark.parametrize(
    ("weights", "option", "code", "phrase"),
    [
        ("gone", "", 4, "gone does not exist"),
        ("gone.pth", "", 4, "gone.pth does not exist"),
        ("", "", 4, r"is neither a run folder \(it has no config.yaml\)"),
        ("cut.pth", "", 4, "cut.pth is damaged"),
        ("foreign.pth", "", 4, "foreign.pth is not a checkpoint of vireid: it lacks"),
        ("untrained.pth", "", 4, "untrained.pth was saved before the first epoch"),
        ("llcm.pth", "", 4, "identities of llcm, this run trains on 8 of sysu"),
        ("RUN", "DATA.SPLIT=train", 4, "8 identities of sysu, this run trains on 6 of sysu, the f"),
        ("RUN", "DATA.ROOT=OTHER", 4, "was trained on other images"),
        ("RUN", "TEACHER.CONFIG=configs/sysu.yaml", 4, "with TEACHER.CONFIG: .*another model"),
        ("RUN", "TEACHER.POSTERIOR=mean_branch_prob", 2, "='mean_branch_prob': .* no branches"),
    ],
)
def test_a_teacher_that_cannot_teach_is_refused_before_the_run_begins(
    tiny_command, tiny_sysu, finished_run, tmp_path, capsys, weights, option, code, phrase
):
    (tmp_path / "cut.pth").write_bytes((finished_run / LAST).read_bytes()[:5000])
    torch.save({"state_dict": {}}, tmp_path / "foreign.pth")
    change_checkpoint(finished_run / LAST, out=tmp_path / "untrained.pth", progress={"epoch": 0})
    change_checkpoint(finished_run / LAST, out=tmp_path / "llcm.pth", dataset="llcm")
    if option == "DATA.ROOT=OTHER":
        option = f"DATA.ROOT={shutil.copytree(tiny_sysu, tmp_path / 'other')}"
        image = next((tmp_path / "other/cam1").rglob("*.jpg"))
        image.write_bytes(image.read_bytes() + b"\0")
    path = finished_run if weights == "RUN" else tmp_path / weights
    options = [f"TEACHER.WEIGHTS={path}", *option.split()]
    line = refused(tiny_command(tmp_path / "run", *options), capsys, code)
    assert line.startswith("error: TEACHER.") and re.search(phrase, line)
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="session")
def directional(tiny_command, tmp_path_factory):
    """A quadruple directional teacher on square images. Never write into it."""
    folder = tmp_path_factory.mktemp("runs") / "directional"
    assert train.main(tiny_command(folder, *SHORT, *DIRECTIONAL)) == 0
    return folder


def test_a_directional_network_trains_its_branches_and_is_scored(directional):
    (row,) = metrics(directional)
    assert_weighted_sum(row, {"identity": 1.0, "branch_identity": 1.0})
    assert float(row["loss_branch_identity"]) > 2 * float(row["loss_identity"])  # of four
    assert "sysu_all_single" in (directional / "results.json").read_text()


def test_a_directional_network_at_another_size_is_told_apart(directional, capsys):
    assert evaluate.main(["--run", str(directional), "INPUT.SIZE", "[96, 96]"]) == 4
    assert "for directional branches, INPUT.SIZE" in capsys.readouterr().err


@pytest.mark.parametrize("posterior", ["joint_fc", "mean_branch_prob"])
def test_it_teaches_a_two_stream_student_of_another_shape(
    tiny_command, directional, tmp_path, posterior
):
    """The student's images are resized for it."""
    options = (*SHORT, f"TEACHER.WEIGHTS={directional}", f"TEACHER.POSTERIOR={posterior}")
    precision = "PRECISION=bf16" if posterior == "joint_fc" else "PRECISION=fp32"
    assert train.main(tiny_command(tmp_path / "run", *options, precision)) == 0
    (row,) = metrics(tmp_path / "run")
    assert_weighted_sum(row, {"identity": 1.0, "distill_kl": 1.0}, rel=1e-4)
    assert "images resized to (64, 64) for it" in log_of(tmp_path / "run")


def loaded(tiny_command, tmp_path, *options):
    """A teacher without its student's training, and the student's splits."""
    words = tiny_command(tmp_path / "run", *options)
    cfg = load_config(None, words[2:], environment={})
    splits = build_splits(cfg)
    return load_teacher(cfg, splits, fingerprint(splits), device=CPU), cfg


def test_it_sees_the_batch_as_it_was_trained_to(tiny_command, finished_run, tmp_path):
    """Its own normalisation and size, whatever the student's."""
    options = ("INPUT.SIZE=[96, 48]", "INPUT.MEAN=[0.1, 0.2, 0.3]", "MODEL.MGIM.ENABLED=false")
    teacher, _ = loaded(tiny_command, tmp_path, f"TEACHER.WEIGHTS={finished_run}", *options)
    assert teacher.size == (64, 32) and teacher.mean == (0.485, 0.456, 0.406)
    images = torch.randint(256, (3, 3, 96, 48), dtype=torch.uint8)
    flags = torch.tensor([False, True, False])
    inputs = torch.nn.functional.interpolate(
        normalize(images, teacher.mean, teacher.std), (64, 32), mode="bilinear", antialias=True
    )
    with torch.no_grad():
        expected = teacher.module.model(inputs, flags).deep.logits
    assert torch.equal(teacher(images, flags).logits, expected)


def test_seed_and_split_stand_for_the_runs_own(tiny_command, finished_run, tmp_path):
    shutil.copytree(finished_run, tmp_path / "split1" / "seed7")
    weights = f"TEACHER.WEIGHTS={tmp_path}/split{{TRIAL}}/seed{{SEED}}"
    teacher, _ = loaded(tiny_command, tmp_path, weights, "SEED=7")
    assert "split1/seed7/checkpoints/last.pth" in teacher.origin


def test_the_selected_epoch_of_a_run_teaches(tiny_command, finished_run, tmp_path):
    run = shutil.copytree(finished_run, tmp_path / "best")
    chosen = ["SOLVER.SELECT", "best", "DATA.SPLIT", "train", "SOLVER.VAL_EVERY", "1"]
    cfg = apply_overrides(load_config(run / "config.yaml", environment={}), chosen)
    (run / "config.yaml").write_text(cfg.dump())
    (run / "checkpoints/last.pth").rename(run / "checkpoints/best.pth")
    teacher, _ = loaded(tiny_command, tmp_path, f"TEACHER.WEIGHTS={run}")
    assert "checkpoints/best.pth" in teacher.origin


def test_one_step_moves_the_student_as_the_divergence_says(tiny_command, finished_run, tmp_path):
    """T and T² reach the loss: of the first batch, computed by hand from both networks."""
    options = (*ONE_STEP, *SHORT, f"TEACHER.WEIGHTS={finished_run}", "DISTILL.WEIGHT=0.5")
    options += ("DISTILL.TEMPERATURE=2", "DISTILL.SCALE_T2=false")
    seen, step = [], Trainer.step

    def kept(self, batch):
        with torch.no_grad():
            own = self.wrapped(normalize(batch.images, self.mean, self.std), batch.is_infrared)
        seen.append((own.deep.logits, self.teacher(batch.images, batch.is_infrared).logits))
        return step(self, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", kept)
        assert train.main(tiny_command(tmp_path / "run", *options, "MODEL.BN_EVAL=true")) == 0
    (row,) = metrics(tmp_path / "run")
    kl = float(distillation_loss(*seen[0], 2.0, scale_t2=False))
    assert float(row["loss_distill_kl"]) == pytest.approx(kl, rel=1e-5)
    assert_weighted_sum(row, {"identity": 1.0, "distill_kl": 0.5})


FEATURES = (*SMALL, "DISTILL.WEIGHT=0", "DISTILL.FEATURE_WEIGHT=2", "DISTILL.RELATION_WEIGHT=5")


def test_features_of_a_teacher_of_other_identities(
    tiny_command, finished_run, tmp_path, monkeypatch, capsys
):
    """It has other widths, too; stopped and resumed equals undisturbed, with the projection."""
    options = (*FEATURES, "DATA.SPLIT=train", f"TEACHER.WEIGHTS={finished_run}")
    straight = tmp_path / "straight"
    assert train.main(tiny_command(straight, *options)) == 0
    weights = {"identity": 1.0, "triplet": 1.0, "distill_feature": 2.0, "distill_relation": 5.0}
    rows, checkpoint = metrics(straight), last(straight)
    for row in rows:
        assert_weighted_sum(row, weights)
        assert "teacher_accuracy" not in row
    assert float(rows[1]["loss_distill_feature"]) < float(rows[0]["loss_distill_feature"])
    (projection,) = checkpoint["criterion"].values()
    assert projection.shape == (128, checkpoint["model"]["head.bnneck.weight"].numel())
    assert [g["name"] for g in checkpoint["optimizer"]["param_groups"]][-1] == "criterion"
    assert "was trained with 2 of the 6 identities that this run holds out" in log_of(straight)
    arguments = tiny_command(tmp_path / "run", *options)
    with monkeypatch.context() as patch:
        stop_at_step(patch, 2, signal.SIGTERM)
        assert train.main(arguments) == 143
    assert train.main([*arguments, "--resume"]) == 0
    assert_same_training(tmp_path / "run", straight)
    capsys.readouterr()
    assert train.main([*arguments, "--resume", "DISTILL.FEATURE_WEIGHT", "0"]) == 2
    assert "DISTILL.FEATURE_WEIGHT: " in capsys.readouterr().err


def test_a_projection_fits_where_each_modality_has_its_own_norms(
    tiny_command, finished_run, tmp_path
):
    options = (*FEATURES, "MODEL.NORM_STATISTICS=separate", f"TEACHER.WEIGHTS={finished_run}")
    teacher, cfg = loaded(tiny_command, tmp_path, *options)
    splits = build_splits(cfg)
    model, _ = build_model(cfg, len(splits.train_pids))
    trainer = build_trainer(cfg, model, splits, device=CPU, world=World(), teacher=teacher)
    (projection,) = trainer.criterion.parameters()
    dim = model.head.bnneck.infrared.num_features
    assert projection.shape == (teacher.feature_dim, dim)
    assert replace(teacher, module=FrozenTeacher(model)).feature_dim == dim


@pytest.mark.slow
def test_two_processes_learn_one_projection(tiny_command, finished_run, tmp_path):
    extra = (*FEATURES, *ONE_STEP, f"TEACHER.WEIGHTS={finished_run}", "MODEL.BN_EVAL=true")
    assert train.main(tiny_command(tmp_path / "one", *extra)) == 0
    train_on_two(tiny_command(tmp_path / "two", *extra))
    for name in ("loss", "loss_distill_feature", "loss_distill_relation"):
        one, two = (column(tmp_path / folder, name) for folder in ("one", "two"))
        assert len(one) == 5 and two == pytest.approx(one, abs=1e-5)


@pytest.mark.slow
def test_two_processes_are_taught_what_one_is(tiny_command, finished_run, tmp_path):
    extra = (*ONE_STEP, *PLAIN, f"TEACHER.WEIGHTS={finished_run}", "MODEL.BN_EVAL=true")
    assert train.main(tiny_command(tmp_path / "one", *extra)) == 0
    train_on_two(tiny_command(tmp_path / "two", *extra))
    for name in ("loss", "loss_distill_kl", "teacher_accuracy"):
        columns = [column(tmp_path / folder, name) for folder in ("one", "two")]
        assert len(columns[0]) == 5
        assert columns[1] == pytest.approx(columns[0], abs=1e-5)


def test_compiling_covers_the_teachers_stages(tiny_command, finished_run, tmp_path, monkeypatch):
    compiled = []
    for place in ("engine.build", "runs.teacher"):
        monkeypatch.setattr(f"vireid.{place}.compile_stages", lambda s, device: compiled.extend(s))
    teacher, cfg = loaded(tiny_command, tmp_path, f"TEACHER.WEIGHTS={finished_run}", "COMPILE=true")
    splits = build_splits(cfg)
    student, _ = build_model(cfg, len(splits.train_pids))
    build_trainer(cfg, student, splits, device=CPU, world=World(), teacher=teacher)
    stages = [
        stage
        for network in (teacher.module.model, student)
        for part in ("visible", "infrared", "shared")
        for stage in getattr(network.backbone, part)
    ]
    assert len(stages) == 14 and [id(s) for s in compiled] == [id(s) for s in stages]
