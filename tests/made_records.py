"""Runs on disk whose scores are a known function of variant, sparsity and seed."""

import json
import math

HASHES = {"model": "a" * 64, "games": "b" * 64}
LEVELS = {"standard": 0.4, "topk": 0.6, "p_anneal": 0.5}
L0S = (8.0, 16.0, 32.0, 96.0)
SQUARES = [f"{column}{row}" for row in range(1, 7) for column in "abcdef"]


def score(variant, l0, seed):
    """A straight line in log L0, one higher for each variant, and a hundredth higher for each seed."""
    return LEVELS.get(variant, 0.3) + 0.1 * math.log(l0 / 8) + 0.01 * seed


def cell(value, half=0.02, reason=None):
    low, high = (None, None) if value is None else (value - half, value + half)
    return {"value": value, "low": low, "high": high, "split": "report", "reason": reason}


def record_of(variant, l0, seed, **changes):
    value = score(variant, l0, seed)
    metrics = {
        "l0@1": cell(l0, 0.1),
        "coverage@1": cell(value),
        "cov_x@1": cell(value - 0.3),
        "reconstruction@1": cell(value + 0.1),
        "explained_variance@1": cell(0.5 + value / 4),
        "ce_increase@1": cell(1 / l0 / value),
    }
    predicates = [
        {"name": f"{square} is {group}", "group": group, "f1": min(1.0, value + 0.01 * at), "null": 0.1}
        for group in ("mine", "theirs")
        for at, square in enumerate(SQUARES)
    ]
    subject = {"name": f"{variant} {l0:g}", "variant": variant, "d_sae": 1024, "seed": seed}
    return {
        "schema": 1,
        "task": "othello6-v1",
        "hashes": HASHES,
        "layer": 1,
        "subject": subject,
        "comparable": True,
        "metrics": metrics,
        "predicates": predicates,
        "seconds": {"score": 3.5},
    } | changes


SPARSITY = {"standard": "l1", "p_anneal": "l1", "topk": "k"}


def write_run(root, variant, l0, seed, options=None, record=None, task="othello6-v1", **spec):
    options = options or {SPARSITY.get(variant, "k"): l0}
    told = ",".join(f"{name}={value}" for name, value in (options | spec).items())
    path = root / task / variant / told.replace("/", "") / f"seed={seed}"
    path.mkdir(parents=True)
    facts = {
        "task": task,
        "variant": variant,
        "options": options,
        "d_sae": 1024,
        "rows": 2000,
        "seed": seed,
    }
    write(path / "spec.json", facts | spec)
    write(path / "boardsae.json", {"seconds": 10.0, "trials": 1})
    write(path / "scores.json", record or record_of(variant, l0, seed, task=task))
    log = ["step,rows,error,l0,explained_variance"]
    log += [
        f"{step},{step * 4096},{1 / (step + 1)},{l0 + 50 / (step + 1)},{1 - 1 / (step + 2)}"
        for step in range(20)
    ]
    (path / "log.csv").write_text("\n".join(log) + "\n")
    return path


def write(path, value):
    path.write_text(json.dumps(value))


def write_controls(root, task="othello6-v1"):
    folder = root / task / "controls"
    folder.mkdir(parents=True, exist_ok=True)
    controls = [
        record_of(name, 1.0, 0, subject={"name": name, "variant": name}, task=task)
        for name in ("always_on", "clock", "perfect")
    ]
    write(folder / "scores.json", {"controls": controls})


def write_all(root, seeds=3, task="othello6-v1"):
    for variant in ("standard", "p_anneal", "topk"):
        for l0 in L0S:
            for seed in range(seeds):
                write_run(root, variant, l0, seed, task=task)
    write_controls(root, task)
    return root
