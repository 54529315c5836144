"""Dictionaries that a method must beat: they learn little or nothing of what an SAE is for."""

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from boardsae.saes.base import FIT, SAE, Recipe, Saved
from boardsae.saes.top import keep_top
from boardsae.saes.topk import TopK


class FrozenDecoder(TopK):
    """topk whose directions stay as they were drawn (arXiv 2602.14111): only the encoder and b_dec learn.

    Without topk's AuxK, so that more features may stay silent than in topk; what the two differ by is not the frozen
    directions alone.
    """

    name = "frozen_decoder"

    def __init__(self, d: int, features: int, random: torch.Generator, recipe: Recipe, *, k: int = 16):
        super().__init__(d, features, random, recipe, k=k, aux=0.0)
        self.W_dec.requires_grad_(False)


class Random(SAE):
    """Random directions, the k largest projections: b_dec is the mean and nothing is trained."""

    name = "random"
    sparsity = "k"
    untrained = True

    def __init__(self, d: int, features: int, random: torch.Generator, recipe: Recipe, *, k: int = 16):
        if not 1 <= k <= features:
            raise ValueError(f"expected k from 1 to the {features} features, got {k}")
        super().__init__(d, features, random, recipe)
        self.k = k

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "row d"], truth: Bool[Tensor, "row predicate"] | None) -> None:
        self.b_dec.copy_(x.mean(0))
        self.W_enc.copy_(self.W_dec.T)
        self.b_enc.zero_()

    def encode(self, x: Float[Tensor, "row d"]) -> Float[Tensor, "row feature"]:
        return keep_top(self.pre(x).relu(), self.k)

    def saved(self) -> Saved:
        return Saved("topk", self.tensors("W_enc", "b_enc", "W_dec", "b_dec"), self.k)


class Fitted(SAE):
    """A dictionary of as many features as what it is made from gives, whatever width was asked for."""

    untrained = True

    def __init__(self, d: int, features: int, random: torch.Generator, recipe: Recipe):
        super().__init__(d, 1, random, recipe)

    def become(self, W_enc: Tensor, b_enc: Tensor, W_dec: Tensor, b_dec: Tensor) -> None:
        for name, value in (("W_enc", W_enc), ("b_enc", b_enc), ("W_dec", W_dec), ("b_dec", b_dec)):
            setattr(self, name, torch.nn.Parameter(value.contiguous().clone()))
        self.rows_since_fired = torch.zeros(len(b_enc), dtype=torch.int64)


class PCA(Fitted):
    """Both ends of every principal axis: f = ReLU((x - mean) [V, -V]), which rebuilds x exactly."""

    name = "pca"

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "row d"], truth: Bool[Tensor, "row predicate"] | None) -> None:
        mean = x.mean(0)
        _, axes = torch.linalg.eigh((x - mean).T.double() @ (x - mean).double())
        directions = torch.cat([axes.T.flip(0), -axes.T.flip(0)]).to(x.dtype)  # the strongest first
        self.become(directions.T, x.new_zeros(len(directions)), directions, mean)


class Neurons(Fitted):
    """The neurons of the block after their activation function, as they are; reads the model at another site."""

    name = "neurons"
    site = "neurons"

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "row d"], truth: Bool[Tensor, "row predicate"] | None) -> None:
        one = torch.eye(x.shape[1], dtype=x.dtype)
        both = torch.cat([one, -one])  # GELU goes below 0 a little
        self.become(both.T, x.new_zeros(len(both)), both, x.new_zeros(x.shape[1]))


class ProbeOracle(Fitted):
    """Features that are linear probes: feature i is above 0 where the ridge probe of predicate i says yes.

    What supervision can do with one direction a predicate; the decoder is the best linear one for those features,
    with directions of norm 1.
    """

    name = "probe_oracle"
    needs = ("truth",)

    @torch.no_grad()
    def fit(self, x: Float[Tensor, "row d"], truth: Bool[Tensor, "row predicate"] | None) -> None:
        from boardsae.probes import best_fit, best_thresholds

        assert truth is not None, "declared in needs"
        some = len(x) // 4 * 3
        probes = best_fit(x[:some], truth[:some], x[some:], truth[some:])
        said = probes(x[some:])
        level = best_thresholds(said, truth[some:], torch.zeros(len(said), dtype=torch.int64)).f1
        mean = x.mean(0)
        f = (probes(x) - level).relu()
        moment = (f.T @ f).double() + 1e-3 * len(x) * torch.eye(f.shape[1], dtype=torch.float64)
        decoder = torch.linalg.solve(moment, (f.T @ (x - mean)).double()).to(x.dtype)
        norms = decoder.norm(dim=1).clamp(min=FIT)
        b_enc = (probes.bias - level + mean @ probes.weights) * norms
        self.become(probes.weights * norms, b_enc, decoder / norms[:, None], mean)
