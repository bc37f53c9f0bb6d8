"""ORCA: align, then refine (Shen et al., ICML 2023)."""

from __future__ import annotations

import torch
from pydantic import Field
from torch import Tensor

from xmft.alignment.otdd import SourceClasses, otdd
from xmft.methods.method import Context, Method, MethodConfig, fitting_stage, methods
from xmft.model import CrossModalModel
from xmft.sources import SourceConfig
from xmft.stages import Batch, Stage, epoch_steps, stratified_batches


@methods.register("orca")
class Orca(Method):
    """Train the embedder to bring the target near the source in OTDD, then fine-tune everything.

    Differences from the public code, all of them on purpose: stratified mini-batches with an
    optimizer step each instead of one step per epoch; exact transport instead of an absolute
    entropic blur; the label distance carries gradient; k-means labels of dense targets are
    seeded and taken on standardised principal components.
    """

    name = "orca"
    version = 1
    title = "align token features with the source by class-weighted OTDD, then fine-tune"
    uses_source = True

    class Config(MethodConfig):
        """Options of ORCA; steps are the published 60 epochs of one step each."""

        alignment_steps: int = Field(60, ge=1, description="optimizer steps of stage 1")
        alignment_batch: int = Field(128, ge=4, description="target samples in a step (global)")
        alignment_rate: float = Field(1e-3, gt=0, description="learning rate of stage 1")
        clusters: int = Field(10, ge=2, description="classes made of dense targets")
        source: SourceConfig = SourceConfig()

    def stages(self, context: Context) -> list[Stage]:
        """Return alignment of the embedder by OTDD, then target fitting."""
        config = self.config
        classes = context.target_classes(config.clusters)
        features = context.source(config.source).features(context.device)
        source = SourceClasses(features.pooled, features.labels)
        shares = torch.bincount(torch.from_numpy(classes)).to(context.device) / len(classes)

        def objective(model: CrossModalModel, batch: Batch) -> dict[str, Tensor]:
            assert batch.classes is not None  # this stage has classes
            pooled = batch.gather(model.embed(batch.inputs).mean(dim=1))
            labels = batch.gather(batch.classes)
            return {"loss": otdd(source, pooled, labels, class_weights=shares)}

        steps = epoch_steps(config.alignment_steps)
        alignment = Stage(
            name="alignment",
            trains=("embedder",),
            objective=objective,
            batches=stratified_batches(classes, config.alignment_batch, steps, context.seed),
            epochs=config.alignment_steps // steps,
            learning_rate=config.alignment_rate,
            classes=classes,
        )
        return [alignment, fitting_stage(context)]
