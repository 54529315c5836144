"""The end of any SAE's training with the model's own judgement in the loss (Karvonen 2025)."""

from boardsae.saes.base import SAE, Outcome, Step
from boardsae.saes.e2e import kl


def kl_loss(sae: SAE, step: Step) -> Outcome:
    """(own loss + alpha * KL) / 2 with alpha = loss / KL, not differentiated, so that the loss keeps its scale.

    The SAE's own terms, penalties and auxiliary losses included, stand where the paper has the squared error.
    Deviations: the recipe's learning rate goes on falling as it does, where the paper begins a new schedule, and all
    of the run is fed whole games, not shuffled rows. So fed, TopK explains as much of 6x6 Othello before the
    fine-tuning begins, 0.003 to 0.007 less of 8x8 Othello, and 0.04 to 0.06 less of chess.
    """
    assert step.tail is not None, "a fine-tuned run is given whole games"
    assert step.clean is not None, "a fine-tuned run is given whole games"
    own = sae.loss(step)
    divergence = kl(step.clean.logits, step.tail(own.x_hat).logits)
    alpha = (sum(own.terms.values()) / (divergence + 1e-8)).detach()  # type: ignore[union-attr]
    terms = {name: term / 2 for name, term in own.terms.items()}
    return own._replace(terms=terms | {"model_kl": alpha * divergence / 2})
