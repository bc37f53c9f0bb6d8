"""Speed of fitting on a GPU: samples per second, share of the card's peak, ratio to fp32 eager.

    python -m performance.gpu [--backbone NAME] [--batch 64] [--tokens 256]
    python -m performance.gpu --device cpu --small     # the same code, for a try

The model is the architecture of roberta-base with random weights, made from its configuration and
not downloaded, which is as fast as the real one; `--backbone` takes any other. It is fitted to
random fields that lie on the device, by the steps that every cell takes: gather a batch, forward,
backward, clip, update. Four ways, each with what the one before it has:

* fp32 eager: no TF32, attention as separate products, an optimizer that is not fused
* bf16: autocast of the forward pass (`precision: bfloat16`)
* fused: fused optimizer and scaled_dot_product_attention, as cells have them by default
* compile: torch.compile of the forward pass (`compile: true`)

They are run in turn, several times; figures are medians, ratios are taken within a turn. The share
of the peak counts the matrix products of one step, forward and backward, by torch's flop counter.

Then the two ways to a distance between source and target features at the published size are timed
forward and backward: exact transport, whose simplex runs on the CPU, and the entropic divergence
on the device. Exact transport is the default everywhere; on a GPU neither has been measured yet.
"""

from __future__ import annotations

import argparse
import copy
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from performance.cards import peak_tflops, seconds_of
from xmft.alignment.sinkhorn import Blurred, sinkhorn_divergence
from xmft.alignment.wasserstein import Points, wasserstein
from xmft.backbones import Backbone, load_backbone
from xmft.backbones.text import take_apart
from xmft.gradients import Gradient, StageObjective
from xmft.optimizers import make_optimizer
from xmft.samples import Samples
from xmft.session import Session
from xmft.task import Precision, Recipe, TaskData
from xmft.training import Assembled, assemble

_SAMPLES, _POINTS, _SIDE = 1024, 1024, 64
_WARM_UP = 3
_SOURCE, _TARGET, _CHANNELS, _BLUR = 5000, 128, 768, 0.1


@dataclass(frozen=True, kw_only=True)
class Variant:
    """One way to fit."""

    name: str
    precision: Precision = "bfloat16"
    attention: str = "sdpa"
    fused: bool = True
    compiled: bool = False


VARIANTS = (
    Variant(name="fp32 eager", precision="float32", attention="eager", fused=False),
    Variant(name="bf16", attention="eager", fused=False),
    Variant(name="bf16, fused, SDPA"),
    Variant(name="bf16, fused, SDPA, compile", compiled=True),
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """How much is done.

    Attributes:
        batch: Samples in a step.
        tokens: Longest sequence.
        steps: Steps that are timed together.
        turns: How often each variant is timed.
        transport: Source samples, target samples and channels of the distances.
    """

    batch: int
    tokens: int
    steps: int
    turns: int
    transport: tuple[int, int, int] = (_SOURCE, _TARGET, _CHANNELS)


def random_roberta(*, small: bool) -> Backbone:
    """Return roberta-base with random weights, or something much smaller; nothing is read."""
    from transformers import RobertaConfig, RobertaModel

    # The vocabulary is that of the source, which takes no part in fitting.
    config: dict[str, Any] = {
        "vocab_size": 100,
        "max_position_embeddings": 514,
        "hidden_dropout_prob": 0.0,
        "attention_probs_dropout_prob": 0.0,
    }
    if small:
        config |= {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}
        config |= {"intermediate_size": 64}
    body = RobertaModel(RobertaConfig(**config)).eval()
    return take_apart(body, "roberta-base, random weights", "random", _no_tokenizer)


def _no_tokenizer(texts: list[str]) -> list[list[int]]:
    raise ValueError("A backbone without files has no tokenizer.")


class Fitting:
    """The steps of target fitting in one of the four ways, warmed up."""

    def __init__(self, cell: Assembled, variant: Variant) -> None:
        session = Session()
        session.device = cell.device
        self._model = copy.deepcopy(cell.model)
        _set_attention(self._model, variant.attention)
        (self._stage,) = cell.stages
        self._objective = StageObjective(self._model, self._stage, compiled=variant.compiled)
        self._gradient = Gradient(
            session,
            Samples(cell.data.train, cell.device),
            precision=variant.precision,
            micro_batch=None,
        )
        self._optimizer = make_optimizer(list(self._model.parameters()), cell.recipe, 1e-4)
        # Before the first step this is as if it had been made so.
        for group in self._optimizer.param_groups:
            group["fused"] = variant.fused
        size = cell.recipe.batch_size
        self._batches = [b for b in self._stage.batches(0) if len(b) == size]

    def step(self, number: int) -> None:
        """Take a step."""
        self._optimizer.zero_grad(set_to_none=True)
        batch = self._batches[number % len(self._batches)]
        self._gradient.accumulate(self._stage, self._objective, batch, step=number, steps=1)
        nn.utils.clip_grad_norm_(self._model.parameters(), 1.0)
        self._optimizer.step()


def _set_attention(model: nn.Module, name: str) -> None:
    for module in model.modules():
        if (config := getattr(module, "config", None)) is not None:
            config._attn_implementation = name


def _flops(fitting: Fitting) -> int:
    """Count the matrix products of a step; attention must be eager, whose products are seen."""
    with FlopCounterMode(display=False) as counter:
        fitting.step(0)
    return int(counter.get_total_flops())


def _data(backbone: Backbone) -> TaskData:
    """Return random fields: one axis for a text encoder, two for a vision encoder."""
    grid = (_POINTS,) if backbone.modality == "text" else (_SIDE, _SIDE)
    fields = np.random.default_rng(0).standard_normal((2, _SAMPLES, 1, *grid)).astype(np.float32)
    pair = fields[0], fields[1]
    return TaskData.from_arrays("performance/random", train=pair, val=pair, test=pair, kind="dense")


def fit_in_turns(backbone: Backbone, sizes: Sizes, device: torch.device) -> None:
    """Time the four ways and print what was found."""
    recipe = Recipe(batch_size=sizes.batch, max_tokens=sizes.tokens)
    data = _data(backbone)
    cell = assemble(data, "nft", backbone=backbone, recipe=recipe, device=device)
    fittings = [Fitting(cell, variant) for variant in VARIANTS]
    flops = _flops(fittings[0])
    for fitting in fittings:
        seconds_of(fitting.step, _WARM_UP, device)
    turns = [
        [seconds_of(fitting.step, sizes.steps, device) / sizes.steps for fitting in fittings]
        for _ in range(sizes.turns)
    ]
    card = torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
    peak = peak_tflops(card)
    count = sum(parameter.numel() for parameter in cell.model.parameters())
    print(
        f"{card}, torch {torch.__version__}, {backbone.id}, {count / 1e6:.1f} million parameters, "
        f"batches of {sizes.batch}, {flops / 1e12:.3g} TFLOP a step, medians of {sizes.turns} "
        f"turns of {sizes.steps} steps"
    )
    if peak is None:
        print("The bf16 peak of this card is not in the table, so no share of it is given.")
    for number, variant in enumerate(VARIANTS):
        seconds = statistics.median(turn[number] for turn in turns)
        ratio = statistics.median(turn[0] / turn[number] for turn in turns)
        speed = flops / seconds / 1e12
        share = "" if peak is None else f", {speed / peak:.0%} of the bf16 peak ({peak})"
        print(
            f"{variant.name}: {sizes.batch / seconds:.0f} samples/s, {speed:.3g} TFLOP/s{share}, "
            f"{ratio:.2f} times fp32 eager"
        )


def _with_gradient(way: Callable[[Tensor], Tensor], features: Tensor, _: int) -> None:
    way(features.clone().requires_grad_()).backward()


def transport_in_turns(sizes: Sizes, device: torch.device) -> None:
    """Time both distances and print what was found."""
    source, target, channels = sizes.transport
    generator = torch.Generator().manual_seed(0)
    points = Points(torch.randn(source, channels, generator=generator).to(device))
    moving = (torch.randn(target, channels, generator=generator) + 0.1).to(device)
    blurred = Blurred(points, epsilon=_BLUR)
    ways: dict[str, Callable[[Tensor], Tensor]] = {
        "exact, simplex on the CPU": lambda y: wasserstein(points, y),
        f"entropic, blur {_BLUR}": lambda y: sinkhorn_divergence(blurred, y),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(sizes.turns + 1):
        for name, way in ways.items():
            seconds = seconds_of(partial(_with_gradient, way, moving), 1, device)
            if turn:  # the first one warms up
                times[name].append(seconds)
    print(f"distance of {source} x {target} samples of {channels} channels, with its gradient")
    for name, seconds_found in times.items():
        print(f"{name}: {1e3 * statistics.median(seconds_found):.1f} ms")


def main(arguments: Sequence[str] | None = None) -> None:
    """Print samples per second, shares of the peak and ratios."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--backbone", help="a name, hub id or folder instead of random weights")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--tokens", type=int, default=256)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--small", action="store_true", help="a tiny model and few steps")
    options = parser.parse_args(arguments)
    device = torch.device(options.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise SystemExit(
            "make gpu measures fitting on a GPU, and torch sees none here; "
            "--device cpu --small runs the same code in small."
        )
    # On by default for convolutions, which would favour the fp32 figures of a Swin.
    torch.backends.cudnn.allow_tf32 = False
    sizes = Sizes(
        batch=options.batch, tokens=options.tokens, steps=options.steps, turns=options.turns
    )
    if options.small:
        sizes = Sizes(batch=8, tokens=16, steps=2, turns=1, transport=(50, 12, 8))
    if options.backbone:
        backbone = load_backbone(options.backbone)
    else:
        backbone = random_roberta(small=options.small)
    fit_in_turns(backbone, sizes, device)
    transport_in_turns(sizes, device)


if __name__ == "__main__":
    main()
