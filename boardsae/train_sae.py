"""The one training loop of all SAEs, which knows no variant by name.

Many SAEs train on one stream of activations, each as it would alone, to the bit on a CPU. Every minute each writes all
that its next step depends on into a checkpoint, so that a killed run goes on and ends with the very same weights.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

import games
from boardsae import checkpoints, dictionary, runs, saes, tasks
from boardsae.activations import lengths, scored
from boardsae.cache import MAX_GB, CachedStream
from boardsae.checkpoints import Reached
from boardsae.devices import bf16_pays, device_name, device_of, wait_for
from boardsae.files import alone_in, write_json
from boardsae.progress import progress, say
from boardsae.runs import Spec
from boardsae.saes.base import Outcome, Recipe, Step
from boardsae.saes.finetune import kl_loss
from boardsae.stream import Batch, Feed, Stream
from games.core import Transcripts, predicates

LOG_EVERY = 50  # steps
FITTED_GAMES = 2000  # for SAEs that need no training
FITTED_TRUTH = 60_000_000  # rows * predicates for those that need the truth
SILENT = 100_000  # rows without firing after which the log calls a feature dead
NOTED = {
    "l0": "L0",
    "explained_variance": "explained",
    "dead_share": "dead",
}  # columns of the log, on the bar


def feed_of(spec: Spec, task: tasks.Task) -> Feed:
    """Fine-tuned runs get whole games from the start: one stream to the end, and the rows are no others."""
    variant = saes.VARIANTS[spec.variant]
    layer = task.layer if spec.layer is None else spec.layer
    asked = {*variant.needs, *(["tail"] if spec.kl_finetune else [])}
    needs = tuple(sorted(asked & {"grad", "tail"}))
    return Feed(layer, spec.batch, needs, saes.RECIPES[spec.recipe].scaled, variant.site)


class Training:
    """An SAE in training, step by step."""

    def __init__(self, spec: Spec, stream: Stream):
        self.spec = spec
        self.recipe: Recipe = saes.RECIPES[spec.recipe]
        d = stream.first.shape[1]
        self.sae = saes.build(spec.variant, d, spec.d_sae, spec.seed, spec.recipe, **spec.options)
        self.sae.to(stream.device).start(stream.first)
        self.sae.bf16 = bf16_pays(stream.device)
        fused = stream.device.type != "mps"  # which not every torch of ours has
        self.adam = torch.optim.Adam(self.sae.parameters(), self.recipe.lr, betas=self.sae.betas, fused=fused)
        self.scale, self.device = stream.scale, stream.device
        self.step, self.seconds, self.log = 0, 0.0, list[dict[str, float]]()

    def take(self, batch: Batch) -> None:
        """One step of training."""
        logged = (self.step + 1) % LOG_EVERY == 0 or self.step + 1 == self.spec.steps
        if logged:
            wait_for(self.device)
        began = time.perf_counter()
        now = (self.step + 0.5) / self.spec.steps
        tuned = self.step >= self.spec.own_steps
        grad = batch.grad if "grad" in self.sae.needs else None
        tail = batch.tail if tuned or "tail" in self.sae.needs else None
        step = Step(batch.x, now, grad, tail, tail.clean if tail else None)
        outcome = self.with_gradients(step, tuned)
        self.sae.before_update()
        if self.recipe.clip is not None:
            torch.nn.utils.clip_grad_norm_(self.sae.parameters(), self.recipe.clip)
        for group in self.adam.param_groups:
            group["lr"] = self.recipe.lr * pace(self.recipe, now)
        self.adam.step()
        self.sae.after_step(step, outcome)
        self.step += 1
        if logged:
            wait_for(self.device)
        self.count(time.perf_counter() - began, logged)
        if logged:
            self.log.append(self.row(batch.x, outcome))
            self.check_finite()

    def count(self, seconds: float, logged: bool) -> None:
        """Every step is timed on a CPU. A device works on its own, and to wait for it at every step would hold it up:
        there a step that is logged is waited for, and stands for those since the last one.
        """
        if self.device.type == "cpu":
            self.seconds += seconds
        elif logged:
            self.seconds += seconds * (self.step - (self.log[-1]["step"] if self.log else 0))

    def with_gradients(self, step: Step, tuned: bool) -> Outcome:
        """The loss, and its gradient in every parameter: by hand where the variant has a way, else by autograd."""
        self.adam.zero_grad()
        outcome = self.sae.by_hand(step) if not tuned and self.sae.has_gradients_by_hand() else None
        if outcome is None:
            outcome = kl_loss(self.sae, step) if tuned else self.sae.loss(step)
            torch.stack([*outcome.terms.values()]).sum().backward()
        return outcome

    @torch.no_grad()
    def row(self, x: Tensor, outcome: Outcome) -> dict[str, float]:
        """What the log says of a step; it looks and changes nothing."""
        left = (x - outcome.x_hat).square().sum()
        spread = (x - x.mean(0)).square().sum()
        return {
            "step": self.step,
            "rows": self.step * self.spec.batch,
            "seconds": round(self.seconds, 3),
            "rows_per_second": round(self.step * self.spec.batch / self.seconds),
            **{name: term.item() for name, term in outcome.terms.items()},
            "l0": (outcome.f != 0).sum().item() / len(x),
            "explained_variance": 1 - (left / spread).item(),
            "dead_share": self.sae.dead(SILENT).float().mean().item(),
        }

    def check_finite(self) -> None:
        """A run that lost its numbers stops; its last checkpoint is from before."""
        if bad := [name for name, p in self.sae.named_parameters() if not torch.isfinite(p).all()]:
            raise FloatingPointError(
                f"{', '.join(bad)} no longer finite at step {self.step}; try a weaker penalty or another recipe"
            )


class Run(Training):
    """An SAE in training in a folder, as far as its checkpoint has got."""

    def __init__(self, spec: Spec, folder: Path, stream: Stream):
        super().__init__(spec, stream)
        self.folder = folder
        self.resume()

    def checkpoint(self) -> None:
        self.check_finite()
        checkpoints.write(self.folder, self.sae, [self.adam], Reached(self.step, self.seconds, self.log))

    def resume(self) -> None:
        reached = checkpoints.resume(self.folder, self.sae, [self.adam])
        if reached is not None:
            self.step, self.seconds, self.log = reached

    def end(self, held_out: Tensor, gradient: Tensor | None, facts: dict[str, Any]) -> None:
        """Thresholds from held-out rows, raw scale, and the files that make this a trained run."""
        self.check_finite()
        self.sae.bf16 = False  # as it will be scored
        self.sae.finish(held_out)
        both = self.both_ways(held_out, gradient)
        self.sae.fold(self.scale)
        checkpoints.write_log(self.folder, self.log)
        dictionary.write(self.folder, self.sae.saved(), metadata(self.spec, facts))
        last = self.log[-1] if self.log else {}
        record = {"seconds": round(self.seconds, 1), "scale": self.scale, "steps": self.step, "last": last}
        record["products"] = "bfloat16" if bf16_pays(held_out.device) else "float32"
        record["dead_after_rows"] = SILENT
        write_json(self.folder / "boardsae.json", record | both | facts)
        (self.folder / checkpoints.FILE).unlink(missing_ok=True)

    @torch.no_grad()
    def both_ways(self, x: Tensor, gradient: Tensor | None) -> dict[str, Any]:
        """What held-out rows give, as scored and as trained, of a variant that trains by the gradient."""
        trained = None if gradient is None else self.sae.encode_as_trained(x, gradient)
        if trained is None:
            return {}
        ways = {"as_scored": self.sae.encode(x), "as_trained": trained}
        spread = (x - x.mean(0)).square().sum()
        return {
            name: {
                "l0": (f != 0).sum().item() / len(x),
                "explained_variance": 1 - ((x - self.sae.decode(f)).square().sum() / spread).item(),
            }
            for name, f in ways.items()
        }


def metadata(spec: Spec, facts: dict[str, Any]) -> dict[str, Any]:
    """What cfg.json says beside the layout, in the words of SAELens where it has some."""
    return {
        "model_name": facts["task"],
        "hook_name": facts["hook"],
        "context_size": facts["context"],
        "prepend_bos": False,
        "training_architecture": spec.variant,
        "training_architecture_details": spec.options,
    }


def pace(recipe: Recipe, progress: float) -> float:
    """The share of the learning rate: up, level, and down at the end."""
    up = progress / recipe.warmup if recipe.warmup else 1.0
    down = (1 - progress) / recipe.decay if recipe.decay else 1.0
    return min(up, down, 1.0)


def train(
    asked: Sequence[tuple[Spec, Path]],
    opened: tasks.Open,
    force: bool = False,
    device: str = "auto",
    cache: Path | None = None,
    max_gb: float = MAX_GB,
    trials: int = 1,
) -> dict[Path, str | None]:
    """Trains the runs into their folders; what is trained already stays. Answers with every run's error, or None.

    `trials` is how many runs it took to choose each spec, itself included.
    """
    where = device_of(device)
    results: dict[Path, str | None] = {folder: None for _, folder in asked}
    packs: dict[Feed, list[tuple[Spec, Path]]] = {}
    for spec, _ in asked:
        check_layer(spec, opened)
    with ExitStack() as ours:
        for spec, folder in asked:
            ours.enter_context(alone_in(folder))
            if not force:
                runs.check_free(folder, spec, opened.hashes)
            if runs.is_trained(folder) and not force:
                say(f"{folder} is trained already")
            else:
                packs.setdefault(feed_of(spec, opened.task), []).append((spec, folder))
        streams = {  # which may be refused: only then is anything of the runs written or taken away
            feed: Stream(opened, feed, where)
            if cache is None
            else CachedStream(opened, feed, where, cache, max(spec.steps for spec, _ in pack), max_gb)
            for feed, pack in packs.items()
        }
        for spec, folder in asked:
            if force:
                runs.clear(folder)
            runs.begin(folder, spec, opened.hashes)
        for feed, pack in packs.items():
            results |= train_pack(pack, streams.pop(feed), opened, trials)
    return results


def check_layer(spec: Spec, opened: tasks.Open) -> None:
    """Whether the model has the layer, and streams between it and the last one for a loss that is about them."""
    layer, shape = feed_of(spec, opened.task).layer, opened.model.shape
    tasks.check_layer(layer, opened)
    if "later" in saes.VARIANTS[spec.variant].needs and not tasks.has_later(layer, shape):
        raise ValueError(
            f"expected a block between the layer and the last one for {spec.variant}, got layer {layer} of 0 to"
            f" {shape.layers - 1}; give an earlier --layer, or train e2e"
        )


def train_pack(
    pack: Sequence[tuple[Spec, Path]], stream: Stream, opened: tasks.Open, trials: int = 1
) -> dict[Path, str | None]:
    """One stream, all its SAEs. A run that loses its numbers leaves the others alone."""
    training = [Run(spec, folder, stream) for spec, folder in pack]
    errors: dict[Path, str | None] = {run.folder: None for run in training}
    fitted(training, stream, opened)
    follow(training, stream, errors)
    held_out = stream.held_out()
    gradient = stream.held_out_gradient() if "grad" in stream.feed.needs else None
    facts = tasks.provenance(opened) | {
        "hook": hook(stream.feed),
        "context": stream.context,
        "device": device_name(stream.device),
        "cached": isinstance(stream, CachedStream),
        "trials": trials,
    }
    for run in training:
        if errors[run.folder] is None:
            with alone(run, errors):
                run.end(held_out, gradient, facts)
    return errors


def follow(training: Sequence[Run], stream: Stream, errors: dict[Path, str | None]) -> None:
    """Trains to the end, from the step that the slowest has reached."""
    steps = max(run.spec.steps for run in training)
    first = min(run.step for run in training)
    names = training[0].spec.variant if len(training) == 1 else f"{len(training)} SAEs"
    bar = progress(f"training {names}", steps * stream.feed.batch, "rows", done=first * stream.feed.batch)
    saved = time.monotonic()
    for step, batch in zip(range(first, steps), stream.batches(first), strict=False):
        save = time.monotonic() - saved > checkpoints.SECONDS
        for run in training:
            if errors[run.folder] is None and run.step == step < run.spec.steps:
                with alone(run, errors):
                    run.take(batch)
                    if save:
                        run.checkpoint()
        if save:
            saved = time.monotonic()
        if (step + 1) % LOG_EVERY == 0 or step + 1 == steps:
            bar.set_postfix_str(note(training))
        bar.update(stream.feed.batch)
    bar.close()


@contextmanager
def alone(run: Run, errors: dict[Path, str | None]) -> Iterator[None]:
    """A run that loses its numbers has failed, which is a result; the rest of its pack goes on."""
    try:
        yield
    except FloatingPointError as error:
        runs.fail(run.folder, str(error))
        errors[run.folder] = str(error)


def fitted(training: Sequence[Run], stream: Stream, opened: tasks.Open) -> None:
    """SAEs that need no training are made from the rows of some games, and from the truth about them if they ask."""
    made = [run for run in training if run.sae.untrained]
    if not made:
        return
    some = stream.order(0)[:FITTED_GAMES]
    x = stream.rows(some) / stream.scale
    for run in made:
        rows, truth = x, None
        if "truth" in run.sae.needs:
            rows, truth = with_truth(x, stream, opened, some)
        run.sae.cpu().fit(rows.cpu(), truth)  # in float64, which not every device has
        run.sae.to(stream.device)
        run.step = run.spec.steps


def with_truth(
    x: Float[Tensor, "token d"], stream: Stream, opened: tasks.Open, some: Int[np.ndarray, " game"]
) -> tuple[Float[Tensor, "row d"], Bool[Tensor, "row predicate"]]:
    """The scored rows among the tokens of some games, and what holds there; fewer games where there is much to hold."""
    game = opened.dataset.game
    size = game.max_plies * len(predicates(game))
    moves = opened.dataset.transcripts("train").moves[some][: max(1, FITTED_TRUTH // size)]
    tokens, rows, at = scored(game, moves, stream.context)
    first = np.cumsum([0, *np.minimum(lengths(tokens), stream.context)])
    truth = games.truth(Transcripts(game.name, moves), rows)
    return x[torch.from_numpy(first[rows[:, 0]] + at)], torch.from_numpy(truth)


def hook(feed: Feed) -> str:
    """The place in the model, as TransformerLens calls it."""
    return f"blocks.{feed.layer}.{'mlp.hook_post' if feed.site == 'neurons' else 'hook_resid_post'}"


def note(training: Sequence[Training]) -> str:
    """How the pack stands, for the bar."""
    rows = [run.log[-1] for run in training if run.log]
    if not rows:
        return ""
    if len(rows) > 1:
        return ", ".join(between(rows, name, title) for name, title in NOTED.items())
    row, measured = rows[0], ("step", "rows", "seconds", "rows_per_second", *NOTED)
    terms = " ".join(f"{name} {value:.3g}" for name, value in row.items() if name not in measured)
    return ", ".join([terms, *(f"{title} {row[name]:.3g}" for name, title in NOTED.items())])


def between(rows: Sequence[dict[str, float]], name: str, title: str) -> str:
    values = [row[name] for row in rows]
    return f"{title} {min(values):.3g} to {max(values):.3g}"
