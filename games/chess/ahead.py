"""What the kernels find out by trying moves or by looking back: more steps that fill in sheets as in `facts`.

Two rows after the last position of a game are free for trying moves.
"""

import numpy as np

from games.bits import ONE, TWO, ZERO, inline, kernel, lowest
from games.chess import kernels as chess
from games.chess.facts import union
from games.chess.kernels import BISHOP, FLAGS, KING, KNIGHT, PAWN, QUEEN, ROOK, SIXTEEN
from games.chess.play import drawn, repetitions
from games.chess.tables import KNIGHT_ATTACKS

CHECKS, MATES, DRAWS = ONE, TWO, np.uint64(4)
JUMPED = np.uint64(127 << 8)  # the bits of the en-passant square


@kernel
def end(game, plies, masks, sheets):
    for i in range(plies.shape[0]):
        sheet = sheets[i]
        checks = chess.legal_masks(game[plies[i]], masks)
        stuck = union(masks) == ZERO
        sheet.over = stuck or drawn(game, plies[i])
        sheet.checkmate = stuck and checks != ZERO
        sheet.stalemate = stuck and checks == ZERO
        sheet.can_claim_draw = is_claimable(game, plies[i], masks)


@inline
def is_claimable(game, ply, masks):
    """Whether the position stands for the third time, or 50 moves passed quietly and a move is legal."""
    clock = game[ply, FLAGS] >> SIXTEEN
    return (clock >= np.uint64(100) and union(masks) != ZERO) or repetitions(game, ply) >= np.uint64(3)


@kernel
def reply(game, plies, announce, masks, sheets):
    for i in range(plies.shape[0]):
        sheet, later = sheets[i], game[plies[i] + 1 : plies[i] + 2]
        kept = later.copy()
        chess.legal_masks(game[plies[i]], masks[0])
        found = outlook(game, plies[i], announce, masks)
        sheet.can_check = found & CHECKS != ZERO
        sheet.mate_in_one = found & MATES != ZERO
        sheet.can_claim_draw_paper = found & DRAWS != ZERO
        later[:] = kept


@kernel
def threat(game, plies, masks, sheets):
    """Whether the opponent could mate if the side to move passed; it may not pass when in check."""
    for i in range(plies.shape[0]):
        later = game[plies[i] + 1 : plies[i] + 3]
        kept = later.copy()
        later[0] = game[plies[i]]
        later[0, FLAGS] = (later[0, FLAGS] ^ ONE) & ~JUMPED
        chess.legal_masks(later[0], masks[0])
        found = outlook(game, plies[i] + 1, False, masks)
        sheets[i].mate_threat = found & MATES != ZERO and not is_check(game[plies[i]])
        later[:] = kept


@kernel
def outlook(game, ply, announce, masks):
    """What some legal move of masks[0] does: CHECKS, MATES, and if `announce` is set DRAWS: a draw can be claimed.

    The row after `ply` and masks[1] are scratch.
    """
    position, after = game[ply], game[ply + 1]
    us, _ = chess.colours(position)
    promoting, found = chess.promoting(position, us), ZERO
    if announce and is_claimable(game, ply, masks[0]):
        found |= DRAWS
    for origin in range(64):
        targets, promotes = masks[0, origin], promoting >> np.uint64(origin) & ONE
        while targets:
            for promotion in range(promotes, np.uint64(5) if promotes else ONE):
                after[:] = position
                chess.make(after, np.uint64(origin), lowest(targets), np.uint64(promotion))
                checks = is_check(after)
                if checks or announce:
                    chess.legal_masks(after, masks[1])
                if checks:
                    found |= CHECKS | (ZERO if union(masks[1]) else MATES)
                if announce and is_claimable(game, ply + 1, masks[1]):
                    found |= DRAWS
            targets &= targets - ONE
    return found


@inline
def is_check(position):
    us, them = chess.colours(position)
    occupied, queens = chess.side(position, us) | chess.side(position, them), position[them + QUEEN]
    king = lowest(position[us + KING])
    checks = KNIGHT_ATTACKS[king] & position[them + KNIGHT]
    checks |= chess.pawn_attacks(king, us != ZERO) & position[them + PAWN]
    checks |= chess.rook_attacks(king, occupied) & (position[them + ROOK] | queens)
    checks |= chess.bishop_attacks(king, occupied) & (position[them + BISHOP] | queens)
    return checks != ZERO
