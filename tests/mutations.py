"""Breaks the package on purpose, one fault at a time, and runs the tests that must notice it.

    python -m tests.mutations                      every mutation
    python -m tests.mutations "EMA never updated"  one of them, by its name
    python -m tests.mutations --training           also tests/engine/test_trained_scores.py

Prints a table of mutations and of the tests that fail; exits with 1 where none fails. The package
is copied to a temporary folder first. tests/test_mutations.py checks that every mutation still fits
the code. Tools such as mutmut and cosmic-ray make many small random faults; these few are the ones
that would silently spoil a training or its scores.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import json
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("vireid", "tests", "configs", "benchmarks", "tools", "pyproject.toml")
TRAINING = "tests/engine/test_trained_scores.py"
SHOWN = 3  # failed tests in a row of the table


@dataclass(frozen=True, slots=True)
class Mutation:
    """A fault.

    Args:
        name: what is wrong.
        path: the file, in the package.
        old, new: text that occurs there once, and what replaces it.
        tests: node ids of tests below ``tests``; at least one must fail.
    """

    name: str
    path: str
    old: str
    new: str
    tests: tuple[str, ...]

    def apply(self, package: Path) -> None:
        """Changes the file in a copy of the package."""
        file = package / self.path
        text = file.read_text(encoding="utf-8")
        assert text.count(self.old) == 1, f"{self.name}: {self.path} has not once {self.old!r}"
        file.write_text(text.replace(self.old, self.new), encoding="utf-8")


CRITERION = "losses/test_criterion.py::test_students_terms_by_hand"
MUTATIONS = (
    Mutation(
        "teacher and student swapped in SDM's KL",
        "losses/distillation.py",
        "F.kl_div(student, teacher,",
        "F.kl_div(teacher, student,",
        ("losses/test_distillation.py::test_hand_value_and_gradient", CRITERION),
    ),
    Mutation(
        "SDM: the deepest head learns from its students",
        "losses/build.py",
        "output.heads[student].logits.float(), teacher_logits(output)",
        "teacher_logits(output), output.heads[student].logits.float()",
        (CRITERION, "losses/test_criterion.py::test_gradient_reaches_the_teacher_only_when_it"),
    ),
    Mutation(
        "KL without detach",
        "losses/distillation.py",
        "teacher_logits = teacher_logits.detach()",
        "teacher_logits = teacher_logits * 1",
        (
            "losses/test_distillation.py::test_hand_value_and_gradient",
            "models/test_inference_model.py::test_students_send_no_gradient_into_conv5",
        ),
    ),
    Mutation(
        "KL without the factor T²",
        "losses/distillation.py",
        "divergence * temperature**2 if scale_t2",
        "divergence * temperature if scale_t2",
        ("losses/test_distillation.py",),
    ),
    Mutation(
        "labels shifted in one modality",
        "data/build.py",
        "[label_of[record.pid] for record in splits.train]",
        "[(label_of[r.pid] + int(r.modality)) % len(label_of) for r in splits.train]",
        ("data/test_build.py::test_training_labels_count_the_identities",),
    ),
    Mutation(
        "parts without relations",
        "models/build.py",
        "relation=options.RELATION,",
        'relation="none",',
        ("models/test_inference_model.py::test_deployed_parameters_of_other_relations",),
    ),
    Mutation(
        "relations computed and not used",
        "models/parts.py",
        "return list(related.split(",
        "return list(reduced.split(",
        ("models/test_parts.py::test_one_vs_rest_equals_loops",),
    ),
    Mutation(
        "the rest of a part holds the part itself",
        "models/part_relations.py",
        "others = related & ~torch.eye(len(related), dtype=torch.bool, device=related.device)",
        "others = related",
        ("models/test_parts.py",),
    ),
    Mutation(
        "infrared images never mirrored in training",
        "data/build.py",
        "            modality=Modality.INFRARED,\n",
        "            modality=Modality.INFRARED,\n            flip=0.0,\n",
        ("data/test_build.py::test_both_modalities_are_mirrored",),
    ),
    Mutation(
        "infrared images always mirrored in training",
        "data/dataset.py",
        "return LabelledImage(tensor,",
        "return LabelledImage(tensor.flip(2) if is_infrared else tensor,",
        ("data/test_build.py::test_both_modalities_are_mirrored", "data/test_dataset.py"),
    ),
    Mutation(
        "the same augmentation in every epoch",
        "data/dataset.py",
        "entropy = [self.seed, key.epoch, key.position, *(",
        "entropy = [self.seed, 0, key.position, *(",
        ("data/test_dataset.py::test_augmentation_differs_between_epochs_and_seeds",),
    ),
    Mutation(
        "an anchor is its own positive",
        "losses/triplet.py",
        "return same & ~itself, ~same",
        "return same, ~same",
        ("losses/test_triplet.py::test_loss_equals_a_plain_loop",),
    ),
    Mutation(
        "positives of other identities",
        "losses/triplet.py",
        "return same & ~itself, ~same",
        "return ~itself, ~same",
        ("losses/test_triplet.py::test_loss_equals_a_plain_loop",),
    ),
    Mutation(
        "the nearest positive instead of the furthest",
        "losses/triplet.py",
        "distances.masked_fill(~positive, -torch.inf).amax(dim=1)",
        "distances.masked_fill(~positive, torch.inf).amin(dim=1)",
        ("losses/test_triplet.py::test_loss_equals_a_plain_loop",),
    ),
    Mutation(
        "centres of both modalities together",
        "losses/triplet.py",
        "torch.unique(2 * labels + is_infrared.long(), return_inverse=True)",
        "torch.unique(2 * labels, return_inverse=True)",
        ("losses/test_triplet.py::test_hetero_center_compares_means_of_each_modality",),
    ),
    Mutation(
        "discrepancy of all rows instead of between modalities",
        "losses/cross_modal.py",
        "signed = visible - infrared",
        "signed = visible + infrared",
        ("losses/test_cross_modal.py::test_equal_modalities_cost_nothing",),
    ),
    Mutation(
        "a batch of one modality",
        "data/sampler.py",
        "            for m in Modality\n            if (pid, m) in packs",
        "            for m in [Modality.VISIBLE]\n            if (pid, m) in packs",
        ("data/test_sampler.py::test_a_batch_holds_p_identities_with_k_images_of_each",),
    ),
    Mutation(
        "images pass through the other modality's stream",
        "models/two_stream.py",
        "zip((self.visible, self.infrared), rows, strict=True)",
        "zip((self.infrared, self.visible), rows, strict=True)",
        ("models/test_two_stream.py::test_gradient_of_a_modalitys_rows_reaches_only_its",),
    ),
    Mutation(
        "rows of a mixed batch come back in another order",
        "models/two_stream.py",
        "torch.cat(rows).argsort()",
        "torch.cat(rows)",
        ("models/test_two_stream.py::test_each_row_of_a_mixed_batch",),
    ),
    Mutation(
        "norms of the modalities swapped",
        "models/modality_norm.py",
        "halves = (self.norm, inputs[:count]), (self.infrared, inputs[count:])",
        "halves = (self.infrared, inputs[:count]), (self.norm, inputs[count:])",
        ("models/test_modality_norm.py::test_training_normalises_each_half_by_itself",),
    ),
    Mutation(
        "GeM's exponent not trained",
        "models/pooling.py",
        "self.exponent = nn.Parameter(torch.tensor([float(exponent)]))",
        'self.register_buffer("exponent", torch.tensor([float(exponent)]))',
        ("models/test_pooling.py::test_gem_exponent_is_learnt_from_its_initial_value",),
    ),
    Mutation(
        "metric losses behind the BNNeck",
        "models/heads.py",
        "return HeadOutput(embedding, feature, self.classifier(feature))",
        "return HeadOutput(feature, feature, self.classifier(feature))",
        ("models/test_reid_model.py::test_heads_compute_pool_then_norm_then_classifier",),
    ),
    Mutation(
        "retrieval before the BNNeck",
        "models/inference_model.py",
        "self.bnneck(self.aggregate(maps)).float()",
        "self.aggregate(maps).float()",
        ("models/test_inference_model.py::test_every_exit_is_the_truncated_networks_own",),
    ),
    Mutation(
        "blocks of the feature count by their length",
        "models/inference_model.py",
        "torch.cat([F.normalize(block, dim=1) for block in blocks], dim=1)",
        "torch.cat(blocks, dim=1)",
        ("models/test_inference_model.py::test_blocks_are_brought_to_unit_length",),
    ),
    Mutation(
        "test-time flip of nothing",
        "models/inference_model.py",
        "self.network(images.flip(3), *flags)",
        "self.network(images, *flags)",
        ("models/test_inference_model.py::test_flip_averages_with_the_mirror_image",),
    ),
    Mutation(
        "loaded weights train while they are frozen",
        "engine/freezing.py",
        "parameter.requires_grad_(not frozen)",
        "parameter.requires_grad_(True)",
        ("engine/test_freezing.py::test_neither_decay_nor_momentum_moves_frozen_weights",),
    ),
    Mutation(
        "EMA never updated",
        "engine/averaging.py",
        "torch._foreach_lerp_(averages, values, 1 - decay)",
        "torch._foreach_lerp_(averages, values, 0.0)",
        ("engine/test_averaging.py::test_it_equals_a_plain_loop_over_the_steps",),
    ),
    Mutation(
        "no warm-up",
        "engine/optim.py",
        "return self._warmup(progress) * DECAYS",
        "return DECAYS",
        ("engine/test_schedule.py",),
    ),
    Mutation(
        "sign of the cosine distance",
        "evaluation/distance.py",
        "    np.negative(columns, out=columns)\n",
        "",
        ("evaluation/test_distance.py::test_distances_have_their_hand_values",),
    ),
    Mutation(
        "cameras of one room are not left out",
        "evaluation/protocols.py",
        "ignored_cameras=frozenset({(3, 2)}),",
        "ignored_cameras=frozenset(),",
        ("evaluation/test_ranking.py::test_seeded_sysu_equals_a_plain_loop",),
    ),
    Mutation(
        "average precision counts ranks from 0",
        "evaluation/metrics.py",
        "np.arange(1, matches + 1) / ranks",
        "np.arange(0, matches) / ranks",
        ("evaluation/test_metrics.py",),
    ),
)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the tests said of a mutation.

    Args:
        failed: node ids.
        problem: why they did not run, if so.
        seconds: it took.
    """

    failed: tuple[str, ...]
    problem: str
    seconds: float

    @property
    def text(self) -> str:
        """A cell of the table."""
        if self.problem or not self.failed:
            return f"**{self.problem or 'none'}**"
        names = dict.fromkeys(f"`{one.partition('[')[0]}`" for one in self.failed)
        more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
        return ", ".join(list(names)[:SHOWN]) + more


class _Failures:
    """A plugin of pytest: what ran and what failed."""

    def __init__(self) -> None:
        self.failed: list[str] = []
        self.count = 0

    def pytest_runtest_logreport(self, report) -> None:  # type: ignore[no-untyped-def]
        self.count += report.when == "call"
        if report.failed:
            self.failed.append(report.nodeid.removeprefix("tests/"))


def run_tests(copy: Path, tests: Sequence[str]) -> Outcome:
    """Runs tests of a copy in a child process, which inherits the imported libraries.

    Args:
        tests: node ids without parameters; a name may be cut short.
    """
    read, write = os.pipe()
    began = time.perf_counter()
    child = os.fork()
    if child == 0:
        with os.fdopen(write, "w") as pipe:
            json.dump(_run_here(copy, tests), pipe)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        text = pipe.read()
    os.waitpid(child, 0)
    failed, problem = json.loads(text) if text else ([], "the tests ended without a word")
    return Outcome(tuple(failed), problem, time.perf_counter() - began)


def _run_here(copy: Path, tests: Sequence[str]) -> tuple[list[str], str]:
    """Failed tests, and why none ran."""
    import pytest

    for name in [n for n in sys.modules if n.partition(".")[0] in ("vireid", "tests")]:
        del sys.modules[name]
    importlib.invalidate_caches()
    os.chdir(copy)
    files = dict.fromkeys(f"tests/{one.partition('::')[0]}" for one in tests)
    names = [one.partition("::")[2] for one in tests]
    chosen = ["-k", " or ".join(names)] if all(names) else []
    plugin, said = _Failures(), io.StringIO()
    options = ["-q", "-n", "0", "-x", "-p", "no:cacheprovider", "--no-header", "--tb=short"]
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
            code = pytest.main([*options, *files, *chosen], plugins=[plugin])
            used = Path(sys.modules["vireid"].__file__ or "").is_relative_to(copy)
    except BaseException:  # a child must not return into the parent's loop
        return [], traceback.format_exc(limit=1).strip().splitlines()[-1]
    if code not in (0, 1) or not (plugin.count or plugin.failed):
        return plugin.failed, f"pytest ended with {code}: {said.getvalue()[-300:]!r}"
    return plugin.failed, "" if used else "the tests imported another copy of the package"


@contextlib.contextmanager
def mutated(copy: Path, mutation: Mutation, number: int) -> Iterator[None]:
    """The copy with a fault, which is mended afterwards.

    Args:
        number: of the mutation. Bytecode is found by a file's size and the second of its change,
            so each fault gets a second of its own.
    """
    file = copy / "vireid" / mutation.path
    before, now = file.read_text(encoding="utf-8"), file.stat().st_mtime
    try:
        mutation.apply(copy / "vireid")
        os.utime(file, (now, now + 1 + number))
        yield
    finally:
        file.write_text(before, encoding="utf-8")
        os.utime(file, (now, now))


def _copied(folder: Path) -> Path:
    """The repository's code in a new folder, imported once, so that libraries are loaded."""
    ignore = shutil.ignore_patterns("__pycache__", "*.pyc")
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=ignore)
        else:
            shutil.copy(source, folder / name)
    sys.path[:0] = [str(folder), str(folder / "benchmarks")]
    os.environ["OMP_NUM_THREADS"] = "1"
    importlib.import_module("tests.conftest")
    return folder


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="mutations; without any, all of them")
    parser.add_argument("--training", action="store_true", help=f"also run {TRAINING}")
    options = parser.parse_args()
    unknown = set(options.names) - {one.name for one in MUTATIONS}
    if unknown:
        parser.error(f"no mutation is named {sorted(unknown)}")
    chosen = [one for one in MUTATIONS if not options.names or one.name in options.names]
    missed = 0
    with tempfile.TemporaryDirectory() as name:
        copy = _copied(Path(name).resolve())
        print(f"| fault | file | fails{' | training' * options.training} |")
        print("|---|---|---|" + "---|" * options.training)
        for number, mutation in enumerate(chosen):
            with mutated(copy, mutation, number):
                outcome = run_tests(copy, mutation.tests)
                cells = [mutation.name, f"`{mutation.path}`", outcome.text]
                if options.training:
                    found = run_tests(copy, [TRAINING.removeprefix("tests/")])
                    cells.append("fails" if found.failed else found.problem or "passes")
            missed += bool(outcome.problem) or not outcome.failed
            print("| " + " | ".join(cells) + " |", flush=True)
            print(f"{mutation.name}: {outcome.seconds:.0f} s", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
