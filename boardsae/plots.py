"""Figures, each a function of a record: which layer holds the board, how well a model plays."""

from math import isnan
from pathlib import Path
from typing import Any

from boardsae.models import in_words

BLUE, ORANGE, GREEN = "#0072b2", "#d55e00", "#009e73"  # told apart without colour vision


def gate_figure(record: dict[str, Any], title: str, path: Path) -> None:
    """Play by ply on the left, what linear probes find by layer on the right, the model beside its random twin."""
    from matplotlib.figure import Figure

    groups = _held_groups(record["by_layer"]["trained"][record["layer"]])
    figure = Figure(figsize=(11, max(5.2, 0.17 * len(groups) + 1.5)), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=[1, 1.25])
    _draw_play(left, record["by_ply"], record.get("unit", "plies"))
    _draw_layers(figure, right, record["by_layer"], record["layer"], groups)
    verdict = "passes the gate" if record["passes"] else "does not pass the gate"
    figure.suptitle(f"{title}, {in_words(record)}: {verdict}", fontsize=13)
    figure.savefig(path, dpi=160)


def curves_figure(rows: list[dict[str, float]], title: str, path: Path) -> None:
    """How training went, over tokens: the loss, its distance from the exact policy where that is known, legality."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import EngFormatter, MaxNLocator

    panels: list[tuple[str, tuple[str, ...], str]] = [
        ("loss, nats a token", ("train_loss", "loss"), "linear"),
        ("legality", ("legal_mass", "top1_legal"), "linear"),
    ]
    if "gap" in rows[0]:
        gaps = [row["gap"] for row in rows]
        scale = "log" if max(gaps) > 5 * min(gaps) > 0 else "linear"
        panels.insert(1, ("nats above the exact policy", ("gap",), scale))
    figure = Figure(figsize=(4 * len(panels), 3.8), layout="constrained")
    tokens = [row["tokens"] for row in rows]
    for axes, (heading, names, scale) in zip(figure.subplots(1, len(panels)), panels, strict=True):
        for name, colour, style in zip(names, (ORANGE, BLUE), ("--", "-"), strict=False):
            values = [row[name] for row in rows]
            axes.plot(tokens, values, style, color=colour, label=CURVES[name], linewidth=2)
        axes.set(xlabel="tokens", title=heading, yscale=scale)
        axes.xaxis.set_major_locator(MaxNLocator(5))
        axes.xaxis.set_major_formatter(EngFormatter())
        if len(names) > 1:
            axes.legend(frameon=False)
        axes.grid(alpha=0.3)
        axes.spines[["top", "right"]].set_visible(False)
    figure.suptitle(title, fontsize=13)
    figure.savefig(path, dpi=160)


CURVES = {
    "train_loss": "of one training batch",
    "loss": "next token, held out",
    "gap": "held out",
    "legal_mass": "chance on legal moves",
    "top1_legal": "top move is legal",
}


def _draw_play(axes: Any, play: dict[str, list[float]], unit: str) -> None:
    plies = range(1, len(play["live"]) + 1)
    lines = (
        ("top1_legal", "top move is legal", BLUE, "-"),
        ("legal_mass", "chance on legal moves", ORANGE, "--"),
    )
    for name, label, colour, style in (*lines, ("legal_f1", "F1 of the legal set", GREEN, ":")):
        axes.plot(plies, play[name], style, color=colour, label=label, linewidth=2)
    axes.set(xlabel=f"{unit} read", ylabel="mean over held-out games", title="Does it play by the rules?")
    axes.legend(loc="best", framealpha=0.7, edgecolor="none")
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)


def _held_groups(layer: dict[str, Any]) -> list[str]:
    """Groups of predicates, the best held first; without those that never vary within a ply."""
    phi = {name: group["phi"] for name, group in layer["groups"].items()}
    return sorted((name for name in phi if not isnan(phi[name])), key=lambda name: -phi[name])


def _draw_layers(
    figure: Any, axes: Any, layers: dict[str, list[dict[str, Any]]], chosen: int, groups: list[str]
) -> None:
    trained, random = layers["trained"], layers["random"]
    columns = [*trained, *random]
    table = [
        [column["groups"].get(group, {}).get("phi", float("nan")) for column in columns] for group in groups
    ]
    image = axes.imshow(table, aspect="auto", cmap="cividis", vmin=0, vmax=1)
    for row, values in enumerate(table):
        for column, phi in enumerate(values):
            ink = "black" if phi > 0.55 else "white"
            axes.text(column, row, f"{phi:.2f}", ha="center", va="center", color=ink, fontsize=7)
    axes.axvline(len(trained) - 0.5, color="white", linewidth=4)
    axes.set_yticks(range(len(groups)), [group.replace("_", " ") for group in groups], fontsize=8)
    axes.set_xticks(range(len(columns)), [f"{c['layer']}" for c in columns])
    axes.set_xlabel(f"layer: the model on the left (best {chosen}), its random-weight twin on the right")
    axes.set_title("Which layer holds the board? (within-ply phi of linear probes)")
    figure.colorbar(image, ax=axes, shrink=0.8)
