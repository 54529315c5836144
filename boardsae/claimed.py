"""What the papers claim, and what we do after them: two groups of runs, the metrics, the direction, at equal what."""

from collections.abc import Mapping
from typing import Any, NamedTuple

from boardsae.entries import L0

AT = (10.0, 20.0, 40.0, 80.0)


class Group(NamedTuple):
    """The runs of a variant whose settings are these; without any, the ones that most of its runs have."""

    variant: str
    settings: Mapping[str, Any] = {}

    def __str__(self) -> str:
        return self.variant + "".join(f" {name}={value}" for name, value in self.settings.items())


class Claim(NamedTuple):
    text: str
    paper: str
    ours: Group
    theirs: Group
    metrics: tuple[str, ...]
    direction: int  # HIGHER than theirs, or LOWER
    share: float | None = None  # lower than this share of theirs, for claims that say how much
    over: str = L0  # the metric in which both groups are to be alike
    at: tuple[float, ...] = AT  # the values of it at which they are read


OURS = "ours, after "  # what the paper does not say in these words or metrics
P_ANNEAL = "Karvonen et al. 2024"
CHOICE = "Ayonrinde 2024"
E2E = "Braun et al. 2024"
GRADIENT = "Olmo et al. 2024"
OLD, NEW = ("coverage_paper", "reconstruction_paper"), ("coverage", "cov_x", "reconstruction")
STANDARD, TOPK, LOCAL = Group("standard"), Group("topk"), Group("local")
TUNED = Group("topk", {"kl_finetune": 0.1})
UNALIKE = "seed_similarity"
# nats; all end-to-end SAEs and local ones reach these
SAME_LOSS = {"over": "ce_increase", "at": (0.06, 0.12)}
HIGHER, LOWER = 1, -1

# fmt: off
CLAIMS = (
    Claim("p-annealing beats standard on the paper's metrics",
          P_ANNEAL, Group("p_anneal"), STANDARD, OLD, HIGHER),
    Claim("p-annealing beats standard on corrected metrics",
          OURS + P_ANNEAL, Group("p_anneal"), STANDARD, NEW, HIGHER),
    Claim("p-annealing explains more variance than standard",
          P_ANNEAL, Group("p_anneal"), STANDARD, ("explained_variance",), HIGHER),
    Claim("gated SAEs beat standard ones",
          P_ANNEAL, Group("gated"), STANDARD, (*OLD, *NEW), HIGHER),
    Claim("gated SAEs have the best coverage: p-annealing has less",
          P_ANNEAL, Group("gated"), Group("p_anneal"), ("coverage_paper", "coverage"), HIGHER),
    Claim("p-annealing a gated SAE raises coverage",
          P_ANNEAL, Group("gated_p_anneal"), Group("gated"), ("coverage_paper", "coverage"), HIGHER),
    Claim("TopK explains more variance than standard",
          "Gao et al. 2024", TOPK, STANDARD, ("explained_variance",), HIGHER),
    Claim("TopK finds more of the board than standard",
          OURS + "Gao et al. 2024", TOPK, STANDARD, (*OLD, *NEW), HIGHER),
    Claim("gated SAEs shrink less than standard ones",
          "Rajamanoharan et al. 2024", Group("gated"), STANDARD, ("l2_ratio",), HIGHER),
    Claim("BatchTopK explains more than TopK",
          "Bussmann et al. 2024", Group("batch_topk"), TOPK, ("explained_variance",), HIGHER),
    Claim("Mutual Choice explains more than TopK",
          CHOICE, Group("mutual_choice"), TOPK, ("explained_variance",), HIGHER),
    Claim("Feature Choice explains more than TopK",
          CHOICE, Group("feature_choice"), TOPK, ("explained_variance",), HIGHER),
    Claim("Mutual Choice has fewer dead features than TopK",
          CHOICE, Group("mutual_choice"), TOPK, ("alive",), HIGHER),
    Claim("Feature Choice has fewer dead features than TopK",
          CHOICE, Group("feature_choice"), TOPK, ("alive",), HIGHER),
    Claim("aux_zipf leaves fewer dead features than AuxK: Mutual Choice is BatchTopK with the former",
          CHOICE, Group("mutual_choice"), Group("batch_topk"), ("alive",), HIGHER),
    Claim("e2e costs less than 45% of local's loss",
          E2E, Group("e2e"), LOCAL, ("ce_increase",), LOWER, 0.45),
    Claim("e2e+ds costs less than 45% of local's loss",
          E2E, Group("e2e_ds"), LOCAL, ("ce_increase",), LOWER, 0.45),
    Claim("e2e loses less of the chance on legal moves than local",
          OURS + E2E, Group("e2e"), LOCAL, ("legal_mass_loss",), LOWER),
    Claim("e2e+ds loses less of the chance on legal moves than local",
          OURS + E2E, Group("e2e_ds"), LOCAL, ("legal_mass_loss",), LOWER),
    Claim("for the same loss e2e needs fewer features, at a position and in all",
          E2E, Group("e2e"), LOCAL, (L0, "alive"), LOWER, **SAME_LOSS),
    Claim("for the same loss e2e+ds needs fewer features, at a position and in all",
          E2E, Group("e2e_ds"), LOCAL, (L0, "alive"), LOWER, **SAME_LOSS),
    Claim("e2e decoders are less alike within",
          E2E, Group("e2e"), LOCAL, ("max_cosine",), LOWER),
    Claim("e2e finds other features with another seed",
          E2E, Group("e2e"), LOCAL, (UNALIKE,), LOWER),
    Claim("g-SAE is more faithful than TopK",
          GRADIENT, Group("gradient"), TOPK, ("ce_increase", "kl_increase"), LOWER),
    Claim("g-SAE has fewer dead features than TopK",
          GRADIENT, Group("gradient"), TOPK, ("alive",), HIGHER),
    Claim("g-SAE features steer more strongly than TopK's",
          GRADIENT, Group("gradient"), TOPK, ("steering",), HIGHER),
    Claim("KL fine-tuning takes a fifth of the loss or more",
          "Karvonen 2025", TUNED, TOPK, ("ce_increase",), LOWER, 0.8),
    Claim("KL fine-tuning loses less of the chance on legal moves",
          OURS + "Karvonen 2025", TUNED, TOPK, ("legal_mass_loss",), LOWER),
    Claim("a trained dictionary beats a frozen one",
          "ours, against arXiv 2602.14111", TOPK, Group("frozen_decoder"), NEW, HIGHER),
    Claim("JumpReLU explains more than TopK",
          "Rajamanoharan et al. 2024", Group("jumprelu"), TOPK, ("explained_variance",), HIGHER),
    Claim("Matryoshka SAEs find more of the board than BatchTopK",
          OURS + "Bussmann et al. 2025", Group("matryoshka"), Group("batch_topk"), NEW, HIGHER),
)
# fmt: on
