"""The viscous part of one-dimensional compressible flow, with density held in each cell.

    rho v_t = (nu rho v_x)_x,    E_t = (nu rho v v_x)_x

The velocity is advanced by RKL2 (Meyer, Balsara and Aslam, 2014), an explicit Runge-Kutta method
of second order whose `s` stages allow steps (s^2 + s - 2) / 4 times as long as Euler's. Momentum
and energy are conserved.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import torch

Array = npt.NDArray[np.float64]

# Below this viscosity, shocks are thinner than a cell of any grid in use, and nothing is done.
NEGLIGIBLE = 1e-6
# The number of stages suits steps in which waves of this speed cross 1.6 cells. Other samples
# are stable too: their steps are shortened where needed.
TYPICAL_SPEED = 4.0
SAFETY = 0.9


class ViscousSteps:
    """Viscous steps of a block of samples.

    Attributes:
        stages: Stages of a step; 0 if the viscosity is negligible.
    """

    def __init__(
        self, shape: tuple[int, int], ghosts: int, dx: float, viscosity: float, like: torch.Tensor
    ) -> None:
        """Prepare for samples of `shape`, `[samples, cells and ghosts]`, like those of a tensor."""
        self.shape, self.ghosts = shape, ghosts
        self.scale = viscosity / dx**2
        self.stages = 0
        if viscosity < NEGLIGIBLE:
            return
        wanted = 1.6 * dx / TYPICAL_SPEED * 4 * self.scale * 1.5 / SAFETY
        self.stages = max(3, math.ceil((math.sqrt(9 + 4 * wanted) - 1) / 2))
        self.stages += 1 - self.stages % 2
        self.faces, self.rates, self.start, self.slope, self.velocity, self.change, *self.last = (
            like.new_zeros(8, shape[0] * shape[1]).unbind()
        )

    def longest_steps(self, density: torch.Tensor) -> Array:
        """Return the longest stable step of each sample, from flat density with ghosts."""
        self._find_faces(density)
        ratio = torch.add(self.faces[1:-1], self.faces[:-2], out=self.rates[1:-1])
        ratio.div_(density[1:-1])
        inner = self.rates.view(self.shape)[:, self.ghosts : -self.ghosts]
        euler = 1 / (self.scale * inner.amax(1).double().cpu().numpy())
        steps: Array = SAFETY * (self.stages**2 + self.stages - 2) / 4 * euler
        return steps

    def advance(self, state: torch.Tensor, steps: torch.Tensor) -> None:
        """Advance flat states with filled ghosts, `[3, size]`, by `steps`, `[samples, 1]`.

        The ghosts of the momentum and energy are left out of date.
        """
        density, momentum, energy = state
        torch.div(momentum, density, out=self.velocity)
        self._find_faces(density)
        self.faces.view(self.shape).mul_(steps * self.scale)
        torch.reciprocal(density, out=self.rates)

        impulse = self._impulse()
        change = self._change_of_velocity(impulse)
        momentum.addcmul_(density, change)
        # The work is done at the mean velocity of the two cells, halfway in time: no other choice
        # makes the heating independent of the velocity of the observer.
        middle = torch.add(self.velocity, change, alpha=0.5, out=self.velocity)
        work = torch.add(middle[1:], middle[:-1], out=self.slope[:-1]).mul_(impulse[:-1])
        energy[1:-1].add_(work[1:], alpha=0.5).sub_(work[:-1], alpha=0.5)

    def _impulse(self) -> torch.Tensor:
        """Return the time integral of the stress at the faces, over dx.

        RKL2 is applied to it and not to the velocity, to which it is related linearly, so that
        momentum and energy change by the same stress.
        """
        s = self.stages
        j = np.arange(s + 1, dtype=np.float64)
        b = np.full(s + 1, 1 / 3)
        b[2:] = (j[2:] ** 2 + j[2:] - 2) / (2 * j[2:] * (j[2:] + 1))
        w = 4 / (s**2 + s - 2)
        start = self._stress(self.velocity, self.start)
        before, last = self.last
        before.zero_()
        torch.mul(start, b[1] * w, out=last)
        for k in range(2, s + 1):
            mu = (2 * k - 1) / k * b[k] / b[k - 1]
            nu = -(k - 1) / k * b[k] / b[k - 2]
            slope = self._stress(self._change_of_velocity(last), self.slope)
            before.mul_(nu).add_(last, alpha=mu).add_(slope, alpha=mu * w)
            before.add_(start, alpha=mu * w * b[k - 1])
            before, last = last, before
        return last

    def _stress(self, velocity: torch.Tensor, out: torch.Tensor) -> torch.Tensor:
        """Compute dt nu rho v_x / dx at the faces; entry i is between cells i and i + 1."""
        torch.sub(velocity[1:], velocity[:-1], out=out[:-1]).mul_(self.faces[:-1])
        return out

    def _change_of_velocity(self, impulse: torch.Tensor) -> torch.Tensor:
        inner = torch.sub(impulse[1:-1], impulse[:-2], out=self.change[1:-1])
        inner.mul_(self.rates[1:-1])
        rows, g = self.change.view(self.shape), self.ghosts
        rows[:, :g] = rows[:, -2 * g : -g]
        rows[:, -g:] = rows[:, g : 2 * g]
        return self.change

    def _find_faces(self, density: torch.Tensor) -> None:
        """Entry i is the mean density of cells i and i + 1."""
        torch.add(density[1:], density[:-1], out=self.faces[:-1]).mul_(0.5)
