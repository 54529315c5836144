"""Where a command's work is done: on this machine or on a Ray cluster."""

from typing import Annotated

import typer

EngineName = Annotated[str, typer.Option(metavar="ENGINE", help="local: this machine; ray: a Ray cluster.")]
Address = Annotated[
    str | None, typer.Option(help="Of the Ray cluster: host:port, local, or auto [default: auto].")
]


def is_on_ray(engine: str, address: str | None) -> bool:
    if engine not in ("local", "ray"):
        raise ValueError(f"expected --engine local or ray, got {engine!r}")
    if address is not None and engine != "ray":
        raise ValueError("expected --engine ray beside --address, which is that of a Ray cluster")
    return engine == "ray"
