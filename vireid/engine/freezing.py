"""Loaded weights that stay as they are in the first epochs, while the new ones train."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from vireid.models.reid_model import ReidModel


@dataclass(frozen=True, slots=True)
class Freeze:
    """Which weights of a model do not train, and how long.

    Args:
        epochs: so many at the beginning.
        names: in the model's state dict: of parameters, and of BatchNorm statistics.
    """

    epochs: int = 0
    names: frozenset[str] = frozenset()

    def lasts(self, epoch: int) -> bool:
        """Whether it holds in an epoch, counted from 0."""
        return epoch < self.epochs and bool(self.names)

    def set_gradients(self, model: nn.Module, frozen: bool) -> None:
        """Stops or resumes gradients; no optimiser moves a parameter without one."""
        for name, parameter in model.named_parameters():
            if name in self.names:
                parameter.requires_grad_(not frozen)
                parameter.grad = None

    def hold_statistics(self, model: nn.Module) -> None:
        """Has every BatchNorm with loaded statistics use them instead of the batch's."""
        for name, module in model.named_modules():
            if isinstance(module, _BatchNorm) and f"{name}.running_mean" in self.names:
                module.eval()

    def describe(self, model: ReidModel) -> str:
        """One line: which modules are frozen, which train, and how many parameters each has."""
        frozen = [(n, p.numel()) for n, p in model.named_parameters() if n in self.names]
        others = [(n, p.numel()) for n, p in model.named_parameters() if n not in self.names]
        return (
            f"in epochs 1 to {self.epochs}: {_parameters(frozen)}; training: {_parameters(others)}"
        )


def _parameters(sizes: Iterable[tuple[str, int]]) -> str:
    """``1,025 parameters (head 1,024, pool 1)``."""
    counts: Counter[str] = Counter()
    for name, size in sizes:
        module, _, rest = name.partition(".")
        counts[f"classifiers of {module}" if "classifier" in rest else module] += size
    modules = ", ".join(f"{module} {count:,}" for module, count in counts.items())
    return f"{counts.total():,} parameters ({modules})" if counts else "nothing"
