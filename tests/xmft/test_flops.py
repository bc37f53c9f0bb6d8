import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.flop_counter import FlopCounterMode

from xmft.flops import add, counted, uncounted


def count_of(work: Callable[[], object]) -> int | None:
    with counted() as count:
        work()
    return count.total


def trained(module: nn.Module, inputs: Tensor) -> Callable[[], object]:
    return lambda: module(inputs).sum().backward()


def test_a_linear_model_takes_2mnk_and_twice_that_backward() -> None:
    m, k, n = 7, 5, 3
    model, inputs = nn.Linear(k, n), torch.randn(m, k)
    assert count_of(lambda: model(inputs)) == 2 * m * n * k
    # Inputs that need no gradient save one of the two products.
    assert count_of(trained(model, inputs)) == 2 * 2 * m * n * k
    assert count_of(trained(model, inputs.requires_grad_())) == 3 * 2 * m * n * k


def test_training_inference_and_half_precision_take_the_same() -> None:
    model, inputs = nn.Sequential(nn.Linear(5, 4), nn.GELU(), nn.Linear(4, 3)), torch.randn(7, 5)
    wanted = 2 * 7 * (5 * 4 + 4 * 3)
    assert count_of(lambda: model(inputs)) == wanted
    with torch.inference_mode():
        assert count_of(lambda: model(inputs)) == wanted
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert count_of(lambda: model(inputs)) == wanted


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
def test_a_transformer_layer_is_its_matrix_products(mode: Callable[[], object]) -> None:
    batch, tokens, width, heads, hidden = 2, 6, 8, 2, 16

    class Layer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.mix, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
            self.wide, self.narrow = nn.Linear(width, hidden), nn.Linear(hidden, width)
            self.norm = nn.LayerNorm(width)

        def forward(self, x: Tensor) -> Tensor:
            parts = self.mix(self.norm(x)).view(batch, tokens, 3, heads, -1).permute(2, 0, 3, 1, 4)
            mixed = scaled_dot_product_attention(*parts).transpose(1, 2).flatten(2)
            x = x + self.out(mixed)
            output: Tensor = x + self.narrow(torch.relu(self.wide(self.norm(x))))
            return output

    layer, x = Layer(), torch.randn(batch, tokens, width)
    rows = batch * tokens
    linear = 2 * rows * (width * 3 * width + width * width + 2 * width * hidden)
    # Queries with keys, and weights with values.
    attention = 2 * (2 * batch * tokens * tokens * width)
    with mode():  # type: ignore[attr-defined]
        assert count_of(lambda: layer(x)) == linear + attention
    if mode is torch.enable_grad:
        # The fused kernel keeps no weights: backward makes them again before its four products.
        back = 2 * linear + 2.5 * attention
        assert count_of(trained(layer, x)) == linear + attention + back


@pytest.mark.parametrize(
    "module, shape",
    [
        (nn.Conv1d(3, 5, 3, padding=1), (2, 3, 16)),
        (nn.Conv2d(3, 6, 3, stride=2), (2, 3, 9, 9)),
        (nn.ConvTranspose2d(3, 5, 2, stride=2), (2, 3, 4, 4)),
        (nn.Sequential(nn.Conv1d(3, 4, 1), nn.Tanh(), nn.Conv1d(4, 2, 5)), (2, 3, 16)),
    ],
)
def test_convolutions_are_counted_as_torch_does(module: nn.Module, shape: tuple[int, ...]) -> None:
    inputs = torch.randn(shape, requires_grad=True)
    with FlopCounterMode(display=False) as theirs:
        trained(module, inputs)()
    assert count_of(trained(module, inputs)) == theirs.get_total_flops() > 0


def test_a_grouped_convolution_is_one_of_each_group() -> None:
    groups = nn.Conv1d(6, 4, 3, groups=2)
    half = nn.Conv1d(3, 2, 3)
    whole = count_of(trained(groups, torch.randn(2, 6, 16, requires_grad=True)))
    part = count_of(trained(half, torch.randn(2, 3, 16, requires_grad=True)))
    assert part is not None and whole == 2 * part


def test_fourier_transforms_take_5nlogn_and_half_of_it_for_real_numbers() -> None:
    real, complex_ = torch.randn(3, 64), torch.randn(3, 64, dtype=torch.complex64)
    assert count_of(lambda: torch.fft.fft(complex_)) == 3 * 5 * 64 * 6
    assert count_of(lambda: torch.fft.rfft(real)) == 3 * 5 * 64 * 6 / 2
    assert count_of(lambda: torch.fft.irfft(complex_[:, :33], n=64)) == 3 * 5 * 64 * 6 / 2
    # In two dimensions each row and each column is one of its own.
    square = torch.randn(8, 16, dtype=torch.complex64)
    assert count_of(lambda: torch.fft.fft2(square)) == 5 * (8 * 16 * 4 + 16 * 8 * 3)


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.inference_mode])
def test_a_fourier_operator_is_its_transforms_products_and_convolutions(
    mode: Callable[[], object],
) -> None:
    pytest.importorskip("neuralop")
    from xmft.operators.fno import FourierOperator

    n, points, width, modes, layers = 3, 32, 8, 4, 2
    model = FourierOperator((2, 1), (points,), modes=modes, width=width, layers=layers)
    network = model.network
    pointwise = sum(
        2 * n * points * part.weight.numel()
        for part in network.modules()
        if isinstance(part, nn.Conv1d)
    )
    transforms = layers * 2 * (n * width * 2.5 * points * math.log2(points))
    # A complex multiplication with an addition takes 8; of real spectra modes + 1 are kept.
    spectral = layers * 8 * n * width * width * (modes + 1)
    with mode():  # type: ignore[attr-defined]
        found = count_of(lambda: model(torch.randn(n, 2, points)))
    assert found == pointwise + transforms + spectral


def spd(n: int) -> Tensor:
    matrix = torch.randn(n, n, dtype=torch.float64)
    return matrix @ matrix.T + n * torch.eye(n)


N, M = 12, 5


@pytest.mark.parametrize(
    "work, wanted",
    [
        (lambda a, b: torch.linalg.cholesky(a), N**3 / 3),
        (lambda a, b: torch.linalg.eigh(a), 9 * N**3),
        (lambda a, b: torch.linalg.eigvalsh(a), 9 * N**3),
        (lambda a, b: torch.cholesky_solve(b, a), 2 * N**2 * M),
        (lambda a, b: torch.linalg.solve_triangular(a, b, upper=True), N**2 * M),
        (lambda a, b: torch.linalg.solve(a, b), 2 * N**3 / 3 + 2 * N**2 * M),
        (lambda a, b: torch.linalg.solve(a, b[:, 0]), 2 * N**3 / 3 + 2 * N**2),
        (lambda a, b: torch.linalg.inv(a), 2 * N**3),
        (lambda a, b: torch.linalg.svd(a), 22 * N**3),
        (lambda a, b: torch.linalg.svdvals(a), 22 * N**3),
        (lambda a, b: torch.linalg.qr(b), 4 * M**2 * (N - M / 3)),
        (lambda a, b: a @ b[:, 0], 2 * N**2),
        (lambda a, b: b[:, 0] @ b[:, 0], 2 * N),
        (lambda a, b: torch.stack([a, a]) @ b, 2 * 2 * N**2 * M),
        (lambda a, b: torch.cdist(a, a, compute_mode="donot_use_mm_for_euclid_dist"), 3 * N**3),
        (lambda a, b: a.relu().sum() + a.softmax(0).norm(), 0),
    ],
)  # fmt: skip
def test_decompositions_take_what_the_book_says(
    work: Callable[[Tensor, Tensor], object], wanted: float
) -> None:
    a, b = spd(N), torch.randn(N, M, dtype=torch.float64)
    for mode in (torch.enable_grad, torch.inference_mode):
        with mode():
            assert count_of(lambda: work(a, b)) == round(wanted)


def test_what_nobody_knows_is_unknown_and_changes_nothing() -> None:
    matrix = torch.randn(4, 4)
    with counted() as count:
        found = torch.linalg.matrix_exp(matrix)
    assert count.total is None
    assert torch.equal(found, torch.linalg.matrix_exp(matrix))
    # Attention in one kernel, as torch's own layer has it in inference.
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    with torch.inference_mode():
        assert count_of(lambda: layer(torch.randn(2, 3, 8))) is None


def test_other_libraries_say_what_they_took_and_what_is_shared_counts_nothing() -> None:
    def work() -> None:
        add(100)
        assert torch.equal(uncounted(lambda: torch.eye(3) @ torch.eye(3)), torch.eye(3))
        uncounted(lambda: add(7))

    assert count_of(work) == 100
    assert count_of(lambda: add(None)) is None
    add(5)  # where nobody counts


def test_what_is_compiled_is_counted_as_it_is_written() -> None:
    model = nn.Linear(5, 3)
    compiled, inputs = torch.compile(model, fullgraph=True), torch.randn(7, 5)
    with counted(compiled=True) as count:
        compiled(inputs)
    assert count.total == 2 * 7 * 5 * 3


def test_an_error_inside_stops_the_counting() -> None:
    with pytest.raises(ZeroDivisionError), counted() as count:
        raise ZeroDivisionError
    before = count.total
    assert torch.eye(3) @ torch.eye(3) is not None and count.total == before
