"""The published table of othello-v2, the papers' own board: runs of the size of othello6-v2's table.

    boardsae sweep benchmarks/othello_v2.py
    boardsae score results/othello-v2
    boardsae leaderboard --write

Some 220 SAEs, an hour and a half on two cores. The coefficients of 6x6 lead to much the same L0s here; where a variant
did not reach below 10, it has a fifth.
"""

from othello6_v1 import SIZE
from othello6_v1 import SPARSITIES as SAME

from boardsae.grid import further, published

SPARSITIES = further(
    SAME,
    standard=0.29,
    local=0.27,
    p_anneal=0.18,
    gated=0.3,
    gated_p_anneal=0.16,
    jumprelu=0.01,
    e2e=1.8,
    e2e_ds=1.4,
)
SPECS = published("othello-v2", SPARSITIES, **SIZE)
