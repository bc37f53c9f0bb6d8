import itertools

import pytest
import torch
from torch import Tensor

from xmft.methods.patch_replacement import (
    iterated_top_k,
    relaxed_top_k,
    replace_tokens,
    top_k,
)


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("k", range(7))
def test_top_k_has_the_largest_sum_of_all_choices(k: int) -> None:
    scores = draw(5, 6)
    chosen = top_k(scores, k)
    assert chosen.sum(dim=1).tolist() == [k] * 5
    for row, marks in zip(scores, chosen, strict=True):
        best = max(sum(c) for c in itertools.combinations(row.tolist(), k))
        assert row[marks].sum().item() == pytest.approx(best)


def test_of_equal_scores_the_earlier_is_chosen() -> None:
    assert top_k(torch.tensor([[1.0, 2.0, 1.0, 1.0]]), 2).tolist() == [[True, True, False, False]]


@pytest.mark.parametrize("k", range(8))
@pytest.mark.parametrize("temperature", [0.05, 0.9, 20.0])
def test_degrees_add_up_and_rise_with_the_score(k: int, temperature: float) -> None:
    scores = 3 * draw(4, 7)
    degrees = relaxed_top_k(scores, k, temperature)
    torch.testing.assert_close(degrees.sum(dim=1), torch.full((4,), float(k)).double())
    assert ((degrees >= 0) & (degrees <= 1)).all()
    if 0 < k < 7:
        assert (degrees.gather(1, scores.argsort(dim=1)).diff(dim=1) >= 0).all()
        # What separates two tokens is the difference of their scores alone.
        odds = torch.logit(degrees) * temperature
        moderate = (degrees > 1e-6) & (degrees < 1 - 1e-6)
        for row in range(4):
            offset = (scores - odds)[row][moderate[row]]
            torch.testing.assert_close(offset, offset[:1].expand(len(offset)))


def test_cold_degrees_are_the_choice_itself() -> None:
    scores = draw(6, 9)
    assert torch.allclose(relaxed_top_k(scores, 4, 1e-4), top_k(scores, 4).double())


@pytest.mark.parametrize("k", [0, 1, 3, 5])
def test_the_gradient_of_degrees_is_that_of_the_whole_map(k: int) -> None:
    scores = draw(3, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda s: relaxed_top_k(s, k, 0.9), scores)


def test_extreme_scores_stay_finite() -> None:
    scores = torch.tensor([[1e4, -1e4, 0.0, 3.0]], requires_grad=True)
    degrees = relaxed_top_k(scores, 2, 0.9)
    degrees.square().sum().backward()
    assert degrees.detach().tolist() == [
        [1.0, 0.0, pytest.approx(0, abs=0.2), pytest.approx(1, abs=0.2)]
    ]
    assert scores.grad is not None and scores.grad.isfinite().all()


def by_hand(
    target: Tensor, source: Tensor, gates: tuple[Tensor, Tensor], k: int, replaces: str
) -> list[list[list[float]]]:
    mixed = []
    for x, s, gx, gs in zip(target, source, *gates, strict=True):
        out = sorted(range(len(x)), key=lambda i: gx[i].item(), reverse=replaces == "highest")[:k]
        into = sorted(range(len(s)), key=lambda i: -gs[i].item())[:k]
        row = x.tolist()
        for place, token in zip(sorted(out), sorted(into), strict=True):
            row[place] = s[token].tolist()
        mixed.append(row)
    return mixed


@pytest.mark.parametrize("replaces", ["lowest", "highest"])
@pytest.mark.parametrize(("t", "s", "k"), [(6, 4, 0), (6, 4, 3), (6, 4, 4), (4, 6, 4), (5, 5, 2)])
@pytest.mark.parametrize("temperature", [None, 0.9])
def test_tokens_change_places(
    replaces: str, t: int, s: int, k: int, temperature: float | None
) -> None:
    target, source = draw(3, t, 2), draw(3, s, 2, seed=1)
    gates = (draw(3, t, seed=2), draw(3, s, seed=3))
    mixed = replace_tokens(
        target,
        source,
        *gates,
        k=k,
        replaces=replaces,
        temperature=temperature,  # type: ignore[arg-type]
    )
    assert mixed.tolist() == by_hand(target, source, gates, k, replaces)


@pytest.mark.parametrize(("t", "s", "k"), [(4, 6, 5), (6, 4, 5), (4, 4, -1)])
def test_more_tokens_than_there_are_are_refused(t: int, s: int, k: int) -> None:
    with pytest.raises(ValueError, match="Cannot choose"):
        replace_tokens(draw(2, t, 3), draw(2, s, 3), draw(2, t), draw(2, s), k)


def test_the_gate_learns_from_the_relaxed_choice_alone() -> None:
    target, source = draw(3, 6, 2), draw(3, 5, 2, seed=1)
    for temperature in (None, 0.9):
        gates = [draw(3, 6, seed=2).requires_grad_(), draw(3, 5, seed=3).requires_grad_()]
        tokens = target.clone().requires_grad_()
        mixed = replace_tokens(tokens, source, gates[0], gates[1], 2, temperature=temperature)
        mixed.square().sum().backward()
        learned = [gate.grad is not None and bool(gate.grad.any()) for gate in gates]
        assert learned == [temperature is not None] * 2
        # Target tokens that made room have no say.
        assert tokens.grad is not None
        assert tokens.grad.any(dim=2).sum().item() == 3 * 4


def test_one_softmax_after_the_other_takes_k_tokens() -> None:
    scores = draw(4, 6)
    first = (scores / 0.9).softmax(dim=1)
    torch.testing.assert_close(iterated_top_k(scores, 1, 0.9), first)
    # The second draws from what the first has left: weights e^(s/t) (1 - first)^(1/t).
    left = (scores / 0.9).exp() * (1 - first) ** (1 / 0.9)
    second = left / left.sum(dim=1, keepdim=True)
    torch.testing.assert_close(iterated_top_k(scores, 2, 0.9), first + second)
    for k in range(7):
        total = iterated_top_k(scores, k, 0.9).sum(dim=1)
        torch.testing.assert_close(total, torch.full((4,), float(k)).double())
    assert torch.autograd.gradcheck(
        lambda s: iterated_top_k(s, 3, 0.9), draw(2, 4).requires_grad_()
    )


def test_cold_softmaxes_are_the_choice_itself() -> None:
    scores = draw(6, 9)
    assert torch.allclose(iterated_top_k(scores, 4, 1e-3), top_k(scores, 4).double(), atol=1e-6)


def test_iterated_replacement_moves_whole_tokens_with_the_gradient_of_the_degrees() -> None:
    target, source = draw(1, 5, 2), draw(1, 4, 2, seed=1)
    gates = [draw(1, 5, seed=2).requires_grad_(), draw(1, 4, seed=3).requires_grad_()]
    mixed = replace_tokens(target, source, *gates, 2, temperature=0.9, relaxation="iterated")
    rows = {tuple(row) for row in torch.cat([target, source], dim=1)[0].tolist()}
    assert {tuple(row) for row in mixed[0].tolist()} <= rows
    mixed.square().sum().backward()
    assert all(gate.grad is not None and gate.grad.abs().sum() > 0 for gate in gates)
