import pytest
import torch

from xmft.field_errors import nrmse, nrmse_pdebench
from xmft.metrics import LOSSES, METRICS


def test_of_a_zero_target_there_is_no_relative_error() -> None:
    truth = torch.tensor([[[0.0, 0.0]], [[0.0, 0.0]], [[3.0, 4.0]], [[3e-12, 4e-12]]])
    guess = torch.tensor([[[0.0, 0.0]], [[1e-9, 0.0]], [[3.0, 3.0]], [[3e-12, 3e-12]]])
    for metric in (nrmse, nrmse_pdebench):
        torch.testing.assert_close(metric(guess, truth), torch.tensor([0.0, 1.0, 0.2, 0.2]))
    guess.requires_grad_()
    nrmse(guess, truth).sum().backward()
    assert guess.grad is not None and guess.grad.isfinite().all()


@pytest.mark.parametrize("name", ["nrmse", "nrmse_pdebench"])
def test_a_loss_teaches_to_predict_zero_where_the_target_is(name: str) -> None:
    """Gradient descent on one target of zeros beside one of ones gets to both."""
    truth = torch.stack([torch.zeros(1, 16), torch.ones(1, 16)])
    guess = torch.full((2, 1, 16), 0.5, requires_grad=True)
    for step in range(400):
        (gradient,) = torch.autograd.grad(LOSSES[name](guess, truth).sum(), guess)
        # As large for the one as for the other, and not larger near the end.
        assert gradient.flatten(1).norm(dim=1).max() < 0.2501
        if step == 0:
            torch.testing.assert_close(gradient[0], gradient[1].neg())
        guess = (guess - 0.4 * 0.98**step * gradient).detach().requires_grad_()
    torch.testing.assert_close(guess.detach(), truth, atol=0.01, rtol=0)


def test_a_small_channel_counts_as_much_as_a_large_one() -> None:
    """A flow without its velocity, which is 1e-4 of the norm, is no good prediction."""
    truth = torch.stack([torch.full((8,), 100.0), torch.linspace(-1, 1, 8) * 1e-2])[None]
    still = truth * torch.tensor([1.0, 0.0])[:, None]
    assert METRICS["nrmse"].score(still, truth) < 1e-4
    assert METRICS["nrmse_pdebench"].score(still, truth) == pytest.approx(0.5)
    assert LOSSES["nrmse_pdebench"](still, truth).tolist() == pytest.approx([0.5])
