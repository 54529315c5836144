"""Which positions are scored, and what the model holds there: the one place where rows are chosen.

The token at index p is the move of ply p + 1, so that the model's state there has read p + 1 plies. A row
(game, plies played) is scored from the first ply on, up to the model's context, and never in the padding.
"""

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor

from boardsae.gpt import GPT


def scored_rows(moves: Shaped[np.ndarray, "game ply"], context: int) -> Int[np.ndarray, "row 2"]:
    """The rows of `Game.words` and of `activations`, in the same order for both."""
    game, ply = np.nonzero(moves[:, :context])
    return np.stack([game, ply + 1], axis=1)


@torch.no_grad()
def activations(
    model: GPT, moves: Shaped[np.ndarray, "game ply"], layer: int, batch: int = 256
) -> Float[Tensor, "row d"]:
    """The residual stream after block `layer` at every scored row; about 4 bytes * rows * width in memory."""
    context = model.shape.context
    found = []
    for first in range(0, len(moves), batch):
        some = moves[first : first + batch]
        rows = torch.from_numpy(scored_rows(some, context))
        x = model.body(torch.from_numpy(some[:, :context].astype(np.int64)), layer)
        found.append(x[rows[:, 0], rows[:, 1] - 1])
    return torch.cat(found)
