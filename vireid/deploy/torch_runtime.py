"""A trained network run by torch itself, on any of its devices."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import numpy as np
import torch
from torch import nn

from vireid.deploy.runtimes import Run
from vireid.deploy.trained import TrainedNetwork, UnitFeatures
from vireid.engine.device import resolve_device, use_threads
from vireid.structures import Modality


def open_torch(
    trained: TrainedNetwork, threads: int = 0, precision: str = "fp32", device: str = "auto"
) -> Mapping[str, Run]:
    """What computes each modality's features.

    Args:
        threads: of the whole process's operations; 0 leaves them as they are.
        precision: fp32, or bf16: autocast, with the channels of maps side by side in memory, as
            the processor's bfloat16 kernels like them.
        device: auto, cpu, cuda or cuda:N.
    Raises:
        UsageError: no such device.
    """
    use_threads(threads)
    place = resolve_device(device)
    network = UnitFeatures(trained.network, flip=trained.card.flip).to(place).eval()
    if precision == "bf16":
        network = network.to(memory_format=torch.channels_last)
    run = partial(_run, network, place, precision == "bf16")
    return {name: partial(run, name) for name in trained.card.modalities}


@torch.inference_mode()
def _run(
    network: nn.Module, device: torch.device, half: bool, modality: str, images: np.ndarray
) -> np.ndarray:
    inputs = torch.from_numpy(images).to(device)
    if half:
        inputs = inputs.contiguous(memory_format=torch.channels_last)
    infrared = modality == Modality.INFRARED.name.lower()
    flags = torch.full((len(inputs),), infrared, device=device)
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
        return network(inputs, flags).float().cpu().numpy()
