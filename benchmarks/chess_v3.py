"""The published table of chess-v3: runs of the width of the Othello tables, and of half of their rows.

    boardsae sweep benchmarks/chess_v3.py
    boardsae score results/chess-v3
    boardsae leaderboard --write

192 SAEs of 1,024 features, 500,000 positions each. A step costs what it does on Othello, but a score takes six
times as long, for there are 4,084 predicates.
"""

from boardsae.grid import published, zoo

SIZE = {"d_sae": 1024, "rows": 500_000}
SPARSITIES = zoo(
    (8, 18, 45, 90),
    standard=(0.055, 0.11, 0.19, 0.28),
    local=(0.05, 0.1, 0.16, 0.28),
    p_anneal=(0.027, 0.055, 0.12, 0.2),
    gated=(0.065, 0.12, 0.22, 0.33),
    gated_p_anneal=(0.055, 0.085, 0.14, 0.23),
    jumprelu=(0.0006, 0.0015, 0.0045, 0.012),
    e2e=(0.12, 0.38, 1.0, 2.8),
    e2e_ds=(),  # the layer is the last: no residual streams are left to match
)
SPECS = published("chess-v3", SPARSITIES, **SIZE)
