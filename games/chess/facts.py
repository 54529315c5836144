"""What the kernels find out about one position: each step fills in some planes on a sheet of facts.

A sheet is a record with one 64-bit field a plane, named as in `games.chess.predicates`.
"""

import numpy as np

from games.bits import FULL, ONE, TWO, ZERO, inline, kernel, lowest, popcount
from games.chess import kernels as chess
from games.chess import predicates, rules
from games.chess.kernels import BISHOP, FLAGS, KING, KNIGHT, LAST, PAWN, PLY, QUEEN, ROOK, SIX, SIXTEEN
from games.chess.play import DARK, drawn, repetitions

SHEET = np.dtype([(plane.name, np.uint64) for plane in predicates.PLANES])
NAMES = tuple(SHEET.fields or ())
MY, THEIR, WHITE, BLACK = (NAMES.index(f"{side}_pawn") for side in ("my", "their", "white", "black"))
PAPER_BLACK, PAPER_WHITE = NAMES.index("black_king_paper"), NAMES.index("white_pawn_paper")
START = chess.pack(rules.start())
FIRST_PREY = np.array([1, 3, 3, 4, 5, 6])  # of each kind: it forks kings and what is worth more than itself
JUMPED = np.uint64(127 << 8)  # the bits of the en-passant square
THREE, FIVE, NINE = np.uint64(3), np.uint64(5), np.uint64(9)

# The planes of each step but the first, `count`, which fills in all that is in no other.
STEPS = {
    "place": (
        *("occupied", "empty", "mine", "theirs", "white", "black"),
        *(
            f"{owner}_{kind}"
            for owner in ("my", "their", "white", "black")
            for kind in predicates.KINDS.values()
        ),
        *predicates.PAPER_BOARD,
    ),
    "attack": (
        *(f"{my}_{fact}" for my in ("my", "their") for fact in ("attacks", "hanging_piece", "hanging")),
        "threat_paper",
    ),
    "pin": (
        *(f"{my}_{fact}" for my in ("my", "their") for fact in ("pin", "pinned", "pinned_by")),
        *(f"{my}_{fact}" for my in ("my", "their") for fact in ("fork", "forking", "forked")),
        *("pin", "fork_paper", "specific_fork_paper"),
    ),
    "move": (
        *("legal", "check", "checked_by", "double_check", "can_capture_queen", "ambiguous"),
        *("en_passant", "en_passant_to", "legal_moves_paper", "can_capture_queen_paper"),
    ),
    "pseudo": ("pseudo_legal",),
    "reply": ("can_check", "mate_in_one"),
    "threat": ("mate_threat",),
    "end": ("over", "checkmate", "stalemate", "can_claim_draw"),
    "announce": ("can_claim_draw_paper",),
}
REST = tuple(name for name in NAMES if not any(name in planes for planes in STEPS.values()))
COUNT, PLACE, ATTACK, PIN, MOVE, PSEUDO, REPLY, THREAT, END, ANNOUNCE = range(len(STEPS) + 1)


def steps(planes: set[str]) -> np.ndarray:
    """For each step, whether it fills in one of these planes."""
    return np.array([bool(planes.intersection(filled)) for filled in (REST, *STEPS.values())])


@kernel
def fill(game, ply, needed, masks, words, sheet):
    """Fills in the needed steps for the position after `ply` plies; `words` is the sheet as an array.

    The next two rows of `game`, and three boards of masks, are scratch.
    """
    position = game[ply]
    us, them = chess.colours(position)
    own, foe = chess.side(position, us), chess.side(position, them)
    if needed[COUNT]:
        count(position, us, them, own | foe, sheet)
    if needed[PLACE]:
        place(position, us, them, own, foe, words, sheet)
    if needed[ATTACK]:
        attack(position, us, them, own, foe, sheet)
    if needed[PIN]:
        pin(position, us, them, own, foe, sheet)
    if needed[PSEUDO]:
        chess.pseudo_masks(position, masks[0])
        sheet.pseudo_legal = union(masks[0])
    if needed[MOVE] or needed[REPLY] or needed[THREAT] or needed[END] or needed[ANNOUNCE]:
        checks = chess.legal_masks(position, masks[0])
        if needed[MOVE]:
            move(position, us, them, own | foe, checks, masks[0], sheet)
        if needed[END]:
            end(game, ply, checks, masks[0], sheet)
        if needed[REPLY] or needed[ANNOUNCE]:
            found = outlook(game, ply, masks, needed[ANNOUNCE])
            sheet.can_check = found & CHECKS != ZERO
            sheet.mate_in_one = found & MATES != ZERO
            sheet.can_claim_draw_paper = found & DRAWS != ZERO
        if needed[THREAT]:
            sheet.mate_threat = checks == ZERO and is_mate_threat(game, ply, masks)


@inline
def place(position, us, them, own, foe, words, sheet):
    sheet.occupied = own | foe
    sheet.empty = ~(own | foe)
    sheet.mine = own
    sheet.theirs = foe
    sheet.white = foe if us else own
    sheet.black = own if us else foe
    for i in range(6):
        kind = np.uint64(i)
        words[MY + i] = position[us + kind]
        words[THEIR + i] = position[them + kind]
        words[WHITE + i] = position[kind]
        words[BLACK + i] = position[SIX + kind]
        words[PAPER_WHITE + i] = position[kind] & ~START[i]
        words[PAPER_BLACK + 5 - i] = position[SIX + kind] & ~START[6 + i]


@inline
def attack(position, us, them, own, foe, sheet):
    mine = chess.attacked(position, us, own | foe)
    theirs = chess.attacked(position, them, own | foe)
    sheet.my_attacks = mine
    sheet.their_attacks = theirs
    sheet.threat_paper = mine if us else theirs
    sheet.my_hanging = own & theirs & ~mine & ~position[us + KING]
    sheet.their_hanging = foe & mine & ~theirs & ~position[them + KING]
    sheet.my_hanging_piece = sheet.my_hanging != ZERO
    sheet.their_hanging_piece = sheet.their_hanging != ZERO


@inline
def pin(position, us, them, own, foe, sheet):
    sheet.my_pinned, sheet.my_pinned_by = pins(position, us, them, own, foe)
    sheet.their_pinned, sheet.their_pinned_by = pins(position, them, us, foe, own)
    sheet.my_pin = sheet.my_pinned != ZERO
    sheet.their_pin = sheet.their_pinned != ZERO
    sheet.pin = sheet.my_pin | sheet.their_pin
    free, occupied = own & ~sheet.my_pinned, own | foe
    sheet.my_forking, sheet.their_forked, paper, knights = forks(position, us, them, free, occupied)
    sheet.fork_paper = paper
    sheet.specific_fork_paper = knights
    free = foe & ~sheet.their_pinned
    sheet.their_forking, sheet.my_forked, paper, knights = forks(position, them, us, free, occupied)
    sheet.my_fork = sheet.my_forking != ZERO
    sheet.their_fork = sheet.their_forking != ZERO


@inline
def pins(position, us, them, own, foe):
    """The pieces pinned to the king of `us`, and a bit for each kind that pins one: bishop, rook, queen."""
    checks, pinned = chess.checks_and_pins(position, us, them, own, foe)
    king, seen_through = lowest(position[us + KING]), (own | foe) ^ pinned
    rooks, bishops, queens = position[them + ROOK], position[them + BISHOP], position[them + QUEEN]
    straight, diagonal = chess.rook_attacks(king, seen_through), chess.bishop_attacks(king, seen_through)
    pinners = (straight & (rooks | queens) | diagonal & (bishops | queens)) & ~checks
    by_bishop, by_rook = np.uint64(pinners & bishops != ZERO), np.uint64(pinners & rooks != ZERO)
    return pinned, by_bishop | by_rook << ONE | np.uint64(pinners & queens != ZERO) << TWO


@kernel
def forks(position, us, them, free, occupied):
    """Which free pieces fork, what they fork, and whether the paper's code sees a fork or a knight fork.

    That code adds up the attacks of all pieces of a kind, on one kind of prey at a time.
    """
    forking, forked, paper, knights = ZERO, ZERO, False, False
    attacks_on = np.zeros(6, np.uint64)
    for kind in range(5):
        first = FIRST_PREY[kind]
        prey = ZERO
        for i in range(first, 6):
            prey |= position[them + np.uint64(i)]
        attacks_on[:] = ZERO
        pieces = position[us + np.uint64(kind)] & free
        while pieces:
            attacks = attacks_of(np.uint64(kind), lowest(pieces), us, occupied) & prey
            if attacks & (attacks - ONE):
                forking |= pieces & (ZERO - pieces)
                forked |= attacks
            for i in range(first, 6):
                attacks_on[i] += popcount(attacks & position[them + np.uint64(i)])
            pieces &= pieces - ONE
        if kind < 4:
            paper = paper or attacks_on.max() >= TWO
        if kind == 1:
            knights = attacks_on.sum() >= TWO
    return forking, forked, paper, knights


@inline
def attacks_of(kind, square, first, occupied):
    """The squares that a piece of the colour whose words start at `first` attacks; not for kings."""
    if kind == PAWN:
        return chess.pawn_attacks(square, np.uint64(first != ZERO))
    if kind == KNIGHT:
        return chess.KNIGHT_ATTACKS[square]
    found = ZERO
    if kind != ROOK:
        found |= chess.bishop_attacks(square, occupied)
    if kind != BISHOP:
        found |= chess.rook_attacks(square, occupied)
    return found


@inline
def move(position, us, them, occupied, checks, masks, sheet):
    legal, queens = union(masks), position[them + QUEEN]
    sheet.legal = legal
    sheet.legal_moves_paper = ZERO if us else legal
    sheet.check = checks != ZERO
    sheet.double_check = popcount(checks) == TWO
    by = ZERO
    for kind in range(5):
        by |= np.uint64(checks & position[them + np.uint64(kind)] != ZERO) << np.uint64(kind)
    sheet.checked_by = by
    sheet.can_capture_queen = legal & queens != ZERO
    sheet.can_capture_queen_paper = (
        queens and legal >> (np.uint64(63) - chess.zeros_above(queens)) & ONE != ZERO
    )
    passant = ZERO
    if chess.en_passant_origins(position, us, them, occupied):
        passant = chess.passant(position)
    sheet.en_passant_to = passant
    sheet.en_passant = passant != ZERO
    sheet.ambiguous = is_ambiguous(position, us, masks)


@inline
def union(masks):
    found = ZERO
    for origin in range(64):
        found |= masks[origin]
    return found


@inline
def is_ambiguous(position, us, masks):
    twice = ZERO
    for kind in range(5):
        once = ZERO
        pieces = position[us + np.uint64(kind)]
        while pieces:
            targets = masks[lowest(pieces)]
            twice |= once & targets
            once |= targets
            pieces &= pieces - ONE
    return twice != ZERO


@inline
def count(position, us, them, occupied, sheet):
    flags, black = position[FLAGS], us != ZERO
    sheet.white_to_move = not black
    sheet.castling = flags >> ONE & np.uint64(15)
    sheet.my_castling_side = sheet.castling >> (TWO if black else ZERO) & THREE
    sheet.my_castling = sheet.my_castling_side != ZERO
    mine, theirs = material(position, us), material(position, them)
    sheet.my_material = ladder(mine, 39)
    sheet.their_material = ladder(theirs, 39)
    sheet.lead = ladder(np.int64(mine) - np.int64(theirs) + 21, 41)
    sheet.ply = ladder(position[PLY] >> TWO, 64)
    sheet.my_queen_present = position[us + QUEEN] != ZERO
    sheet.their_queen_present = position[them + QUEEN] != ZERO
    sheet.my_bishop_pair = is_pair(position[us + BISHOP])
    sheet.their_bishop_pair = is_pair(position[them + BISHOP])
    sheet.bishop_pair_paper = popcount(position[us + BISHOP]) >= TWO
    sheet.my_rooks_connected = are_connected(position[us + ROOK], occupied)
    sheet.their_rooks_connected = are_connected(position[them + ROOK], occupied)
    sheet.castling_kingside_paper = sheet.my_castling_side & ONE
    sheet.castling_queenside_paper = sheet.my_castling_side >> ONE
    last(position, them, sheet)


@inline
def last(position, them, sheet):
    """The last move; a pawn that captured changed its file, any other piece that captured reset the clock."""
    move = position[LAST]
    origin, target = chess.ORIGIN[move], chess.TARGET[move]
    played = np.uint64(move != ZERO)
    was_pawn = chess.PROMOTION[move] != ZERO or position[them + PAWN] >> target & ONE != ZERO
    changed_file = (origin ^ target) & np.uint64(7) != ZERO
    sheet.moved_from = played << origin
    sheet.moved_to = played << target
    sheet.captured = played & np.uint64(changed_file if was_pawn else position[FLAGS] >> SIXTEEN == ZERO)


@inline
def material(position, us):
    minor = popcount(position[us + KNIGHT] | position[us + BISHOP])
    major = FIVE * popcount(position[us + ROOK]) + NINE * popcount(position[us + QUEEN])
    return popcount(position[us + PAWN]) + THREE * minor + major


@inline
def ladder(n, rungs):
    """The lowest n of up to 64 bits."""
    n = max(min(np.int64(n), rungs), 0)
    return FULL if n == 64 else (ONE << np.uint64(n)) - ONE


@inline
def is_pair(bishops):
    return bishops & DARK != ZERO and bishops & ~DARK != ZERO


@inline
def are_connected(rooks, occupied):
    others, found = rooks, ZERO
    while others:
        found |= chess.rook_attacks(lowest(others), occupied) & rooks
        others &= others - ONE
    return found != ZERO


@inline
def end(game, ply, checks, masks, sheet):
    stuck = union(masks) == ZERO
    sheet.over = stuck or drawn(game, ply)
    sheet.checkmate = stuck and checks != ZERO
    sheet.stalemate = stuck and checks == ZERO
    sheet.can_claim_draw = is_claimable(game, ply, masks)


@inline
def is_claimable(game, ply, masks):
    """Whether the position stands for the third time, or 50 moves passed quietly and a move is legal."""
    clock = game[ply, FLAGS] >> SIXTEEN
    return (clock >= np.uint64(100) and union(masks) != ZERO) or repetitions(game, ply) >= THREE


CHECKS, MATES, DRAWS = ONE, TWO, np.uint64(4)


@kernel
def outlook(game, ply, masks, announce):
    """What some legal move does: CHECKS, MATES, and if `announce` is set DRAWS: a draw can be claimed."""
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
    checks = chess.KNIGHT_ATTACKS[king] & position[them + KNIGHT]
    checks |= chess.pawn_attacks(king, us != ZERO) & position[them + PAWN]
    checks |= chess.rook_attacks(king, occupied) & (position[them + ROOK] | queens)
    checks |= chess.bishop_attacks(king, occupied) & (position[them + BISHOP] | queens)
    return checks != ZERO


@inline
def is_mate_threat(game, ply, masks):
    """Whether the opponent could mate if the side to move passed."""
    passed = game[ply + 1]
    passed[:] = game[ply]
    passed[FLAGS] = (passed[FLAGS] ^ ONE) & ~JUMPED
    chess.legal_masks(passed, masks[1])
    return outlook(game, ply + 1, masks[1:], False) & MATES != ZERO
