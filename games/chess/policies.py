"""How transcripts are played: policies by name, and the chance that a policy gives each legal move."""

import math

from games.chess import rules
from games.chess.rules import MOVES, State
from games.core import Policy, Style, no_such

VALUES = {".": 0, "P": 1, "N": 3, "B": 3, "R": 5, "Q": 9, "K": 0}  # of pieces, in pawns
GAINS = 18  # most that one move can gain: 9 for a queen taken and 8 for a pawn that becomes one
UNIFORM = Style()
LEVELS = tuple(Style(epsilon, temperature) for epsilon in (0.05, 0.3) for temperature in (0.5, 2.0))
RANGES = {"epsilon": (0.0, 1.0), "temperature": (0.05, 100.0), "opening": (0, 40)}
GREEDY = {"epsilon": 0.1, "temperature": 1.0, "opening": 8}
NAMES = ("uniform", "greedy", "mixture")


def policy(text: str) -> Policy:
    """The policy that a text like "greedy:epsilon=0.05,temperature=2" names.

    The mixture plays half of its games uniformly, half greedily at one of four levels.
    """
    name, _, options = text.partition(":")
    if name not in NAMES:
        raise ValueError(no_such("policy", name, NAMES))
    if options and name != "greedy":
        raise ValueError(
            f"policy {name!r} takes no options, got {options!r}; greedy takes {', '.join(GREEDY)}"
        )
    if name == "greedy":
        chosen = GREEDY | dict(_option(part) for part in options.split(",") if part)
        style = Style(chosen["epsilon"], chosen["temperature"])
        return Policy("greedy", (style,), int(chosen["opening"]))
    if name == "mixture":
        return Policy("mixture", (UNIFORM,) * len(LEVELS) + LEVELS, 8)
    return Policy("uniform", (UNIFORM,))


def _option(text: str) -> tuple[str, float]:
    name, _, value = text.partition("=")
    if name not in RANGES:
        raise ValueError(no_such("option", name, RANGES))
    low, high = RANGES[name]
    try:
        number = type(low)(value)
    except ValueError:
        number = math.nan
    if not low <= number <= high:
        what = "a whole number" if isinstance(low, int) else "a number"
        raise ValueError(f"expected {name} to be {what} from {low:g} to {high:g}, got {value!r}")
    return name, number


def gain(state: State, move: int) -> int:
    """The material that a move wins at once: the piece it takes, and what its pawn becomes."""
    promotion = MOVES[move].promotion
    return VALUES[rules.captured(state, move).upper()] + (VALUES[promotion] - 1 if promotion else 0)


def weights(style: Style) -> list[float]:
    """exp(gain / temperature) for every gain; the kernels use these very numbers."""
    return [math.exp(gain / style.temperature) for gain in range(GAINS)]


def probabilities(state: State, style: Style) -> list[float]:
    """The chance of each of `legal(state)`, in order."""
    moves, weight = rules.legal(state), weights(style)
    total = 0.0
    for move in moves:  # not `sum`, which rounds otherwise from Python 3.12 on than the kernels do
        total += weight[gain(state, move)]
    share, rest = style.epsilon / max(len(moves), 1), 1 - style.epsilon
    return [share + rest * weight[gain(state, move)] / total for move in moves]
