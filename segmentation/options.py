"""What a training run can be told."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from viewcov.segmentation.crops import CropOptions
from viewcov.segmentation.models import Architecture


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """How a model is trained. Equal options, seed and data give equal weights on the same machine."""

    num_steps: int = 2500
    """Steps of the optimiser."""

    batch: int = 8
    """Crops a step."""

    learning_rate: float = 3e-3
    """Its highest value: it rises over the first fifth of the steps and falls to 0 along a cosine."""

    weight_decay: float = 1e-4
    """Decoupled weight decay of AdamW."""

    positive_weight: float = 1.0
    """Weight of defective pixels in the binary cross-entropy. 1 keeps the probabilities honest."""

    dice_weight: float = 0.0
    """Weight of an added Dice loss over each batch."""

    validate_every: int = 250
    """Steps between validations; each leaves a checkpoint."""

    num_threads: int = 2
    """Threads of torch. The last bits of sums depend on it, so the machine does not choose."""

    crops: CropOptions = field(default_factory=CropOptions)
    """How crops are taken and varied."""

    architecture: Architecture = field(default_factory=Architecture)
    """What is trained."""

    def __post_init__(self) -> None:
        for name, least in (("num_steps", 1), ("batch", 2), ("validate_every", 1), ("num_threads", 1)):
            if getattr(self, name) < least:
                raise ValueError(f"{name} must be at least {least}, got {getattr(self, name)}")
        for name in ("learning_rate", "positive_weight"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, got {getattr(self, name)}")
        for name in ("weight_decay", "dice_weight"):
            if not getattr(self, name) >= 0:
                raise ValueError(f"{name} must be at least 0, got {getattr(self, name)}")


def learning_rate_at(step: int, options: TrainingOptions) -> float:
    """Learning rate of a step: a function of the step alone, so that nothing is lost with a killed run."""
    warm = max(1, options.num_steps // 5)
    if step < warm:
        return options.learning_rate * (0.04 + 0.96 * (1 - math.cos(math.pi * step / warm)) / 2)
    done = (step - warm) / max(1, options.num_steps - warm)
    return options.learning_rate * (1 + math.cos(math.pi * done)) / 2
