"""Chess on bitboards: a position is sixteen 64-bit words, its legal moves are one mask of targets per origin.

    words 0-5    White's pawns, knights, bishops, rooks, queens, king; bit 8 * rank + file
    words 6-11   Black's
    word 12      bit 0: Black moves; 1-4: rights K Q k q; 8-14: en-passant square + 1; 16-31: half-move clock
    word 13      id of the last move
    word 14      plies played

A colour's pieces start at word 0 or 6; kinds count 0 to 5 from pawn to king. Sliding attacks come from
subtracting along each line ("obstruction difference"): no tables of magic numbers.
"""

import numpy as np
from jaxtyping import UInt64

from games.bits import FULL, ONE, TWO, ZERO, inline, kernel, lowest, popcount, zeros_above
from games.chess import rules
from games.chess.tables import (
    BETWEEN,
    BISHOP_RAYS,
    CASTLING,
    HALVES,
    ID,
    KEEPS,
    KING_ATTACKS,
    KNIGHT_ATTACKS,
    LINE,
    ORIGIN,
    PAWN_ATTACKS,
    PROMOTION,
    ROOK_RAYS,
    TARGET,
    mask,
)

WORDS = 16
FLAGS, LAST, PLY = 12, 13, 14
PAWN, KNIGHT, BISHOP, ROOK, QUEEN, KING = np.arange(6, dtype=np.uint64)
SIX, EIGHT, SIXTEEN, RIGHTS = np.uint64(6), np.uint64(8), np.uint64(16), np.uint64(0b11110)
NOT_A, NOT_H = np.uint64(0xFEFEFEFEFEFEFEFE), np.uint64(0x7F7F7F7F7F7F7F7F)
RANK_3, RANK_6 = np.uint64(0xFF << 16), np.uint64(0xFF << 40)
RANK_2, RANK_7 = np.uint64(0xFF << 8), np.uint64(0xFF << 48)
SIXTY_FOUR, TOP = np.uint64(64), np.uint64(1 << 63)


def pack(state: rules.State) -> UInt64[np.ndarray, "16"]:
    """The words of a state; what it remembers of repeated positions is left out."""
    words = np.zeros(WORDS, np.uint64)
    for word, piece in enumerate("PNBRQKpnbrqk"):
        words[word] = mask(s for s, p in enumerate(state.board) if p == piece)
    flags = int(not state.white) | sum(2 << "KQkq".index(right) for right in state.castling)
    flags |= (0 if state.ep is None else state.ep + 1) << 8 | state.halfmoves << 16
    words[FLAGS : PLY + 1] = flags, state.last, state.ply
    return words


@inline
def along(below, above, occupied):
    """The squares of one line that a slider standing between its two halves attacks."""
    down = below & occupied | ONE
    up = above & occupied
    return (below | above) & (TWO * (up & (ZERO - up)) - (TOP >> zeros_above(down)))


@inline
def rook_attacks(square, occupied):
    i = square * EIGHT
    rank = along(HALVES[i], HALVES[i + ONE], occupied)
    return rank | along(HALVES[i + TWO], HALVES[i + np.uint64(3)], occupied)


@inline
def bishop_attacks(square, occupied):
    i = square * EIGHT
    diagonal = along(HALVES[i + np.uint64(4)], HALVES[i + np.uint64(5)], occupied)
    return diagonal | along(HALVES[i + SIX], HALVES[i + np.uint64(7)], occupied)


@inline
def pawn_attacks(square, black):
    return PAWN_ATTACKS[np.uint64(64) * black + square]


@inline
def all_pawn_attacks(pawns, black):
    """Where all pawns of a colour capture."""
    if black:
        return (pawns >> np.uint64(7)) & NOT_A | (pawns >> np.uint64(9)) & NOT_H
    return (pawns << np.uint64(7)) & NOT_H | (pawns << np.uint64(9)) & NOT_A


@inline
def all_knight_attacks(knights):
    one = (knights << ONE) & NOT_A | (knights >> ONE) & NOT_H
    two = (knights << TWO) & NOT_A & (NOT_A << ONE) | (knights >> TWO) & NOT_H & (NOT_H >> ONE)
    return one << SIXTEEN | one >> SIXTEEN | two << EIGHT | two >> EIGHT


@inline
def ascending(pieces, free, step, lands):
    """What sliders attack in a direction of growing squares: each doubling fills twice as far."""
    free &= lands
    pieces |= free & (pieces << step)
    free &= free << step
    pieces |= free & (pieces << (step * TWO))
    free &= free << (step * TWO)
    pieces |= free & (pieces << (step * np.uint64(4)))
    return (pieces << step) & lands


@inline
def descending(pieces, free, step, lands):
    free &= lands
    pieces |= free & (pieces >> step)
    free &= free >> step
    pieces |= free & (pieces >> (step * TWO))
    free &= free >> (step * TWO)
    pieces |= free & (pieces >> (step * np.uint64(4)))
    return (pieces >> step) & lands


@inline
def all_rook_attacks(rooks, free):
    """What all rooks attack; `free` are the squares that they pass through."""
    ranks = ascending(rooks, free, ONE, NOT_A) | descending(rooks, free, ONE, NOT_H)
    return ranks | ascending(rooks, free, EIGHT, FULL) | descending(rooks, free, EIGHT, FULL)


@inline
def all_bishop_attacks(bishops, free):
    seven, nine = np.uint64(7), np.uint64(9)
    rising = ascending(bishops, free, nine, NOT_A) | descending(bishops, free, nine, NOT_H)
    return rising | ascending(bishops, free, seven, NOT_H) | descending(bishops, free, seven, NOT_A)


@inline
def attacked(position, first, occupied):
    """All squares that the colour whose words start at `first` attacks, pinned pieces included."""
    queens = position[first + QUEEN]
    return (
        all_rook_attacks(position[first + ROOK] | queens, ~occupied)
        | all_bishop_attacks(position[first + BISHOP] | queens, ~occupied)
        | all_knight_attacks(position[first + KNIGHT])
        | all_pawn_attacks(position[first + PAWN], first)
        | KING_ATTACKS[lowest(position[first + KING])]
    )


@inline
def side(position, first):
    """All pieces of the colour whose words start at `first`: 0 White, 6 Black."""
    minor = position[first + PAWN] | position[first + KNIGHT] | position[first + BISHOP]
    return minor | position[first + ROOK] | position[first + QUEEN] | position[first + KING]


@inline
def colours(position):
    """The first words of the side to move and of its opponent."""
    us = SIX * (position[FLAGS] & ONE)
    return us, SIX - us


@inline
def kind_on(position, first, bit):
    """The kind of a colour's piece on a square: 0 pawn (or no piece) to 5 king."""
    kind = ZERO
    for i in range(1, 6):
        kind += np.uint64(i) * np.uint64((position[first + np.uint64(i)] & bit) != ZERO)
    return kind


@inline
def checks_and_pins(position, us, them, own, foe):
    """The pieces that check the king of `us`, and the own pieces pinned to it.

    A pinned piece keeps to LINE[64 * king + piece].
    """
    king = lowest(position[us + KING])
    checks = KNIGHT_ATTACKS[king] & position[them + KNIGHT]
    checks |= pawn_attacks(king, us != ZERO) & position[them + PAWN]
    queens = position[them + QUEEN]
    aligned = ROOK_RAYS[king] & (position[them + ROOK] | queens)
    aligned |= BISHOP_RAYS[king] & (position[them + BISHOP] | queens)
    pinned = ZERO
    while aligned:
        slider = aligned & (ZERO - aligned)
        between = BETWEEN[king * SIXTY_FOUR + lowest(slider)] & (own | foe)
        if between == ZERO:
            checks |= slider
        elif between & (between - ONE) == ZERO:
            pinned |= between & own
        aligned ^= slider
    return checks, pinned


@inline
def castlings(position, us, occupied, danger):
    """Where the king may land by castling."""
    found = ZERO
    rights = position[FLAGS] >> (ONE + us // np.uint64(3))
    for i in range(2):
        row = np.uint64(3 * i) + us
        if rights & np.uint64(1 << i) and (CASTLING[row] & occupied | CASTLING[row + ONE] & danger) == ZERO:
            found |= CASTLING[row + TWO]
    return found


@inline
def man_masks(position, us, own, foe, within, masks):
    """Fills masks[origin] for all pieces but the king, en passant left out, with targets in `within`."""
    occupied = own | foe
    queens = position[us + QUEEN]
    pieces = position[us + KNIGHT]
    while pieces:
        s = lowest(pieces)
        masks[s] = KNIGHT_ATTACKS[s] & within
        pieces &= pieces - ONE
    pieces = position[us + BISHOP] | queens
    while pieces:
        s = lowest(pieces)
        masks[s] = bishop_attacks(s, occupied) & within
        pieces &= pieces - ONE
    pieces = position[us + ROOK] | queens
    while pieces:
        s = lowest(pieces)
        masks[s] |= rook_attacks(s, occupied) & within
        pieces &= pieces - ONE
    pieces = position[us + PAWN]
    while pieces:
        s = lowest(pieces)
        pawn = pieces & (ZERO - pieces)
        if us:
            push = (pawn >> EIGHT) & ~occupied
            push |= ((push & RANK_6) >> EIGHT) & ~occupied
        else:
            push = (pawn << EIGHT) & ~occupied
            push |= ((push & RANK_3) << EIGHT) & ~occupied
        masks[s] = (pawn_attacks(s, us != ZERO) & foe | push) & within
        pieces ^= pawn


@inline
def passant(position):
    """The square that a pawn has just jumped over, as a word with that bit or none."""
    square = (position[FLAGS] >> EIGHT) & np.uint64(127)
    return (ONE << square) >> ONE


@inline
def en_passant_origins(position, us, them, occupied):
    """The pawns that may legally capture en passant, which can uncover a check on any line."""
    target = passant(position)
    if target == ZERO:
        return ZERO
    square = lowest(target)
    pawns = pawn_attacks(square, us == ZERO) & position[us + PAWN]
    found = ZERO
    while pawns:
        pawn = pawns & (ZERO - pawns)
        victim = ONE << (square ^ EIGHT)
        king = lowest(position[us + KING])
        after = occupied ^ pawn ^ victim ^ target
        queens = position[them + QUEEN]
        checks = KNIGHT_ATTACKS[king] & position[them + KNIGHT]
        checks |= pawn_attacks(king, us != ZERO) & position[them + PAWN] & ~victim
        checks |= rook_attacks(king, after) & (position[them + ROOK] | queens)
        checks |= bishop_attacks(king, after) & (position[them + BISHOP] | queens)
        if checks == ZERO:
            found |= pawn
        pawns ^= pawn
    return found


@kernel
def legal_masks(position, masks):
    """Fills masks[origin] with the targets of legal moves, and returns the pieces that give check.

    Draws that end the game are not looked at.
    """
    us, them = colours(position)
    own, foe = side(position, us), side(position, them)
    king = position[us + KING]
    k = lowest(king)
    danger = attacked(position, them, (own | foe) ^ king)
    checks, pinned = checks_and_pins(position, us, them, own, foe)
    masks[:] = ZERO
    masks[k] = KING_ATTACKS[k] & ~(own | danger)
    within = ~own
    if checks:
        if checks & (checks - ONE):
            return checks  # two pieces give check: only the king can move
        within = checks | BETWEEN[k * SIXTY_FOUR + lowest(checks)]
    else:
        masks[k] |= castlings(position, us, own | foe, danger)
    man_masks(position, us, own, foe, within, masks)
    while pinned:
        s = lowest(pinned)
        masks[s] &= LINE[k * SIXTY_FOUR + s]
        pinned &= pinned - ONE
    pawns = en_passant_origins(position, us, them, own | foe)
    while pawns:
        masks[lowest(pawns)] |= passant(position)
        pawns &= pawns - ONE
    return checks


@kernel
def pseudo_masks(position, masks):
    """As `legal_masks`, whether or not the own king is then attacked; castling only where it is legal."""
    us, them = colours(position)
    own, foe = side(position, us), side(position, them)
    king = position[us + KING]
    masks[:] = ZERO
    man_masks(position, us, own, foe, ~own, masks)
    danger = attacked(position, them, (own | foe) ^ king)
    masks[lowest(king)] = KING_ATTACKS[lowest(king)] & ~own | castlings(position, us, own | foe, danger)
    pawns = passant(position)
    if pawns:
        pawns = pawn_attacks(lowest(pawns), us == ZERO) & position[us + PAWN]
    while pawns:
        masks[lowest(pawns)] |= passant(position)
        pawns &= pawns - ONE


@inline
def promoting(position, us):
    """The pawns whose next step reaches the last rank: each of their targets stands for four moves."""
    return position[us + PAWN] & (RANK_2 if us else RANK_7)


@inline
def make(position, origin, target, promotion):
    """Plays a pseudo-legal move; `promotion` is the new kind or 0."""
    us, them = colours(position)
    leaves, lands = ONE << origin, ONE << target
    flags = position[FLAGS]
    takes = ZERO
    for i in range(6):
        takes |= position[them + np.uint64(i)] & lands
        position[them + np.uint64(i)] &= ~lands
    kind = kind_on(position, us, leaves)
    position[us + kind] ^= leaves
    position[us + (promotion if promotion else kind)] |= lands
    clock = (flags >> SIXTEEN) + ONE
    jumped = ZERO
    if takes:
        clock = ZERO
    if kind == PAWN:
        clock = ZERO
        if lands == passant(position):
            position[them + PAWN] ^= ONE << (target ^ EIGHT)
        if origin ^ target == SIXTEEN:
            jumped = ((origin + target) >> ONE) + ONE
    elif kind == KING:
        if lands == leaves << TWO:
            position[us + ROOK] ^= (lands << ONE) | (lands >> ONE)
        elif lands == leaves >> TWO:
            position[us + ROOK] ^= (lands >> TWO) | (lands << ONE)
    rights = flags & RIGHTS & KEEPS[origin] & KEEPS[target]
    position[FLAGS] = (flags & ONE ^ ONE) | rights | jumped << EIGHT | clock << SIXTEEN
    position[LAST] = ID[SIXTY_FOUR * origin + target] + promotion
    position[PLY] += ONE


@inline
def origin_target_promotion(move):
    return ORIGIN[move], TARGET[move], PROMOTION[move]


@inline
def play(position, move):
    """Plays a move given by its id."""
    make(position, ORIGIN[move], TARGET[move], PROMOTION[move])


@kernel
def perft(positions, masks, depth):
    """How many sequences of `depth` legal moves start at positions[0]; the other rows are scratch."""
    us, _ = colours(positions[0])
    legal_masks(positions[0], masks[0])
    total = ZERO
    for origin in range(64):
        targets = masks[0, origin]
        promotes = promoting(positions[0], us) >> np.uint64(origin) & ONE
        if depth == 1:
            total += popcount(targets) * (np.uint64(4) if promotes else ONE)
            continue
        while targets:
            for promotion in range(promotes, np.uint64(5) if promotes else ONE):
                positions[1] = positions[0]
                make(positions[1], np.uint64(origin), lowest(targets), np.uint64(promotion))
                total += perft(positions[1:], masks[1:], depth - 1)
            targets &= targets - ONE
    return total
