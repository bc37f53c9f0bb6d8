"""The final frames of small generated files, from solvers that passed tests/accuracy."""

from __future__ import annotations

# Mean and deviation of the final frames of `make`, when the solvers passed tests/accuracy.
FINAL_FRAMES: dict[str, dict[str, tuple[float, float]]] = {
    "pdebench/advection": {"tensor": (-0.0432811, 0.525379)},
    "pdebench/burgers": {"tensor": (-0.0448579, 0.363118)},
    "pdebench/compressible_ns_1d": {
        "Vx": (-0.267997, 0.233791),
        "density": (4.61357, 2.24886),
        "pressure": (61.3683, 39.289),
    },
    "pdebench/compressible_ns_2d": {
        "Vx": (0.00172854, 0.00646026),
        "Vy": (0.004566, 0.00705865),
        "density": (7.01074, 2.13349),
        "pressure": (19.3217, 7.31953),
    },
    "pdebench/darcy": {"nu": (0.442422, 0.436952), "tensor": (0.204075, 0.134095)},
    "pdebench/diffusion_reaction_1d": {"tensor": (0.753816, 0.0377188)},
    "pdebench/diffusion_reaction_2d": {"data": (-0.0414221, 0.259073)},
    "pdebench/diffusion_sorption": {"data": (0.386585, 0.30291)},
    "pdebench/shallow_water": {"data": (1.04277, 0.116776)},
}
