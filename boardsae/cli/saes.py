"""SAEs: trained one by one or by the sweep."""

from pathlib import Path
from typing import Annotated

import typer

from boardsae import DEFAULT_TASK
from boardsae.cli.app import app
from boardsae.cli.engines import Address, EngineName, is_on_ray
from boardsae.progress import say

TaskName = Annotated[
    str, typer.Option(metavar="TASK", help="A task of `boardsae list tasks`, or a model folder.")
]


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def train_sae(
    context: typer.Context,
    variant: Annotated[
        str, typer.Option("--variant", "--architecture", help="One of `boardsae list variants`.")
    ] = "standard",
    task: TaskName = DEFAULT_TASK,
    d_sae: Annotated[int | None, typer.Option(help="Features [default: 8 times the model's width].")] = None,
    expansion: Annotated[int | None, typer.Option(help="Features, as a multiple of the width.")] = None,
    sparsity: Annotated[
        float | None, typer.Option(help="Of the option that sets it: l1, k, ... whatever the variant has.")
    ] = None,
    target_l0: Annotated[
        float | None, typer.Option(help="Find the sparsity that gives this L0 first.")
    ] = None,
    rows: Annotated[int, typer.Option(help="Activations to train on.")] = 2_000_000,
    seed: Annotated[int, typer.Option(help="Of the first weights.")] = 0,
    layer: Annotated[int | None, typer.Option(help="After which block [default: the task's].")] = None,
    hook: Annotated[str | None, typer.Option(help="The same as blocks.N.hook_resid_post.")] = None,
    recipe: Annotated[str, typer.Option(help="common, or paper-2024.")] = "common",
    kl_finetune: Annotated[
        float,
        typer.Option(help="Share of the run, at its end, with KL in the loss; all of it is fed whole games."),
    ] = 0.0,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    cache: Annotated[
        Path | None, typer.Option(help="Keep the activations in this folder [default: compute them].")
    ] = None,
    max_gb: Annotated[float, typer.Option(help="The most that --cache may write.")] = 10.0,
    out: Annotated[Path | None, typer.Option(help="Where to [default: below results/].")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace what --out holds.")] = False,
) -> None:
    """Train an SAE on a task's model.

    Options of the variant are given as they are called: --k 32, --l1 0.02, --p-end 0.2; `boardsae show VARIANT` lists
    them. A killed call is finished by repeating it, to the same weights.
    """
    from boardsae import runs, tasks, train_sae
    from boardsae import sparsity as finding
    from boardsae.asked import layer_of, options_from, width_of

    options = options_from(variant, context.args, sparsity)  # refused before any game is played
    if target_l0 is not None and (name := runs.VARIANTS[variant].sparsity) in options:
        raise ValueError(f"expected --target-l0 or --{name}, got both")
    opened = tasks.open_task(tasks.of(task))
    spec = runs.Spec(
        task=task,
        variant=variant,
        options=options,
        d_sae=width_of(opened.model.shape.width, d_sae, expansion),
        rows=rows,
        seed=seed,
        layer=layer_of(layer, hook, opened.model.shape.layers),
        recipe=recipe,
        kl_finetune=kl_finetune,
    )
    trials = 1
    if target_l0 is not None:
        kept = (out or runs.path_of(spec, Path("results")).parents[1]) / "trials.json"
        spec, trials = finding.for_l0(spec, target_l0, finding.Trials(opened, device, kept))
    folder = out or runs.path_of(spec, Path("results"))
    (error,) = train_sae.train([(spec, folder)], opened, force, device, cache, max_gb, trials).values()
    if error is not None:
        raise FloatingPointError(f"{folder}: {error}")
    print(folder)
    say(f"next: boardsae score {folder}")


@app.command()
def sweep(
    file: Annotated[
        Path, typer.Argument(metavar="FILE", help="A Python file with SPECS, runs to be trained.")
    ],
    out: Annotated[Path, typer.Option(help="The folder of all results.")] = Path("results"),
    jobs: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Processes [default: one a core; one for a GPU, of which --engine ray takes several].",
        ),
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    engine: EngineName = "local",
    address: Address = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="List the runs and train none.")] = False,
) -> None:
    """Train every run of a file, several at once; what is trained already is skipped."""
    from boardsae import runs, tasks
    from boardsae import sweep as sweeping

    specs = sweeping.specs_in(file)
    if dry_run:
        for spec in specs:
            tasks.of(spec.task)  # or an error
            folder = runs.path_of(spec, out)
            print(f"{'trained' if runs.is_trained(folder) else 'to train'}\t{folder}")
        return
    if is_on_ray(engine, address):
        if jobs is not None:
            raise ValueError(
                "--jobs counts local processes; on Ray every free core of the cluster trains a pack"
            )
        from boardsae.ray_engine import on_ray

        trained = on_ray(address or "auto")
    else:
        jobs = jobs or sweeping.usual_jobs(device)
        trained = sweeping.locally(jobs)
    results = sweeping.sweep(specs, out, trained, device, jobs)
    for line in sweeping.table(results):
        print(line)
    say(f"next: boardsae score {out}")
    if any(result.error for result in results):
        raise typer.Exit(1)
