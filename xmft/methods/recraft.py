"""RECRAFT: feature alignment plus feature-label distortion (AISTATS 2026)."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field
from torch import nn

from xmft.alignment.wasserstein import Points
from xmft.backbones import Backbone
from xmft.methods.alignment_stage import (
    AlignmentConfig,
    Measurement,
    alignment_stage,
    class_shares,
)
from xmft.methods.method import Context, Method, fitting_stage, register
from xmft.methods.recraft_stages import (
    COUNTS,
    SUMS,
    alignment_alone,
    alignment_scale,
    distortion_stage,
    joint,
    relative_distance,
)
from xmft.methods.starting import started_model
from xmft.metrics import LOSSES
from xmft.source.predictor import PredictorConfig
from xmft.stages import Stage, epoch_steps, stratified_batches


@register
class Recraft(Method):
    """Minimise alignment distance, H(Z'|Z) and the task's loss, then fit the target.

    Stage 1 trains the target embedder phi and the head jointly on

        W_p(mean_t theta(u), mean_t phi(x)) / spread + weight * H(Z'|Z) / log K' + weight * loss

    with the encoder, the source embedder theta and the source predictor p_s(z|u) frozen. Z is the
    source label that p_s sees in phi(x), Z' the target label (or a cluster of targets), and

        H(Z'|Z) = sum_k w_k H(p_k) - H(sum_k w_k p_k) + H(Z'),   p_k = mean of p_s over class k.

    A batch has too few samples of each class where classes are many, and their means are then told
    apart whatever the labels; so p_k is a running mean over `class_memory` samples of the class,
    with the gradient through those of the batch. The spread is the root mean square distance of the
    source features from their mean, so that the two parts are of one size whatever the backbone.
    The terms of the bound are recorded before and after. The task's loss (`task_weight`) is no part
    of the publication: with it the features that come near to the source's stay those that tell
    the target, and the head is no longer random where fitting starts.

    Presets have the publication's two parts alone. Preset `paper` follows the paper's figure: W1,
    which a Lipschitz bound needs, p_s with bounded gradients, and phi frozen while the target is
    fitted.

    Preset `released` does what the public code does. Alignment comes first, by the debiased
    Sinkhorn divergence S_0.1 of the cost 1/2 |x - y|^2 on batches drawn without classes, with the
    rate in three parts. Distortion follows at a rate of its own, by the first sum of H(Z'|Z) alone
    (which a constant predictor minimises), on batches of one class; the head of p_s learns along.
    Both losses have the scale of the public code, which Adam does not see and SGD does: samples of
    the step per number of the task's batches in an epoch, in the class for distortion. p_s is
    trained for 30 epochs without bound on sequences, for 10 without and 10 with one on images
    (`vision_predictor`), its rate falling as a cosine. All of the model learns in fitting, and
    gradients are clipped there alone. The patch projection is drawn anew, on Swin too
    (`Recipe.patches`), which `paper` does as well. Not repeated: cross entropy on probabilities and
    the task's batches for p_s on sequences (32 here), the norms of its penalty that are taken over
    tokens alone and of the batch's mean loss, augmented source images, dropout inside a frozen
    encoder, and p_s applied to single tokens of dense targets.
    """

    name = "recraft"
    version = 3
    title = "lower alignment distance, feature-label distortion and task loss, then fit the target"
    uses_source = True
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "paper": {
            "start": "drawn",
            "alignment_rate": None,
            "schedule": "joint",
            "divergence": "wasserstein",
            "order": 1,
            "distortion": "conditional",
            "distortion_weight": 1.0,
            "task_weight": 0.0,
            "class_memory": 0,
            "freeze_embedder": True,
            "predictor": {"threshold": 0.4, "penalty_weight": 100.0},
        },
        "released": {
            "start": "drawn",
            "schedule": "sequential",
            "alignment_steps": 60,
            "alignment_batch": 132,
            "alignment_rate": None,
            "alignment_schedule": "thirds",
            "alignment_clip": False,
            "divergence": "sinkhorn",
            "distortion": "source_given_target",
            "task_weight": 0.0,
            "class_memory": 0,
            "loss_scale": "published",
            "label_epochs": 4,
            "label_batch": 28,
            "label_rate": 1e-4,
            "freeze_embedder": False,
            "clusters": 10,
            # 30 epochs of 4500 samples.
            "predictor": {
                "plain_steps": 4200,
                "bounded_steps": 0,
                "batch_size": 32,
                "learning_rate": 1e-4,
                "schedule": "cosine",
                "weight_decay": 0.05,
            },
            # 10 plain and 10 bounded epochs.
            "vision_predictor": {
                "plain_steps": 11250,
                "bounded_steps": 11250,
                "batch_size": 4,
                "learning_rate": 1e-4,
                "schedule": "cosine",
                "weight_decay": 0.05,
                "threshold": 0.4,
                "penalty_weight": 100.0,
            },
        },
    }

    preset_recipes: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        preset: {"patches": "redrawn", "amplitude": False} for preset in ("paper", "released")
    }

    class Config(AlignmentConfig):
        """Options of RECRAFT."""

        schedule: Literal["joint", "sequential"] = Field(
            "joint", description="both parts in one loss, or alignment and then distortion"
        )
        divergence: Literal["wasserstein", "sinkhorn"] = Field(
            "wasserstein", description="exact transport, or entropic and debiased"
        )
        order: int = Field(2, ge=1, le=2, description="order p of the Wasserstein distance")
        distortion: Literal["conditional", "source_given_target"] = Field(
            "conditional", description="H(Z'|Z), or H(Z|Z') alone"
        )
        distortion_weight: float = Field(1.0, ge=0, description="weight of it in a joint loss")
        task_weight: float = Field(
            1.0,
            ge=0,
            description="weight of the task's loss in a joint loss; the head then learns along",
        )
        class_memory: int = Field(
            32,
            ge=0,
            description="samples of a class, of earlier steps too, behind its mean prediction "
            "where a batch has fewer; 0: the batch alone",
        )
        label_epochs: int = Field(4, ge=1, description="epochs of distortion on its own")
        label_batch: int = Field(28, ge=2, description="samples in a step of it, of one class")
        label_rate: float = Field(1e-4, gt=0, description="learning rate of it")
        freeze_embedder: bool = Field(False, description="fit encoder and head alone")
        loss_scale: Literal["relative", "published"] = Field(
            "relative",
            description="of parts that are lowered one after the other: relative to the source's "
            "spread and to equal classes, or samples per number of batches, which SGD sees",
        )
        predictor: PredictorConfig = PredictorConfig()
        vision_predictor: PredictorConfig | None = Field(
            None, description="source predictor of vision encoders; null: `predictor`"
        )

        def predictor_of(self, backbone: Backbone) -> PredictorConfig:
            """Return how the source predictor of a backbone is trained."""
            if backbone.modality == "vision" and self.vision_predictor is not None:
                return self.vision_predictor
            return self.predictor

    def model(self, context: Context) -> nn.Module:
        """Return the model; with the head of p_s as a part where that learns along.

        The memory of class means is part of its state, and so of checkpoints.
        """
        config = self.config
        model = started_model(context, config.start, config.source, config.clusters)
        if config.schedule == "joint" and config.distortion_weight == 0:
            return model
        source = context.source(config.source)
        wanted = config.predictor_of(context.required_backbone)
        predictor = source.predictor(wanted, context.device)
        if config.class_memory > 0:
            classes = context.target_classes(config.clusters)
            counts = torch.zeros_like(class_shares(classes, context.device))
            sums = counts.new_zeros(len(counts), len(predictor.bias))
            model.register_buffer(SUMS, sums)
            model.register_buffer(COUNTS, counts)
        if config.schedule == "sequential":
            head = nn.Linear(*predictor.weight.T.shape)
            head.load_state_dict({"weight": predictor.weight, "bias": predictor.bias})
            model.add_module("source_head", head)
        return model

    def stages(self, context: Context) -> list[Stage]:
        """Return stage 1, in one part or two, then target fitting."""
        config = self.config
        classes = context.target_classes(config.clusters)
        predictor = config.predictor_of(context.required_backbone)
        terms = Measurement(context, config, predictor, classes)
        measure = terms if config.measure_bound else None
        stage = partial(alignment_stage, context, config, classes, measure=measure)
        points = Points(context.source(config.source).features(context.device).pooled)
        distance = relative_distance(config, points)
        if config.schedule == "joint":
            # Without distortion nothing but the measuring needs the source predictor.
            bound = terms.bound if config.distortion_weight > 0 else None
            task_loss = LOSSES[context.data.task.loss]
            learns = ("embedder", "head") if config.task_weight > 0 else ("embedder",)
            first = [stage(joint(config, bound, distance, task_loss), trains=learns)]
        else:
            steps = epoch_steps(config.alignment_steps)
            anything = np.zeros_like(classes)
            batches = stratified_batches(anything, config.alignment_batch, steps, context.seed)
            first = [
                stage(
                    alignment_alone(distance, alignment_scale(context, config, points)),
                    batches=batches,
                ),
                distortion_stage(context, config, terms.bound, classes),
            ]
        trains = ("encoder", "head") if config.freeze_embedder else ("embedder", "encoder", "head")
        return [*first, fitting_stage(context, trains=trains)]
