"""The published table of othello-v1: every variant at four sparsities or more, three seeds each.

    boardsae sweep benchmarks/othello_v1.py
    boardsae score results/othello-v1
    boardsae leaderboard --write

Some 230 SAEs of 4,096 features, 50M positions each: hours on one GPU. Coefficients are of inputs whose mean squared
norm is 1. They are not calibrated on this model yet; `boardsae train-sae --target-l0` finds others.
"""

from boardsae.grid import published, zoo

SIZE = {"d_sae": 4096, "rows": 50_000_000}
L1, ANNEALED, TAIL = (
    (0.006, 0.012, 0.025, 0.05, 0.1),
    (0.003, 0.006, 0.012, 0.025, 0.05),
    (0.0005, 0.0015, 0.005, 0.015),
)
SPARSITIES = zoo(
    (8, 18, 40, 90),
    standard=L1,
    local=L1,
    gated=L1,
    p_anneal=ANNEALED,
    gated_p_anneal=ANNEALED,
    jumprelu=(0.0002, 0.0005, 0.001, 0.002, 0.004),
    e2e=TAIL,
    e2e_ds=TAIL,
)
SPECS = published("othello-v1", SPARSITIES, **SIZE)
