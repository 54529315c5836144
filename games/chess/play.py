"""Whole arrays of games: random play by a policy, replay, legality. The games' ends are decided here."""

import numpy as np
from jaxtyping import Integer

from games.bits import GOLDEN, ONE, TWO, ZERO, below, inline, kernel, lowest, mix, nth, popcount, stream
from games.chess import rules
from games.chess.kernels import (
    BISHOP,
    FLAGS,
    ID,
    KNIGHT,
    LAST,
    ORIGIN,
    PAWN,
    PROMOTION,
    QUEEN,
    RIGHTS,
    ROOK,
    SIX,
    SIXTEEN,
    SIXTY_FOUR,
    TARGET,
    WORDS,
    colours,
    en_passant_origins,
    kind_on,
    legal_masks,
    make,
    pack,
    passant,
    play,
    promoting,
    side,
)
from games.chess.notation import begin, write_end, write_move, write_number
from games.chess.policies import VALUES

START = pack(rules.start())
VALUE = np.array([VALUES[kind] for kind in "PNBRQ"] + [0], np.uint64)  # by kind; 0 ends it for the king
GAIN = np.array([0, *(VALUES[kind] - 1 for kind in "NBRQ")], np.uint64)  # of a promotion to that kind
DARK = np.uint64(0xAA55AA55AA55AA55)
FIVE = np.uint64(5)
MOST_MOVES = 256  # no position has more than 218


@inline
def insufficient(position):
    """Bare kings, one knight, or bishops of one square colour."""
    strong = position[PAWN] | position[ROOK] | position[QUEEN]
    strong |= position[SIX + PAWN] | position[SIX + ROOK] | position[SIX + QUEEN]
    if strong:
        return False
    knights = position[KNIGHT] | position[SIX + KNIGHT]
    bishops = position[BISHOP] | position[SIX + BISHOP]
    if knights:
        return bishops == ZERO and knights & (knights - ONE) == ZERO
    return bishops & DARK == ZERO or bishops & ~DARK == ZERO


@inline
def is_same(a, b):
    """Whether one position of a game repeats another, with the same side to move and but for en passant."""
    for word in range(12):
        if a[word] != b[word]:
            return False
    return a[FLAGS] & RIGHTS == b[FLAGS] & RIGHTS


@inline
def repetitions(game, ply):
    """How often the position after `ply` plies has stood on the board; game[p] is the one after p plies."""
    count = ONE
    first = max(ply - np.int64(game[ply, FLAGS] >> SIXTEEN), 0)
    earlier = ply - 4
    while earlier > first:
        count += np.uint64(is_same(game[earlier], game[ply]))
        earlier -= 2
    if earlier == first and is_same(game[first], game[ply]):
        # Only the pawn move that begins the count can have allowed en passant: such a position never returns.
        us, them = colours(game[first])
        occupied = side(game[first], us) | side(game[first], them)
        count += np.uint64(en_passant_origins(game[first], us, them, occupied) == ZERO)
    return count


@inline
def drawn(game, ply):
    """As `rules.drawn`: whether the game is over though there may be legal moves."""
    clock = game[ply, FLAGS] >> SIXTEEN
    if clock >= SIXTEEN and (clock >= np.uint64(150) or repetitions(game, ply) >= FIVE):
        return True
    return insufficient(game[ply])


@inline
def legal_count(position, masks):
    count = ZERO
    for origin in range(64):
        count += popcount(masks[origin])
    us, _ = colours(position)
    pawns = promoting(position, us)
    while pawns:
        count += np.uint64(3) * popcount(masks[lowest(pawns)])
        pawns &= pawns - ONE
    return count


@inline
def nth_move(position, masks, n):
    """The n-th legal move, in the order of ids, as origin, target and promotion."""
    us, _ = colours(position)
    origins, promotes = side(position, us), promoting(position, us)
    origin, shift = ZERO, ZERO
    while origins:
        origin = lowest(origins)
        shift = TWO * ((promotes >> origin) & ONE)
        count = popcount(masks[origin]) << shift
        if n < count:
            break
        n -= count
        origins &= origins - ONE
    return origin, nth(masks[origin], n >> shift), ((n & np.uint64(3)) + ONE) * (shift >> ONE)


@inline
def legal_ids(position, masks, ids):
    """Writes the ids of the legal moves, ascending, and returns their number."""
    us, _ = colours(position)
    origins, promotes, n = side(position, us), promoting(position, us), 0
    while origins:
        origin = lowest(origins)
        targets = masks[origin]
        while targets:
            move = ID[SIXTY_FOUR * origin + lowest(targets)]
            if (promotes >> origin) & ONE:
                for promotion in range(1, 5):
                    ids[n] = move + np.uint64(promotion)
                    n += 1
            else:
                ids[n] = move
                n += 1
            targets &= targets - ONE
        origins &= origins - ONE
    return n


@inline
def gain(position, move):
    """As `policies.gain`."""
    us, them = colours(position)
    target = ONE << TARGET[move]
    if side(position, them) & target:
        return VALUE[kind_on(position, them, target)] + GAIN[PROMOTION[move]]
    pawn = (position[us + PAWN] >> ORIGIN[move]) & ONE
    return np.uint64(target == passant(position)) * pawn + GAIN[PROMOTION[move]]


@inline
def fill_chances(position, ids, n, epsilon, weights, chances):
    """The chances of n legal moves, rounded as `policies.probabilities` rounds them."""
    total = 0.0
    for i in range(n):
        chances[i] = weights[gain(position, ids[i])]
        total += chances[i]
    share, rest = epsilon / max(n, 1), 1 - epsilon
    for i in range(n):
        chances[i] = share + rest * chances[i] / total


@inline
def weighted(chances, n, bits):
    """As `games.core.weighted`."""
    u, total = (bits >> np.uint64(11)) * 2.0**-53, 0.0
    for i in range(n):
        total += chances[i]
        if total > u:
            return np.uint64(i)
    return np.uint64(n - 1)


@kernel
def preferred(position, masks, epsilon, weights, bits, ids, chances):
    """Which of the legal moves a style chooses by 64 random bits; `ids` and `chances` are scratch.

    Called, not inlined: that would slow the uniform games by a third.
    """
    n = legal_ids(position, masks, ids)
    fill_chances(position, ids, n, epsilon, weights, chances)
    return weighted(chances, n, bits)


@kernel
def generate(seed, first, epsilons, weights, opening, moves, styles, texts):
    """Plays games first, first + 1, ... as `games.core.transcript`; weights[style] as `policies.weights`.

    styles[g] gets the drawn style and opening; texts[g] the characters of the game, unless it has none.
    """
    game = np.empty((moves.shape[1] + 1, WORDS), np.uint64)
    game[0] = START
    masks = np.empty(64, np.uint64)
    ids, chances = np.empty(MOST_MOVES, np.uint64), np.empty(MOST_MOVES)
    for g in range(moves.shape[0]):
        out = texts[g]
        writes = out.shape[0] > 0
        n = begin(out) if writes else 0
        random = stream(seed, first + np.uint64(g)) + GOLDEN
        style = below(np.uint64(epsilons.shape[0]), mix(random))
        random += GOLDEN
        openers = below(opening + ONE, mix(random))
        styles[g, 0], styles[g, 1] = style, openers
        for ply in range(moves.shape[1] + 1):
            checks = legal_masks(game[ply], masks)
            if writes and ply:
                n = write_end(checks, masks, out, n)
            count = legal_count(game[ply], masks)
            if ply == moves.shape[1] or count == ZERO or drawn(game, ply):
                break
            random += GOLDEN
            bits = mix(random)
            if epsilons[style] == 1.0 or np.uint64(ply) < openers:
                choice = below(count, bits)
            else:
                choice = preferred(game[ply], masks, epsilons[style], weights[style], bits, ids, chances)
            origin, target, promotion = nth_move(game[ply], masks, choice)
            if writes:
                n = write_number(out, n, ply)
                n = write_move(game[ply], masks, origin, target, promotion, out, n)
            game[ply + 1] = game[ply]
            make(game[ply + 1], origin, target, promotion)
            moves[g, ply] = game[ply + 1, LAST]


@inline
def is_legal(position, masks, move):
    """Whether a move's id is among the legal moves; any number may be asked."""
    if move == ZERO or move >= np.uint64(ORIGIN.shape[0]):
        return False
    us, _ = colours(position)
    promotes = (promoting(position, us) >> ORIGIN[move]) & ONE
    reaches = (masks[ORIGIN[move]] >> TARGET[move]) & ONE
    return reaches != ZERO and (promotes != ZERO) == (PROMOTION[move] != ZERO)


@kernel
def legal_plies(moves, plies):
    """plies[g]: how many plies of game g stand before the first that is illegal, or before its padding."""
    game = np.empty((moves.shape[1] + 1, WORDS), np.uint64)
    game[0] = START
    masks = np.empty(64, np.uint64)
    for g in range(moves.shape[0]):
        for ply in range(moves.shape[1]):
            move = np.uint64(moves[g, ply])
            if move == ZERO:
                break
            legal_masks(game[ply], masks)
            if not is_legal(game[ply], masks, move) or drawn(game, ply):
                break
            game[ply + 1] = game[ply]
            play(game[ply + 1], move)
            plies[g] += 1


@inline
def replay(game, moves, ply, until):
    """Brings game[ply + 1] to game[until] up to date, or stops at the game's end; how far it came."""
    while ply < until and moves[ply]:
        game[ply + 1] = game[ply]
        play(game[ply + 1], np.uint64(moves[ply]))
        ply += 1
    return ply


@kernel
def chances_by_row(moves, rows, order, epsilons, weights, style, found):
    """found[row, move]: the chance of each move in the style of its row, 0 where it is illegal.

    `order` sorts the rows by game and ply; weights[style] come from `policies.weights`.
    """
    game = np.empty((moves.shape[1] + 1, WORDS), np.uint64)
    game[0] = START
    masks = np.empty(64, np.uint64)
    ids, chances = np.empty(MOST_MOVES, np.uint64), np.empty(MOST_MOVES)
    at, ply = np.int64(-1), 0
    for r in order:
        if rows[r, 0] != at:
            at, ply = rows[r, 0], 0
        ply = replay(game, moves[at], ply, rows[r, 1])
        legal_masks(game[ply], masks)
        if not drawn(game, ply):
            n = legal_ids(game[ply], masks, ids)
            fill_chances(game[ply], ids, n, epsilons[style[r]], weights[style[r]], chances)
            for i in range(n):
                found[r, ids[i]] = chances[i]


@kernel
def keys(moves, lengths, keys):
    """A hash of the first lengths[g] plies of each game."""
    for g in range(moves.shape[0]):
        key = ONE
        for ply in range(lengths[g]):
            key = mix(key + GOLDEN * np.uint64(moves[g, ply]))
        keys[g] = key


def results(moves: Integer[np.ndarray, "game ply"]) -> list[str]:
    """The result of each game as a PGN says it, "*" for one that goes on."""
    ends = np.zeros(len(moves), np.int64)
    _ends(moves, ends)
    return [("*", "1-0", "0-1", "1/2-1/2")[end] for end in ends]


@kernel
def _ends(moves, ends):
    """ends[g]: 0 game g goes on, 1 White has won, 2 Black has won, 3 a draw."""
    game = np.empty((moves.shape[1] + 1, WORDS), np.uint64)
    game[0] = START
    masks = np.empty(64, np.uint64)
    for g in range(moves.shape[0]):
        ply = replay(game, moves[g], 0, moves.shape[1])
        checks = legal_masks(game[ply], masks)
        if legal_count(game[ply], masks) == ZERO and checks:
            ends[g] = 1 + (ply + 1) % 2
        elif legal_count(game[ply], masks) == ZERO or drawn(game, ply):
            ends[g] = 3
