"""ORCA: align, then refine (Shen et al., ICML 2023)."""

from __future__ import annotations

from torch import Tensor

from xmft.alignment.otdd import SourceClasses, otdd
from xmft.methods.alignment import AlignmentConfig, alignment_stage, class_shares
from xmft.methods.method import Context, Method, fitting_stage, methods
from xmft.model import CrossModalModel
from xmft.stages import Batch, Stage


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

    class Config(AlignmentConfig):
        """Options of ORCA."""

    def stages(self, context: Context) -> list[Stage]:
        """Return alignment of the embedder by OTDD, then target fitting."""
        config = self.config
        classes = context.target_classes(config.clusters)
        features = context.source(config.source).features(context.device)
        source = SourceClasses(features.pooled, features.labels)
        shares = class_shares(classes, context.device)

        def objective(model: CrossModalModel, batch: Batch) -> dict[str, Tensor]:
            assert batch.classes is not None  # this stage has classes
            pooled = batch.gather(model.embed(batch.inputs).mean(dim=1))
            labels = batch.gather(batch.classes)
            return {"loss": otdd(source, pooled, labels, class_weights=shares)}

        return [alignment_stage(context, config, classes, objective), fitting_stage(context)]
