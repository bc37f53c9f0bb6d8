"""What comes out of training: the model, its scores, and a way to predict."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from xmft.evaluation import forward_pass
from xmft.flops import plus
from xmft.model import StandardisedModel
from xmft.recipe import Recipe
from xmft.records import FitResult


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A trained model with everything that was measured on the way.

    Attributes:
        model: With the parameters that validation chose, unless the last epoch is the best; from
            inputs in physical units to fields in physical units, or to logits.
        result: Scores, curves, measured terms and times.
        prepare_s: Seconds spent on the model, the source's artefacts and classes, before stage 1.
        base_s: Seconds spent on the closed form that the model stands on, if it does.
    """

    model: nn.Module
    result: FitResult
    prepare_s: float
    base_s: float = 0.0
    device: torch.device
    recipe: Recipe

    @property
    def flops(self) -> int | None:
        """Floating-point operations of the run, see `FitResult`; None where some are unknown."""
        return plus(*self.result.flops.values())

    @property
    def scores(self) -> dict[str, float]:
        """Every metric on the test split, of the epoch that validation chose."""
        return self.scored("test", "best_val")

    def scored(self, split: str, selection: str) -> dict[str, float]:
        """Return every metric of a split (`val`, `test`) under a selection.

        Selections are `best_val` and `last`, and `base`: the closed form alone on which the network
        stands, if it does.
        """
        return {
            score.metric: score.value
            for score in self.result.scores
            if (score.split, score.selection) == (split, selection)
        }

    @property
    def params(self) -> int:
        """Number of parameters, with the coefficients of the closed form that it stands on."""
        model = self.model
        base = model.closed_form if isinstance(model, StandardisedModel) else None
        own = sum(parameter.numel() for parameter in model.parameters())
        return own + (base.params if base is not None else 0)

    @property
    def trainable_params(self) -> int:
        """Number of parameters that the last stage trained."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def predict(self, inputs: npt.ArrayLike) -> npt.NDArray[np.float32]:
        """Return predictions for decoded inputs `[n, channels, *grid]`, all in one batch."""
        self.model.eval()
        batch = torch.as_tensor(np.asarray(inputs, dtype=np.float32), device=self.device)
        with torch.inference_mode(), forward_pass(self.device, self.recipe.precision):
            output: torch.Tensor = self.model(batch)
        return output.float().cpu().numpy()
