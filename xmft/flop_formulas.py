"""How many floating-point operations an operator of torch takes, in closed form.

torch's own formulas (`torch.utils.flop_counter`) say it of matrix products, convolutions and
attention; a multiplication with the addition that follows it counts as two. Here is what they lack:
Fourier transforms (5 n log2 n for n complex numbers, half of it for real ones: Frigo and Johnson
2005), decompositions of matrices (Golub and Van Loan, Matrix Computations, 4th edition: 4.2 and 8.3
to 8.6), products with vectors, distances, attention on CPUs, and complex numbers, whose
multiplication with an addition takes eight operations. What works entry by entry (activations,
norms, losses, optimizers) counts as nothing, here as there.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.flop_counter import conv_flop_count, flop_registry

Formula = Callable[..., float]

_aten: Any = torch.ops.aten
# Operators of other libraries may do anything; these move data, or hold operators of torch alone.
_NAMESPACES = frozenset({"aten", "prim", "prims", "c10d", "_c10d_functional", "fsdp", "profiler"})
# What would be far from nothing, and has no formula. All others work entry by entry or move data.
_HEAVY = re.compile(
    r".*(_mm|addmm|mm_|matmul|convolution|conv_|conv\dd|attention|multi_head|sparse|linear)|"
    r"_?(linalg|fft|lu|thnn|transformer|nested|cholesky|triangular)_|"
    r"_?(quantized_|mkldnn_|cudnn_|miopen_)?(rnn|gru|lstm)|_?(cdist|pdist|spsolve|trilinear)|"
    r"ormqr|geqrf|orgqr|hspmm|smm"
)
_LIGHT = re.compile(
    r"linalg_(vector_norm|cross|diagonal)|_linalg_check_errors|_?upsample_.*|lu_unpack|"
    r"_cudnn_rnn_flatten_weight|fft_r?fftfreq|.*(sparse|nested).*(tensor|mask|sum|softmax|dim|resize|get).*"
)


def flops_of(operator: Any, args: tuple[Any, ...], kwargs: dict[str, Any], out: Any) -> int | None:
    """Return the floating-point operations of one call; None where nobody knows.

    Args:
        operator: What was called, an overload or a higher-order operator.
        args: With what.
        kwargs: Likewise.
        out: What came back.
    """
    packet = getattr(operator, "overloadpacket", operator)
    own, shared = _FORMULAS.get(packet), flop_registry.get(packet)
    try:
        if own is not None:
            count = own(*args, out=out, **_without_out(kwargs))
        elif shared is not None:
            count = shared(*args, **_without_out(kwargs), out_val=out)
        else:
            return 0 if _is_light(packet) else None
    except Exception:  # an operator that is called in an unusual way is no reason to end a training
        return None
    if packet not in _TRANSFORMS and any(_is_complex(one) for one in (*args, out)):
        count *= 4
    return round(count)


def _without_out(kwargs: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in kwargs.items() if name != "out"}


def _is_light(packet: Any) -> bool:
    namespace, _, name = str(getattr(packet, "_qualified_op_name", "")).partition("::")
    if namespace not in _NAMESPACES:
        return False
    return _LIGHT.fullmatch(name) is not None or _HEAVY.match(name) is None


def _is_complex(value: Any) -> bool:
    return isinstance(value, Tensor) and value.is_complex()


def _size(*shape: int) -> int:
    return math.prod(shape)


def _transform(values: Tensor, axes: list[int], each: float) -> float:
    return each * values.numel() * math.log2(max(1, _size(*(values.shape[axis] for axis in axes))))


def _from_real(x: Tensor, axes: list[int], *_: Any, out: Tensor) -> float:
    return _transform(x, axes, 2.5)


def _to_real(x: Tensor, axes: list[int], *_: Any, out: Tensor) -> float:
    return _transform(out, axes, 2.5)


def _complex_to_complex(x: Tensor, axes: list[int], *_: Any, out: Tensor) -> float:
    return _transform(x, axes, 5.0)


def _of_square(factor: float) -> Formula:
    """Return the formula of an operation on square matrices `[..., n, n]`: factor n^3."""

    def count(matrix: Tensor, *_: Any, **__: Any) -> float:
        return factor * matrix.numel() * matrix.shape[-1]

    return count


def _columns(matrix: Tensor, right: Tensor) -> float:
    """Return n^2 for each column of the right-hand sides, which may be single vectors."""
    n = matrix.shape[-1]
    return n * right.numel() * _size(*matrix.shape[:-2]) / max(1, _size(*right.shape[:-2]))


def _svd(matrix: Tensor, *_: Any, **__: Any) -> float:
    n, m = sorted(matrix.shape[-2:])
    return _size(*matrix.shape[:-2]) * (14 * m * n**2 + 8 * n**3)


def _qr(matrix: Tensor, *_: Any, **__: Any) -> float:
    n, m = sorted(matrix.shape[-2:])
    return _size(*matrix.shape[:-2]) * 4 * n**2 * (m - n / 3)


def _triangular(matrix: Tensor, right: Tensor, **_: Any) -> float:
    return _columns(matrix, right)


def _solve(matrix: Tensor, right: Tensor, **_: Any) -> float:
    return _of_square(2 / 3)(matrix) + 2 * _columns(matrix, right)


def _lu_solve(factors: Tensor, _: Tensor, right: Tensor, **__: Any) -> float:
    return 2 * _columns(factors, right)


def _right_first(factor: float) -> Formula:
    def count(right: Tensor, matrix: Tensor, *_: Any, **__: Any) -> float:
        return factor * _columns(matrix, right)

    return count


def _times_vector(matrix: Tensor, _: Tensor, **__: Any) -> float:
    return 2 * matrix.numel()


def _plus_times_vector(_: Tensor, matrix: Tensor, *__: Any, **___: Any) -> float:
    return 2 * matrix.numel()


def _inner(x: Tensor, *_: Any, **__: Any) -> float:
    return 2 * x.numel()


def _sum_of_products(_: Tensor, first: Tensor, second: Tensor, **__: Any) -> float:
    return 2 * first.numel() * second.shape[-1]


def _products_of_distances(x: Tensor, y: Tensor, *, out: Tensor) -> float:
    return 2 * out.numel() * x.shape[-1]


def _distances(x: Tensor, y: Tensor, *_: Any, out: Tensor) -> float:
    return 3 * out.numel() * x.shape[-1]


def _distances_back(grad: Tensor, x: Tensor, *_: Any, **__: Any) -> float:
    return 3 * grad.numel() * x.shape[-1]


def _convolution_back(
    grad: Tensor, x: Tensor, weight: Tensor, *rest: Any, out: Any
) -> float:  # torch's formula takes each group for all of them
    _, _, _, _, transposed, _, _, mask = rest
    once = conv_flop_count(list(x.shape), list(weight.shape), list(grad.shape), transposed)
    return once * (mask[0] + mask[1])


def _shared(name: str) -> Formula:
    """Return torch's formula of an operator for another one that is called alike."""
    formula = flop_registry[getattr(_aten, name)]
    return lambda *args, out, **kwargs: formula(*args, **kwargs, out_val=out)


_TRANSFORMS = frozenset({_aten._fft_r2c, _aten._fft_c2r, _aten._fft_c2c})
_FORMULAS: dict[Any, Formula] = {
    _aten._fft_r2c: _from_real,
    _aten._fft_c2r: _to_real,
    _aten._fft_c2c: _complex_to_complex,
    _aten.linalg_cholesky_ex: _of_square(1 / 3),
    _aten.cholesky: _of_square(1 / 3),
    _aten.cholesky_inverse: _of_square(2 / 3),
    _aten.cholesky_solve: _right_first(2.0),
    _aten.linalg_solve_triangular: _triangular,
    _aten.triangular_solve: _right_first(1.0),
    # With vectors: torch computes them wherever somebody looks on, asked for or not.
    _aten._linalg_eigh: _of_square(9.0),
    _aten._linalg_svd: _svd,
    _aten.linalg_qr: _qr,
    _aten._linalg_solve_ex: _solve,
    _aten.linalg_lu_factor_ex: _of_square(2 / 3),
    _aten.linalg_lu_solve: _lu_solve,
    _aten.linalg_inv_ex: _of_square(2.0),
    _aten._linalg_det: _of_square(2 / 3),
    _aten._linalg_slogdet: _of_square(2 / 3),
    _aten.mv: _times_vector,
    _aten.addmv: _plus_times_vector,
    _aten.dot: _inner,
    _aten.vdot: _inner,
    _aten.addbmm: _sum_of_products,
    _aten._addmm_activation: _shared("addmm"),
    _aten.addmm_: _shared("addmm"),
    _aten.baddbmm_: _shared("baddbmm"),
    _aten.addbmm_: _sum_of_products,
    _aten.addmv_: _plus_times_vector,
    _aten._euclidean_dist: _products_of_distances,
    _aten._cdist_forward: _distances,
    _aten._cdist_backward: _distances_back,
    _aten.convolution_backward: _convolution_back,
    **{
        getattr(_aten, f"{name}{back}"): _shared(f"_scaled_dot_product_flash_attention{back}")
        for name in (
            "_scaled_dot_product_flash_attention_for_cpu",
            "_scaled_dot_product_fused_attention_overrideable",
        )
        for back in ("", "_backward")
    },
}
