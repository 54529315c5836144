"""What the kernels find out about the positions of a game: each step fills in some planes on sheets of facts.

A sheet is a record with one 64-bit field a plane, named as in `games.chess.predicates`. All positions of a game
stand in an array, row p the one after p plies; two rows after the last are free for looking ahead.
"""

import numpy as np

from games.bits import FULL, ONE, TWO, ZERO, inline, kernel, lowest, popcount
from games.chess import kernels as chess
from games.chess import predicates, rules
from games.chess.kernels import BISHOP, FLAGS, KING, KNIGHT, LAST, PAWN, PLY, QUEEN, ROOK, SIX, SIXTEEN
from games.chess.play import DARK, drawn, repetitions
from games.chess.tables import KNIGHT_ATTACKS, ORIGIN, PROMOTION, TARGET

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
        *("legal", "check", "checked_by", "double_check", "can_capture_queen"),
        *("en_passant", "en_passant_to", "legal_moves_paper", "can_capture_queen_paper"),
    ),
    "rival": ("ambiguous",),
    "pseudo": ("pseudo_legal",),
    "reply": ("can_check", "mate_in_one"),
    "threat": ("mate_threat",),
    "end": ("over", "checkmate", "stalemate", "can_claim_draw"),
    "announce": ("can_claim_draw_paper",),
}
REST = tuple(name for name in NAMES if not any(name in planes for planes in STEPS.values()))
COUNT, PLACE, ATTACK, PIN, MOVE, RIVAL, PSEUDO, REPLY, THREAT, END, ANNOUNCE = range(len(STEPS) + 1)


def steps(planes: set[str]) -> np.ndarray:
    """For each step, whether it fills in one of these planes."""
    return np.array([bool(planes.intersection(filled)) for filled in (REST, *STEPS.values())])


@inline
def fill(game, plies, needed, masks, words, sheets):
    """Fills in the needed steps of a sheet for each of some plies of a game; `words` are the same sheets as an array.

    A step runs through all plies before the next one starts. Two boards of masks are scratch.
    """
    if needed[COUNT]:
        count(game, plies, sheets)
    if needed[PLACE]:
        place(game, plies, words, sheets)
    if needed[ATTACK]:
        attack(game, plies, sheets)
    if needed[PIN]:
        pin(game, plies, sheets)
    if needed[RIVAL]:
        rival(game, plies, masks[0], sheets)
    if needed[PSEUDO]:
        pseudo(game, plies, masks[0], sheets)
    if needed[MOVE]:
        move(game, plies, masks[0], sheets)
    if needed[END]:
        end(game, plies, masks[0], sheets)
    if needed[REPLY] or needed[ANNOUNCE]:
        reply(game, plies, needed[ANNOUNCE], masks, sheets)
    if needed[THREAT]:
        threat(game, plies, masks, sheets)


@inline
def sides(position):
    """The first words of the side to move and of its opponent, and all the pieces of each."""
    us, them = chess.colours(position)
    return us, them, chess.side(position, us), chess.side(position, them)


@kernel
def place(game, plies, words, sheets):
    for i in range(plies.shape[0]):
        position, sheet = game[plies[i]], sheets[i]
        us, them, own, foe = sides(position)
        sheet.occupied = own | foe
        sheet.empty = ~(own | foe)
        sheet.mine = own
        sheet.theirs = foe
        sheet.white = foe if us else own
        sheet.black = own if us else foe
        for k in range(6):
            kind = np.uint64(k)
            words[i, MY + k] = position[us + kind]
            words[i, THEIR + k] = position[them + kind]
            words[i, WHITE + k] = position[kind]
            words[i, BLACK + k] = position[SIX + kind]
            words[i, PAPER_WHITE + k] = position[kind] & ~START[k]
            words[i, PAPER_BLACK + 5 - k] = position[SIX + kind] & ~START[6 + k]


@kernel
def attack(game, plies, sheets):
    for i in range(plies.shape[0]):
        position, sheet = game[plies[i]], sheets[i]
        us, them, own, foe = sides(position)
        mine = chess.attacked(position, us, own | foe)
        theirs = chess.attacked(position, them, own | foe)
        sheet.my_attacks = mine
        sheet.their_attacks = theirs
        sheet.threat_paper = mine if us else theirs
        sheet.my_hanging = own & theirs & ~mine & ~position[us + KING]
        sheet.their_hanging = foe & mine & ~theirs & ~position[them + KING]
        sheet.my_hanging_piece = sheet.my_hanging != ZERO
        sheet.their_hanging_piece = sheet.their_hanging != ZERO


@kernel
def pin(game, plies, sheets):
    for i in range(plies.shape[0]):
        position, sheet = game[plies[i]], sheets[i]
        us, them, own, foe = sides(position)
        sheet.my_pinned, sheet.my_pinned_by = pins(position, us, them, own, foe)
        sheet.their_pinned, sheet.their_pinned_by = pins(position, them, us, foe, own)
        sheet.my_pin = sheet.my_pinned != ZERO
        sheet.their_pin = sheet.their_pinned != ZERO
        sheet.pin = sheet.my_pin | sheet.their_pin
        free = own & ~sheet.my_pinned
        sheet.my_forking, sheet.their_forked, paper, knights = forks(position, us, them, free, own | foe)
        sheet.fork_paper = paper
        sheet.specific_fork_paper = knights
        free = foe & ~sheet.their_pinned
        sheet.their_forking, sheet.my_forked, paper, knights = forks(position, them, us, free, own | foe)
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
        return KNIGHT_ATTACKS[square]
    found = ZERO
    if kind != ROOK:
        found |= chess.bishop_attacks(square, occupied)
    if kind != BISHOP:
        found |= chess.rook_attacks(square, occupied)
    return found


@kernel
def pseudo(game, plies, masks, sheets):
    for i in range(plies.shape[0]):
        chess.pseudo_masks(game[plies[i]], masks)
        sheets[i].pseudo_legal = union(masks)


@kernel
def move(game, plies, masks, sheets):
    for i in range(plies.shape[0]):
        position, sheet = game[plies[i]], sheets[i]
        us, them, own, foe = sides(position)
        checks = chess.legal_masks(position, masks)
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
        highest = ZERO if queens == ZERO else chess.TOP >> chess.zeros_above(queens)
        sheet.can_capture_queen_paper = legal & highest != ZERO
        passant = ZERO
        if chess.en_passant_origins(position, us, them, own | foe):
            passant = chess.passant(position)
        sheet.en_passant_to = passant
        sheet.en_passant = passant != ZERO


@inline
def union(masks):
    found = ZERO
    for origin in range(64):
        found |= masks[origin]
    return found


@kernel
def rival(game, plies, masks, sheets):
    """Whether two pieces of a kind may go to one square; a pawn's four promotions there are one piece's."""
    for i in range(plies.shape[0]):
        position, twice = game[plies[i]], ZERO
        us, _ = chess.colours(position)
        chess.legal_masks(position, masks)
        for kind in range(5):
            once, pieces = ZERO, position[us + np.uint64(kind)]
            while pieces:
                targets = masks[lowest(pieces)]
                twice |= once & targets
                once |= targets
                pieces &= pieces - ONE
        sheets[i].ambiguous = twice != ZERO


@kernel
def count(game, plies, sheets):
    for i in range(plies.shape[0]):
        position, sheet = game[plies[i]], sheets[i]
        us, them, own, foe = sides(position)
        rights = position[FLAGS] >> ONE & np.uint64(15)
        mine = rights >> TWO if us else rights & THREE
        sheet.white_to_move = us == ZERO
        sheet.castling = rights
        sheet.my_castling = mine != ZERO
        sheet.my_castling_side = mine
        sheet.castling_kingside_paper = mine & ONE
        sheet.castling_queenside_paper = mine >> ONE
        my_material, their_material = material(position, us), material(position, them)
        sheet.my_material = ladder(my_material, 39)
        sheet.their_material = ladder(their_material, 39)
        sheet.lead = ladder(my_material - their_material + 21, 41)
        sheet.ply = ladder(np.int64(position[PLY] >> TWO), 64)
        sheet.my_queen_present = position[us + QUEEN] != ZERO
        sheet.their_queen_present = position[them + QUEEN] != ZERO
        sheet.my_bishop_pair = is_pair(position[us + BISHOP])
        sheet.their_bishop_pair = is_pair(position[them + BISHOP])
        sheet.bishop_pair_paper = popcount(position[us + BISHOP]) >= TWO
        sheet.my_rooks_connected = are_connected(position[us + ROOK], own | foe)
        sheet.their_rooks_connected = are_connected(position[them + ROOK], own | foe)
        last(position, them, sheet)


@inline
def last(position, them, sheet):
    """The last move; a pawn that captured changed its file, any other piece that captured reset the clock."""
    move = position[LAST]
    origin, target = ORIGIN[move], TARGET[move]
    played = np.uint64(move != ZERO)
    was_pawn = PROMOTION[move] != ZERO or position[them + PAWN] >> target & ONE != ZERO
    changed_file = (origin ^ target) & np.uint64(7) != ZERO
    sheet.moved_from = played << origin
    sheet.moved_to = played << target
    sheet.captured = played & np.uint64(changed_file if was_pawn else position[FLAGS] >> SIXTEEN == ZERO)


@inline
def material(position, us):
    minor = popcount(position[us + KNIGHT] | position[us + BISHOP])
    major = FIVE * popcount(position[us + ROOK]) + NINE * popcount(position[us + QUEEN])
    return np.int64(popcount(position[us + PAWN]) + THREE * minor + major)


@inline
def ladder(n, rungs):
    """The lowest n of some bits, of which there are 64 at most."""
    n = max(min(n, rungs), 0)
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
    return (clock >= np.uint64(100) and union(masks) != ZERO) or repetitions(game, ply) >= THREE


CHECKS, MATES, DRAWS = ONE, TWO, np.uint64(4)


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
