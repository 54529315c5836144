"""The falling power of p-annealing, and the coefficient that keeps the penalty continuous when p changes."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from boardsae.saes.base import Outcome, Recipe, Step
from boardsae.saes.by_hand import Powers

FIRST = 0.273  # share of the run at which the staircase begins; 10,000 of 36,621 steps in the paper
QUEUE = 10  # steps whose penalties decide the next coefficient


def powered(f: Float[Tensor, "row feature"], p: float) -> Float[Tensor, ""]:
    """mean over rows of sum_i f_i^p; its slope at f = 0, where it has none for p < 1, is taken as 0."""
    if p == 1.0:
        return f.sum(-1).mean()
    return f[f > 0].pow(p).sum() / len(f)  # powers are slow, and few features are active


class Annealer(nn.Module):
    """A staircase: at `updates` even places p takes the next of `updates` even values from 1 to p_end, and

        lambda <- lambda * mean(sum f^p) / mean(sum f^p')    over the last QUEUE steps, p' being the new power.

    The first place sets p = 1 again. In the paper's code the last place is the end of the run, so that p_end was never
    trained and training ended at 0.289; under the common recipe the stairs end a tenth of the run earlier. A step
    takes one stair: with more updates than steps for them, p ends above p_end.
    """

    coefficient: Tensor
    queue: Tensor
    stage: Tensor  # places passed

    def __init__(self, start: float, p_end: float, updates: int, recipe: Recipe):
        super().__init__()
        if not 0 < p_end <= 1:
            raise ValueError(f"expected p_end above 0 and up to 1, got {p_end}")
        if updates < 2:
            raise ValueError(f"expected updates to be 2 or more, got {updates}")
        last = 1.0 if recipe.name == "paper-2024" else 0.9
        self.places = torch.linspace(FIRST, last, updates).tolist()
        self.powers = [1.0, *torch.linspace(1.0, p_end, updates).tolist()]
        self.register_buffer("coefficient", torch.tensor(start, dtype=torch.float64))
        self.register_buffer("queue", torch.zeros(QUEUE, 2))
        self.register_buffer("stage", torch.zeros((), dtype=torch.int64))

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> "Annealer":
        """The queue goes where the features are; what Python reads at every step stays on the CPU."""
        self.queue = fn(self.queue)
        return self

    @property
    def p(self) -> float:
        return self.powers[int(self.stage)]

    @property
    def next_p(self) -> float:
        return self.powers[min(int(self.stage) + 1, len(self.powers) - 1)]

    def charge(self, ramp: float) -> Powers:
        """What each active feature is charged for its part of the penalty."""
        return Powers(ramp * self.coefficient.item() * self.p, self.p, (self.p, self.next_p))

    def penalty(self, f: Float[Tensor, "row feature"]) -> Float[Tensor, ""]:
        return self.coefficient.item() * powered(f, self.p)

    def powers_of(self, f: Float[Tensor, "row feature"]) -> Float[Tensor, " power"]:
        """What `follow` asks of a step's features: under this power and the next."""
        return torch.stack([powered(f, self.p), powered(f, self.next_p)])

    def after_step(self, step: Step, outcome: Outcome) -> None:
        """Follows a step, from the sums of its powers or from the features that its penalty fell on."""
        seen = outcome.powers
        if seen is None:
            seen = self.powers_of((outcome.f if outcome.penalised is None else outcome.penalised).detach())
        self.follow(seen, step.progress)

    @torch.no_grad()
    def follow(self, seen: Float[Tensor, " power"], progress: float) -> None:
        """Remembers the penalty of a step under this power and the next, and takes the stair that is due."""
        self.queue.copy_(torch.cat([self.queue[1:], seen.to(self.queue)[None]]))
        if int(self.stage) < len(self.places) and progress >= self.places[int(self.stage)]:
            seen = self.queue.cpu().double().sum(0)
            if self.next_p != self.p and seen[1] > 0:
                self.coefficient.mul_(seen[0] / seen[1])
            self.stage.add_(1)
            self.queue.zero_()
