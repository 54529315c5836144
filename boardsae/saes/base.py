"""What all SAEs share: the step they are given, what they answer, four tensors, and how they are trained alike.

    f = selected(ReLU((x - b_dec) W_enc + b_enc))        x_hat = f W_dec + b_dec        ||row of W_dec|| = 1

The one training loop knows no variant by name. `loss` is pure, `after_step` is the only place where other state
changes, and `encode` works row by row, whatever else is in the batch.
"""

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from boardsae.saes.product import product

FIT = 1e-8  # keeps norms away from a division by 0


class Recipe(NamedTuple):
    """How every variant is trained alike. Shares are of the whole run; `lr` is of Adam."""

    name: str
    tied: (
        bool  # W_enc starts as W_dec's transpose, b_dec as the mean; else W_enc and b_enc as a linear layer's
    )
    squared: (
        bool  # the error is the squared distance; else the distance, for the variants that the paper had so
    )
    scaled: bool  # one scalar makes the mean squared norm of the activations 1; else they stay raw
    lr: float
    warmup: float  # share over which the learning rate rises
    sparsity_warmup: float  # share over which a penalty rises
    decay: float  # share at the end over which the learning rate falls to 0
    clip: float | None  # of the gradient's norm
    batch: int  # rows


RECIPES = {
    recipe.name: recipe
    for recipe in (
        # Of 1M rows of othello6, batches of 1,024 make as much as batches of 4,096 of 4M; smaller ones gain no more.
        Recipe("common", True, True, True, 4e-3, 0.05, 0.1, 0.4, 1.0, 1024),
        # Karvonen et al. 2024 as their code ran: 36,621 steps, of which 1,000 warm up; nothing decays.
        Recipe("paper-2024", False, False, False, 3e-4, 1000 / 36621, 0.0, 0.0, None, 8192),
    )
}


class Downstream(NamedTuple):
    """What the model makes of an activation: the logits, and the residual stream after each later block."""

    logits: Float[Tensor, "row token"]
    later: list[Tensor]


@dataclass(frozen=True)
class Step:
    """What one training step is given: activations divided by the run's scale, and what the variant `needs`."""

    x: Float[Tensor, "row d"]
    progress: float = 1.0  # 0 at the first step, near 1 at the last
    grad: Float[Tensor, "row d"] | None = None  # needs "grad": of the model's next-move loss by x
    tail: Callable[[Tensor], Downstream] | None = None  # needs "tail": from any x_hat; x is whole games then
    clean: Downstream | None = None  # needs "tail": what the tail makes of x itself


class Outcome(NamedTuple):
    """What a loss answers. The sum of the terms is minimised; the rest is for `after_step` and the log."""

    terms: dict[str, Tensor]
    f: Float[Tensor, "row feature"]
    x_hat: Float[Tensor, "row d"]
    penalised: Float[Tensor, "row feature"] | None = None  # what a penalty fell on, where it is not f
    fired: Bool[Tensor, " feature"] | None = None  # which features did, where that is known already
    powers: Float[Tensor, " power"] | None = (
        None  # sums that an annealer asked for, where they are known already
    )


class Saved(NamedTuple):
    """An SAE as files hold it: an architecture of SAELens (standard, topk, jumprelu, gated) and its tensors."""

    architecture: str
    tensors: dict[str, Tensor]
    k: int | None = None


class SAE(nn.Module):
    """The base of all variants. A variant's options are the keyword-only arguments of its `__init__`."""

    name: ClassVar[str]
    sparsity: ClassVar[str | None] = None  # the option that decides how many features are active
    # Of "grad", "tail", "later" and "truth"; what is not declared is not given.
    needs: ClassVar[tuple[str, ...]] = ()
    site: ClassVar[str] = "residual"  # or "neurons": what is read of a block
    untrained: ClassVar[bool] = False  # made by `fit` alone
    betas: ClassVar[tuple[float, float]] = (0.9, 0.999)
    levels: ClassVar[tuple[str, ...]] = (
        "b_enc",
        "b_dec",
    )  # tensors in units of activations: folding scales them

    bf16: bool = False  # products in bfloat16, while training
    rows_since_fired: Tensor

    def __init__(self, d: int, features: int, random: torch.Generator, recipe: Recipe):
        super().__init__()
        self.recipe = recipe
        directions = torch.randn(features, d, generator=random)
        self.W_dec = nn.Parameter(directions / directions.norm(dim=1, keepdim=True))
        if recipe.tied:
            self.W_enc = nn.Parameter(
                self.W_dec.detach().T.contiguous()
            )  # Adam's moments lie in memory as weights do
            self.b_enc = nn.Parameter(torch.zeros(features))
        else:
            self.W_enc = nn.Parameter((2 * torch.rand(d, features, generator=random) - 1) * d**-0.5)
            self.b_enc = nn.Parameter((2 * torch.rand(features, generator=random) - 1) * d**-0.5)
        self.b_dec = nn.Parameter(torch.zeros(d))
        self.register_buffer("rows_since_fired", torch.zeros(features, dtype=torch.int64))

    @property
    def d(self) -> int:
        return self.W_dec.shape[1]

    @property
    def features(self) -> int:
        return self.W_dec.shape[0]

    @torch.no_grad()
    def start(self, x: Float[Tensor, "row d"]) -> None:
        """What the first rows decide before training."""
        if self.recipe.tied:
            self.b_dec.copy_(x.mean(0))

    @property
    def bias(self) -> Float[Tensor, " feature"]:
        """What joins x W_enc: the encoder's own, less what b_dec would have given."""
        return self.b_enc - self.b_dec @ self.W_enc

    def pre(self, x: Float[Tensor, "row d"]) -> Float[Tensor, "row feature"]:
        return product(x, self.W_enc, self.bf16) + self.bias

    def encode(self, x: Float[Tensor, "row d"]) -> Float[Tensor, "row feature"]:
        """Each row by itself, as at scoring."""
        return self.pre(x).relu()

    def encode_as_trained(
        self, x: Float[Tensor, "row d"], grad: Float[Tensor, "row d"]
    ) -> Float[Tensor, "row feature"] | None:
        """As training selects, by a gradient that scores must not see; None where that is `encode`."""
        return None

    def decode(self, f: Float[Tensor, "row feature"]) -> Float[Tensor, "row d"]:
        return product(f, self.W_dec, self.bf16) + self.b_dec

    def loss(self, step: Step) -> Outcome:
        raise NotImplementedError

    def by_hand(self, step: Step) -> Outcome | None:
        """The outcome of `loss`, with every parameter's gradient set, where a variant has a faster way; else None."""
        return None

    @classmethod
    def has_gradients_by_hand(cls) -> bool:
        """Whether they are those of its own loss, and not of one that it has from a base."""
        owner = {
            name: next(base for base in cls.__mro__ if name in vars(base)) for name in ("loss", "by_hand")
        }
        return owner["loss"] is owner["by_hand"]

    def fit(self, x: Float[Tensor, "row d"], truth: Bool[Tensor, "row predicate"] | None) -> None:
        """Makes an untrained SAE; the truth is given to those that need "truth"."""
        raise NotImplementedError

    def error(
        self, x: Float[Tensor, "row d"], x_hat: Float[Tensor, "row d"], squared: bool | None = None
    ) -> Float[Tensor, ""]:
        """Mean over rows of ||x - x_hat||^2, or of ||x - x_hat|| where the recipe says so."""
        squares = (x - x_hat).square().sum(-1)
        if self.recipe.squared if squared is None else squared:
            return squares.mean()
        return (squares + FIT).sqrt().mean()

    def ramp(self, progress: float) -> float:
        """The share of its full strength that a penalty has."""
        return min(1.0, progress / self.recipe.sparsity_warmup) if self.recipe.sparsity_warmup else 1.0

    @torch.no_grad()
    def before_update(self) -> None:
        """Takes from the decoder's gradient what would only change the norm of a direction."""
        if (grad := self.W_dec.grad) is not None:
            grad.addcmul_((grad * self.W_dec).sum(1, keepdim=True), self.W_dec, value=-1)

    @torch.no_grad()
    def after_step(self, step: Step, outcome: Outcome) -> None:
        self.W_dec.div_(self.W_dec.norm(dim=1, keepdim=True).clamp(min=FIT))
        self.count(self.fired(outcome.f) if outcome.fired is None else outcome.fired, len(step.x))

    def fired(self, f: Float[Tensor, "row feature"]) -> Bool[Tensor, " feature"]:
        return f.detach().sum(0) > 0

    def count(self, fired: Bool[Tensor, " feature"], rows: int) -> None:
        self.rows_since_fired.add_(rows).mul_(~fired)

    def dead(self, rows: int) -> Bool[Tensor, " feature"]:
        """Features that have been silent for so many rows."""
        return self.rows_since_fired >= rows

    @torch.no_grad()
    def finish(self, x: Float[Tensor, "row d"]) -> None:
        """What held-out rows decide after training, such as thresholds."""

    @torch.no_grad()
    def fold(self, scale: float) -> None:
        """From activations divided by `scale` to raw ones: features and levels grow, directions stay."""
        for name in self.levels:
            getattr(self, name).mul_(scale)

    def saved(self) -> Saved:
        return Saved("standard", self.tensors("W_enc", "b_enc", "W_dec", "b_dec"))

    def tensors(self, *names: str) -> dict[str, Tensor]:
        return {name: getattr(self, name).detach().clone().contiguous() for name in names}


def options_of(variant: type[SAE]) -> dict[str, Any]:
    """The options of a variant and their defaults; nothing else lists them."""
    parameters = inspect.signature(variant.__init__).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY}


def places_of(mask: Bool[Tensor, " feature"]) -> Int[Tensor, " some"]:
    return mask.nonzero()[:, 0]
