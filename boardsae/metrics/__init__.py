"""What is measured, how, and what it does not say: the table behind `boardsae show METRIC`."""

from collections.abc import Callable
from typing import Any, NamedTuple

from boardsae import plugins

Measure = Callable[
    [Any, Any], dict[str, Any]
]  # of boardsae.evidence.Evidence and boardsae.coder.Checked: a cell


class Metric(NamedTuple):
    title: str
    direction: str  # "up", "down", or "" where neither is better
    range: str
    definition: str
    weakness: str
    measure: Measure | None = None  # of a metric that stands outside of the scorer
    across: bool = False  # measured on several runs together, by boardsae match
    family: str = ""  # "chess" of a metric that other games do not have


METRICS: dict[str, Metric] = {
    "coverage@1": Metric(
        "coverage",
        "up",
        "0 to 1",
        "Mean over board predicates of the F1 of their best feature and threshold, chosen on select, judged on"
        " report.",
        "A feature that is always on, or a clock, has some; read it beside those rows, or read cov_x.",
    ),
    "found@1": Metric(
        "predicates found",
        "up",
        "0 to the number of predicates",
        "How many board predicates have a detector of F1 above 0.8 on report.",
        "A step at 0.8 hides what is just below it.",
    ),
    "reconstruction@1": Metric(
        "board reconstruction",
        "up",
        "0 to 1",
        "F1 of the board said by features of surely high precision (Wilson's lower bound at least 0.95 on select), any"
        " of them being enough; one threshold, chosen on select; report, all squares of all boards together.",
        "Recall decides: what no precise feature stands for is missed.",
    ),
    "cov_x@1": Metric(
        "coverage beyond chance",
        "up",
        "about 0 to 1",
        "Mean of (S - N) / (U - N) over board predicates: S is the within-ply phi of the best feature, N that of"
        " permuted games, U that of a linear probe; chosen on select, judged on report; predicates with U - N >= 0.1.",
        "A linear probe is a ceiling only for directions; a feature that is none may be worth more. N and U are held"
        " fixed in its interval.",
    ),
    "coverage_paper@1": Metric(
        "coverage, paper's code",
        "up",
        "0 to 2/3 for Othello, 0 to 1 for chess",
        "As the code of Karvonen et al. 2024: one threshold for all predicates, chosen and reported on training games;"
        " Othello's mean divides by 3 * squares.",
        "In-sample; no price on always-on features; where predicates are rare, its interval may miss it.",
    ),
    "coverage_text@1": Metric(
        "coverage, paper's text",
        "up",
        "0 to 1",
        "As equation 3 of Karvonen et al. 2024: every predicate its own threshold, mean over the predicates there are.",
        "In-sample; no price on always-on features; where predicates are rare, its interval may miss it.",
    ),
    "reconstruction_paper@1": Metric(
        "reconstruction, paper's code",
        "up",
        "0 to 1",
        "As the code of Karvonen et al. 2024: precision 0.95 and 10 hits on training games; the threshold is picked on"
        " the games that are reported.",
        "The threshold is chosen on test.",
    ),
    "reconstruction_text@1": Metric(
        "reconstruction, paper's text",
        "up",
        "0 to 1",
        "As equation 5 of Karvonen et al. 2024: mean over boards of the F1 of each board at its own best threshold.",
        "The threshold is chosen on every single test board.",
    ),
    "strategy_coverage_paper@1": Metric(
        "strategy coverage, paper's code",
        "up",
        "0 to 1",
        "As coverage_paper, of the 14 strategy concepts of chess in Karvonen et al. 2024: the mean over concepts of a"
        " mean over squares, a threshold each.",
        "In-sample; of many concepts an always-on feature has most.",
        family="chess",
    ),
    "strategy_reconstruction_paper@1": Metric(
        "strategy reconstruction, paper's code",
        "up",
        "0 to 1",
        "As reconstruction_paper, of the 14 strategy concepts of chess: the mean over concepts of each one's own F1.",
        "The thresholds are chosen on test.",
        family="chess",
    ),
    "l0@1": Metric(
        "L0",
        "",
        "0 to the features",
        "Mean number of features that are not 0, on scored rows.",
        "Not a price in bits.",
    ),
    "l0_all@1": Metric(
        "L0, all positions", "", "0 to the features", "The same on all positions of training games.", ""
    ),
    "explained_variance@1": Metric(
        "explained variance",
        "up",
        "up to 1",
        "1 - SSE / SST, both summed over all report rows; the mean in SST is that of training rows.",
        "Says how much is kept, not whether what matters is. The first ply of every game, where activations are"
        " several times as long as elsewhere, has a third to more than half of SST.",
    ),
    "explained_variance_later@1": Metric(
        "explained variance, later plies",
        "up",
        "up to 1",
        "The same without the first ply of each game, in SSE, in SST and in its mean.",
        "Says how much is kept, not whether what matters is.",
    ),
    "cosine@1": Metric("cosine", "up", "-1 to 1", "Mean cosine of x and x_hat.", "Blind to shrinkage."),
    "l2_ratio@1": Metric("L2 ratio", "", "0 up, 1 is right", "Mean of |x_hat| / |x|.", ""),
    "reconstruction_bias@1": Metric(
        "relative reconstruction bias",
        "",
        "0 up, 1 is right",
        "Mean |x_hat|^2 / mean <x, x_hat> (Rajamanoharan et al. 2024): below 1 is shrinkage.",
        "",
    ),
    "alive@1": Metric(
        "alive",
        "up",
        "0 to 1",
        "Share of features that fire on some report row.",
        "Depends on the window, which is stated.",
    ),
    "ce_increase@1": Metric(
        "CE increase",
        "down",
        "nats, about 0 up",
        "CE of the next move with the SAE spliced in, minus without.",
        "May be below 0 by chance.",
    ),
    "kl_increase@1": Metric(
        "KL",
        "down",
        "nats, 0 up",
        "KL(model || model with the SAE spliced in), mean over all tokens of report games that have a next one.",
        "Faithful to the model, right or wrong.",
    ),
    "loss_recovered_zero@1": Metric(
        "loss recovered, zero",
        "up",
        "up to about 1",
        "(CE_zero - CE_spliced) / (CE_zero - CE) against zeros.",
        "Saturates: most SAEs are above 0.99.",
    ),
    "loss_recovered_mean@1": Metric(
        "loss recovered, mean",
        "up",
        "up to about 1",
        "The same against the mean activation.",
        "Saturates less.",
    ),
    "legal_mass_loss@1": Metric(
        "legal mass lost", "down", "-1 to 1", "Probability on legal moves without the SAE, minus with it.", ""
    ),
    "top1_legal_loss@1": Metric(
        "top-1 legality lost",
        "down",
        "-1 to 1",
        "Share of rows whose most likely move is legal, without minus with the SAE.",
        "",
    ),
    "max_cosine@1": Metric(
        "largest cosine within",
        "down",
        "-1 to 1",
        "Mean over living features of the largest cosine with another direction.",
        "Splitting is not always bad.",
    ),
    "steering@1": Metric(
        "steering strength",
        "up",
        "0 up, 1 is random",
        "Median over features (at most 128 that fire, drawn) of the KL that adding their direction causes on 8 games,"
        " relative to the median random direction of the same norm.",
        "Strong is not the same as meaningful.",
    ),
    "seed_similarity@1": Metric(
        "similarity across seeds",
        "",
        "0 to 1",
        "Mean cosine of decoder directions paired one to one (Hungarian) with those of the same run at another seed,"
        " features that fire only.",
        "In few dimensions random directions are near too; boardsae match prints theirs beside it.",
        across=True,
    ),
}


def register(identity: str, metric: Metric) -> None:
    """Makes a metric known by its id, `name@version`; `measure` answers with a cell of boardsae.metrics.cells."""
    name, _, version = identity.partition("@")
    if not (name.isidentifier() and version.isdigit()):
        raise ValueError(f"expected a metric id such as coverage@1, got {identity!r}")
    if not isinstance(metric, Metric) or metric.measure is None:
        raise ValueError(
            f"expected {identity} to be a boardsae.metrics.Metric with a measure, got {metric!r}"
        )
    if metric.direction not in ("up", "down", ""):
        raise ValueError(
            f'expected {identity} to be better "up", "down" or "" (neither), got {metric.direction!r}'
        )
    if identity in METRICS:
        raise ValueError(f"there is a metric {identity!r} already")
    METRICS[identity] = metric


plugins.installed("metrics", register)
