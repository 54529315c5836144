"""SAEs as other libraries read them, and scores as SAEBench tabulates them.

    saelens               cfg.json, sae_weights.safetensors    all architectures
    dictionary_learning   config.json, ae.pt                   all, by the class that computes the same
    sparsify              cfg.json, sae.safetensors            topk
    saebench-json         <task>_<run>_eval_results.json       the scores of a scored run

Read again, there or here, an SAE gives the same features and reconstructions.
"""

import datetime
import json
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from boardsae import dictionary, foreign
from boardsae.dictionary import SAE_LENS
from boardsae.files import appearing, read_json, write_json, write_tensors
from boardsae.foreign import DICTIONARIES, UNCENTRED, Foreign, are_unit, layer_of, recentred, turned
from boardsae.metrics import METRICS
from boardsae.saes.base import Saved
from games.core import no_such

OWN = ("sae_lens_version", "boardsae_version")  # of metadata: every writer says its own


def export(source: Path, layout: str, folder: Path, force: bool = False) -> Path:
    """Writes a run, or an SAE of another library, in one of FORMATS; the file or folder that was made."""
    if layout not in FORMATS:
        raise ValueError(no_such("format of SAEs", layout, FORMATS))
    if folder.resolve() == source.resolve():
        raise ValueError(f"{folder} is what is exported; choose another --out")
    return FORMATS[layout](source, folder, force)


def claim(force: bool, *paths: Path) -> None:
    """A place for files that stand there already only if that is asked for."""
    for path in paths:
        if path.exists() and not force:
            raise FileExistsError(f"{path} exists; choose another --out, or --force replaces it")
        path.parent.mkdir(parents=True, exist_ok=True)


def saelens(source: Path, folder: Path, force: bool) -> Path:
    sae = foreign.read(source)
    claim(force, folder / "sae_weights.safetensors", folder / "cfg.json")
    dictionary.write(folder, sae.saved, free(sae.metadata))
    return folder


def free(metadata: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in metadata.items() if name not in OWN}


def dictionary_learning(source: Path, folder: Path, force: bool) -> Path:
    sae = foreign.read(source)
    name, saved = class_of(sae.saved)
    _, names = DICTIONARIES[name]
    tensors = {their: turned(their, saved.tensors[our]) for their, our in names.items()}
    d, features = saved.tensors["W_enc"].shape
    trainer = {"dict_class": name, "activation_dim": d, "dict_size": features, "layer": told_layer(sae)}
    if name == "AutoEncoderTopK":
        trainer["k"] = saved.k
        tensors |= {"k": torch.tensor(saved.k, dtype=torch.int), "threshold": torch.tensor(-1.0)}
    trainer["lm_name"] = sae.metadata.get("model_name")
    trainer["submodule_name"] = f"resid_post_layer_{trainer['layer']}"
    claim(force, folder / "ae.pt", folder / "config.json")
    with appearing(folder / "ae.pt") as unfinished:
        torch.save(tensors, unfinished)
    write_json(folder / "config.json", {"trainer": trainer, "buffer": {"d_submodule": d}})
    return folder


def class_of(saved: Saved) -> tuple[str, Saved]:
    """The class whose own loader and formulas give the same features, and the tensors as it takes them."""
    names = {"standard": "AutoEncoder", "topk": "AutoEncoderTopK", "gated": "GatedAutoEncoder"}
    name = names.get(saved.architecture, "JumpReluAutoEncoder")
    if name == "AutoEncoder" and not are_unit(saved.tensors["W_dec"]):
        name = "AutoEncoderNew"  # the loader of the other would rescale features
    return name, recentred(saved, -1) if name in UNCENTRED else saved


def told_layer(sae: Foreign) -> int | None:
    try:
        return layer_of(sae.claims)
    except ValueError:  # of another place than the residual stream, for which the library has no word
        return None


def sparsify(source: Path, folder: Path, force: bool) -> Path:
    saved = foreign.read(source).saved
    if saved.architecture != "topk":
        raise ValueError(
            f"sparsify holds topk alone and {source} is {saved.architecture};"
            " --format saelens or dictionary_learning holds it"
        )
    claim(force, folder / "sae.safetensors", folder / "cfg.json")
    t = saved.tensors
    theirs = {"encoder.weight": t["W_enc"].T, "encoder.bias": t["b_enc"]}
    write_tensors(folder / "sae.safetensors", theirs | {name: t[name] for name in ("W_dec", "b_dec")})
    d, features = t["W_enc"].shape
    config = {"activation": "topk", "expansion_factor": max(1, features // d), "normalize_decoder": True}
    config |= {"num_latents": features, "k": saved.k, "multi_topk": False}
    write_json(folder / "cfg.json", config | {"skip_connection": False, "transcode": False, "d_in": d})
    return folder


CATEGORIES = {  # of SAEBench where it has one
    "board": ("coverage", "found", "reconstruction", "cov_x"),
    "board_as_published": (
        "coverage_paper",
        "coverage_text",
        "reconstruction_paper",
        "reconstruction_text",
    ),
    "model_behavior_preservation": ("kl_increase", "legal_mass_loss", "top1_legal_loss"),
    "model_performance_preservation": ("ce_increase", "loss_recovered_zero", "loss_recovered_mean"),
    "reconstruction_quality": ("explained_variance", "cosine"),
    "shrinkage": ("l2_ratio", "reconstruction_bias"),
    "sparsity": ("l0", "l0_all", "alive"),
}


def category_of(metric: str) -> str:
    return next((category for category, names in CATEGORIES.items() if metric in names), "other")


def saebench(source: Path, folder: Path, force: bool) -> Path:
    """The record of a run in the one file a result that SAEBench's tables read, under an evaluation of our own name."""
    if not (source / "scores.json").exists():
        raise ValueError(f"{source} has no scores.json; boardsae score {source} makes it")
    record = read_json(source / "scores.json")
    if "error" in record or "metrics" not in record:
        raise ValueError(
            f"{source / 'scores.json'} holds no scores; boardsae score --force {source} makes them"
        )
    name = "_".join(source.resolve().parts[-3:])
    path = folder / f"{record['task']}_{name}_eval_results.json"
    claim(force, path)
    write_json(path, evaluation(record, name, read_json(source / "cfg.json")))
    return path


def evaluation(record: dict[str, Any], name: str, config: dict[str, Any]) -> dict[str, Any]:
    metrics: dict[str, dict[str, Any]] = {}
    for metric, held in record["metrics"].items():
        short = metric.split("@")[0]
        values = metrics.setdefault(category_of(short), {})
        values |= {short: held["value"], f"{short}_low": held.get("low"), f"{short}_high": held.get("high")}
    made = record["made_with"]
    date = datetime.datetime.fromisoformat(made["date"])
    wanted = ("task", "hashes", "layer", "site", "games", "rows", "comparable")
    return {
        "eval_type_id": "boardsae",
        "eval_config": {each: record.get(each) for each in wanted} | {"metrics": list(record["metrics"])},
        "eval_id": str(uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(record, sort_keys=True))),
        "datetime_epoch_millis": int(date.timestamp() * 1000),
        "eval_result_metrics": metrics,
        "eval_result_details": record.get("predicates", []),
        "sae_bench_commit_hash": "",
        "sae_lens_id": name,
        "sae_lens_release_id": record["task"],
        "sae_lens_version": SAE_LENS,
        "sae_cfg_dict": config,
        "eval_result_unstructured": {
            "boardsae": {"version": made["boardsae"], "commit": made["commit"]},
            "definitions": {each: METRICS[each].definition for each in record["metrics"] if each in METRICS},
        },
    }


FORMATS: dict[str, Callable[[Path, Path, bool], Path]] = {
    "saelens": saelens,
    "dictionary_learning": dictionary_learning,
    "sparsify": sparsify,
    "saebench-json": saebench,
}
