"""Features of pairs of residues, made of what is known of each residue and of a few pair maps.

A protein of L residues is stored flat: `tracks` rows of L values, then `maps` matrices of L x L.
Its channels are, for each track v, the map of v[j] and that of v[i], and then the matrices; only
those of a crop are ever made.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int
from torch import Tensor

from xmft.samples import Decoded, Pieces
from xmft.stored import RaggedBatch


def pair_channels(pieces: Pieces, *, tracks: int, maps: int, size: int) -> Decoded:
    """Cut a square of pairs out of each protein.

    Args:
        pieces: Proteins as stored, distances `[L * L]` flat, and where squares start.
        tracks: Values of each residue.
        maps: Matrices of pairs.
        size: Residues along each side of a square. Where it reaches beyond the protein, inputs
            and targets are 0 and so is the weight.

    Returns:
        Inputs `[n, 2 * tracks + maps, size, size]`, targets and weights `[n, 1, size, size]`.
    """
    assert isinstance(pieces.inputs, RaggedBatch) and isinstance(pieces.targets, RaggedBatch)
    assert pieces.starts is not None
    values, offsets = pieces.inputs
    lengths = residues(offsets.diff(), tracks, maps)
    places = torch.arange(size, device=offsets.device)
    rows, columns = (pieces.starts[:, axis, None] + places for axis in (0, 1))
    inside = (rows < lengths[:, None])[:, :, None] & (columns < lengths[:, None])[:, None]
    # What is beyond the end is read at the last residue and multiplied by 0.
    rows, columns = (torch.minimum(x, lengths[:, None] - 1) for x in (rows, columns))

    begin = offsets[:-1, None, None]
    number = torch.arange(tracks, device=offsets.device)[None, :, None] * lengths[:, None, None]
    along_columns = values[begin + number + columns[:, None]]
    along_rows = values[begin + number + rows[:, None]]
    shape = (-1, -1, size, size)
    singles = [along_columns[:, :, None].expand(shape), along_rows[..., None].expand(shape)]

    pair = rows[:, :, None] * lengths[:, None, None] + columns[:, None]
    matrix = torch.arange(maps, device=offsets.device)[None, :, None, None]
    square = (lengths**2)[:, None, None, None]
    first = (offsets[:-1] + tracks * lengths)[:, None, None, None]
    pairs = values[first + matrix * square + pair[:, None]]
    inputs = torch.cat([torch.stack(singles, dim=2).flatten(1, 2), pairs], dim=1).float()

    distances, starts = pieces.targets
    targets = distances[starts[:-1, None, None] + pair].float()
    known = inside[:, None]
    # In place: a batch is as large as the model's own activations.
    return Decoded(inputs.mul_(known), targets[:, None] * known, known.float())


def residues(counts: Int[Tensor, " n"], tracks: int, maps: int) -> Int[Tensor, " n"]:
    """Return the residues of proteins that are stored in so many values."""
    root: Float[Tensor, " n"] = (tracks**2 + 4 * maps * counts.double()).sqrt()
    return ((root - tracks) / (2 * maps)).round().long()
