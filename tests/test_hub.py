"""Models and runs on a Hub of tests, through the Hub's own client: sent, fetched, held to what was sent."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from made_records import record_of, write, write_controls
from mock_hub import TOKEN, blob_id, serving

from boardsae import Broken, cli, dictionary, generate, gpt, parcel, runs, tasks
from boardsae.fetch import fetch
from boardsae.files import read_json
from boardsae.push import push
from boardsae.runs import Spec
from boardsae.saes.base import Saved

huggingface_hub = pytest.importorskip("huggingface_hub")
pytestmark = pytest.mark.filterwarnings(
    "ignore:Use 'content=:DeprecationWarning"
)  # of the client, as it uploads


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A Hub with nothing in it, somebody who may write to it, and an empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    with serving() as (made, address):
        monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
        files = address + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr("huggingface_hub.constants.HUGGINGFACE_CO_URL_TEMPLATE", files)
        monkeypatch.setattr("huggingface_hub.constants.HF_TOKEN_PATH", str(tmp_path / "no-token"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)  # another protocol
        monkeypatch.setattr(runs, "commit", lambda: None)  # asking git takes longer than the rest
        monkeypatch.setenv("HF_ENDPOINT", address)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        yield made


def sae(d=16, features=24, seed=0):
    random = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (d, features), "W_dec": (features, d), "b_dec": (d,), "b_enc": (features,)}
    return Saved("topk", {name: torch.randn(shape, generator=random) for name, shape in shapes.items()}, 4)


def made_run(folder, seed=0, task="othello6-v1", hashes=None, scored=True):
    """A trained run with what lies beside it, and what does not belong to it."""
    spec = Spec(task, "topk", {"k": 4}, d_sae=24, rows=2000, seed=seed)
    runs.begin(folder, spec, hashes or {"model": "a" * 64, "games": "b" * 64})
    dictionary.write(folder, sae(seed=seed), {"hook_name": "blocks.0.hook_resid_post"})
    write(folder / "boardsae.json", {"seconds": 1.0, "trials": 1})
    (folder / "log.csv").write_text("step,rows\n1,1000\n")
    if scored:
        write(folder / "scores.json", record_of("topk", 4.0, seed))
        (folder / "counts.npz").write_bytes(b"PK counts")
    for stray in ("checkpoint.safetensors", "scores.json.tmp", "notes.txt", "evil.pkl"):
        (folder / stray).write_text("no part of it")
    return folder


def made_model(folder, data="data/tiny"):
    model = gpt.GPT(gpt.Shape("othello6", 33, 31, 2, 16, 2), seed=0).eval()
    folder.mkdir(parents=True)
    gpt.save(model, folder, {"recipe": {"data": str(data), "size": "tiny", "seed": 0}, "games": "c" * 64})
    totals = {"top1_legal": 0.5, "legal_mass": 0.4, "board_accuracy": 0.6, "gap": 1.25}
    write(
        folder / "gate.json", {"passes": False, "missed": {"top1_legal": 0.995}, "layer": 0, "totals": totals}
    )
    (folder / "checkpoint.safetensors").write_text("no part of it")
    return folder


def same_files(one, other, names):
    for name in names:
        assert (Path(one) / name).read_bytes() == (Path(other) / name).read_bytes(), name


def test_a_run_comes_back_as_it_went(hub, run):
    made_run(Path("mine"))
    code, out, err = run("push mine me/topk")
    commit = out.strip()
    assert (code, err) == (0, f"next: boardsae fetch me/topk --revision {commit}\n")
    assert hub.repositories["me/topk"].branches["main"] == commit
    assert hub.large == {"sae_weights.safetensors", "counts.npz"}  # the others go with the commit itself
    assert set(hub.repositories["me/topk"].head()) == {
        ".gitattributes",
        "README.md",
        parcel.MANIFEST,
        *parcel.RUN,
    } - {"error.json"}
    code, out, err = run(f"fetch me/topk --revision {commit}")
    assert (code, out) == (0, "hub/me/topk\n"), err
    files = [name for name in parcel.RUN if name != "error.json"]
    assert sorted(path.name for path in Path("hub/me/topk").iterdir()) == sorted([*files, parcel.MANIFEST])
    same_files("mine", "hub/me/topk", files)
    assert read_json(Path("hub/me/topk") / parcel.MANIFEST)["revision"] == commit
    assert [path.name for path in Path("hub/me").iterdir()] == ["topk"]
    again = run(f"fetch me/topk --revision {commit}")
    assert again == (
        0,
        "hub/me/topk\n",
        f"hub/me/topk holds me/topk at {commit} already\nme/topk --revision {commit}\n",
    )


def test_the_card_says_what_the_records_say(hub):
    push(made_run(Path("mine"), seed=3), "me/topk")
    card = hub.repositories["me/topk"].head()["README.md"].decode()
    _, front, text = card.split("---\n", 2)
    assert "license: mit\nlibrary_name: boardsae\n" in front
    assert '"sparse-autoencoder", "topk"]' in front
    assert text.startswith("\n# topk on othello6-v1, seed 3\n")
    for said in (
        "| seed | 3 |",
        "k=4",
        "| GPT | SHA-256 `" + "a" * 64,
        "SHA-256 `" + "b" * 64,
        "## Scores on othello6-v1",
        "| coverage | 0.561 ±.020 | coverage@1 |",
        "boardsae fetch me/topk ",
        "boardsae score hub/me/topk",
    ):
        assert said in text, said
    push(made_run(Path("bare"), scored=False, task="models/mine"), "me/bare")
    bare = hub.repositories["me/bare"].head()["README.md"].decode()
    assert "None: trained, not scored" in bare
    assert "Scoring needs the GPT of the task, which is not in here, in the folder `models/mine`." in bare


def test_what_others_made_is_not_licensed(hub):
    spec = read_json(made_run(Path("mine")) / "spec.json") | {"imported": {"library": "sparsify"}}
    write(Path("mine/spec.json"), spec)
    push(Path("mine"), "me/theirs")
    card = hub.repositories["me/theirs"].head()["README.md"].decode()
    assert "license: unknown\n" in card
    assert "A sparse autoencoder of sparsify" in card


def test_a_model_is_a_task_where_it_arrives(hub, run, tmp_path):
    """And a run on it is scored there by one command."""
    dataset = generate.from_policy("othello6", 600, 0, "uniform", 1, tmp_path / "data" / "othello6")
    commit = push(made_model(Path("models/tiny"), tmp_path / "somewhere"), "me/tiny")
    card = hub.repositories["me/tiny"].head()["README.md"].decode()
    assert "# GPT of othello6, 2 layers of width 16\n" in card
    assert "does not pass the gate: top1_legal below 99.5%" in card
    assert str(tmp_path) not in card
    folder, found = fetch("me/tiny")
    assert (str(folder), found) == ("hub/me/tiny", commit)
    same_files("models/tiny", folder, ["model.safetensors", "gate.json"])
    task = tasks.of("hub/me/tiny")
    assert (task.name, task.layer, task.data) == ("tiny", 0, "data/othello6")
    hashes = {
        "model": gpt.identity(gpt.load(folder)),
        "games": dataset.manifest["files"]["moves.npy"]["sha256"],
    }
    push(made_run(Path("mine"), task="hub/me/tiny", hashes=hashes, scored=False), "me/topk")
    code, out, err = run("fetch me/topk --out there")
    assert code == 0, err
    code, out, err = run("score there --limit 20 --no-controls")
    assert code == 0, err
    assert "coverage@1" in out


def test_a_folder_of_results(hub):
    for seed in (0, 1):
        made_run(Path(f"results/othello6-v1/topk/k=4,rows=2000/seed={seed}"), seed, scored=not seed)
    runs.begin(Path("results/othello6-v1/topk/k=8/seed=0"), Spec(variant="topk", options={"k": 8}), {})
    runs.fail(Path("results/othello6-v1/topk/k=9/seed=0"), "it broke")
    write_controls(Path("results"))
    Path("results/othello6-v1/matching.csv").write_text("kind,one,other,matched\n")
    push(Path("results"), "me/results")
    card = hub.repositories["me/results"].head()["README.md"].decode()
    assert "# 2 runs on othello6-v1" in card
    assert "| othello6-v1/topk/k=4,rows=2000/seed=0 | 4.0 ±" in card
    assert "| clock \\* |" in card
    assert "| othello6-v1/topk/k=4,rows=2000/seed=1 | trained, not scored" in card
    folder, _ = fetch("me/results", None, Path("back"))
    below = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())
    assert "othello6-v1/controls/scores.json" in below
    assert "othello6-v1/matching.csv" in below
    assert not [
        name for name in below if "k=8" in name or "k=9" in name or name.endswith((".tmp", ".pkl", ".txt"))
    ]
    below.remove(parcel.MANIFEST)
    same_files("results", folder, below)


def test_a_revision_stays_what_it_was(hub):
    first = push(made_run(Path("mine"), scored=False), "me/topk")
    assert push(Path("mine"), "me/topk") == first  # nothing has changed
    write(Path("mine/scores.json"), record_of("topk", 4.0, 0))
    second = push(Path("mine"), "me/topk")
    assert first != second
    old, _ = fetch("me/topk", first, Path("old"))
    assert not (old / "scores.json").exists()
    new, commit = fetch("me/topk", None, Path("new"))
    assert commit == second
    assert (new / "scores.json").exists()
    with pytest.raises(
        FileExistsError, match=f"old holds me/topk at {first}; choose another --out, or --force"
    ):
        fetch("me/topk", second, old)
    fetch("me/topk", second, old, force=True)
    assert (old / "scores.json").exists()
    (Path("mine") / "scores.json").unlink()
    third = push(Path("mine"), "me/topk")
    assert "scores.json" not in hub.repositories["me/topk"].commits[third]


def test_nothing_of_others_is_replaced_unasked(hub, run):
    made_run(Path("mine"))
    push(Path("mine"), "me/topk")
    push(Path("mine"), "me/other")
    repository = hub.repositories["me/other"]
    for name, line, said in (
        ("another run", "push two me/topk", "me/topk holds the run 'topk on othello6-v1, seed 0'"),
        ("another kind", "push tiny me/topk", "me/topk holds the run"),
    ):
        made_run(Path("two"), seed=2) if "two" in line else made_model(Path("tiny"))
        code, out, err = run(line)
        assert (code, out) == (2, ""), name
        assert err.startswith(f"error: {said}"), err
        assert err.endswith("choose another name or --revision, or --force replaces all that is there\n")
        assert err.count("\n") == 1
    repository.commit("main", repository.head() | {"README.md": b"my own words", "photo.png": b"mine"})
    with pytest.raises(FileExistsError, match=r"README\.md of me/other was edited since it was pushed"):
        push(Path("mine"), "me/other")
    push(Path("mine"), "me/other", force=True)
    assert "photo.png" not in repository.head()
    repository.commit("main", {"model.bin": b"weights of somebody"})
    with pytest.raises(FileExistsError, match=r"me/other holds model\.bin, which boardsae did not push"):
        push(Path("mine"), "me/other")
    commit = push(Path("mine"), "me/other", branch="boardsae")
    assert "model.bin" not in repository.commits[commit]
    assert list(repository.head()) == ["model.bin"]
    assert fetch("me/other", "boardsae")[1] == commit


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("spec.json", "{}", "spec.json is no spec of boardsae: it names no task or no variant"),
        ("model.json", "{}", "it lacks recipe.data"),
    ],
)
def test_a_folder_that_is_not_what_it_seems_is_not_pushed(hub, run, monkeypatch, name, content, said):
    monkeypatch.setattr(gpt, "load", lambda _: gpt.GPT(gpt.Shape("othello6", 33, 31, 1, 8, 1)))
    made = made_run(Path("mine")) if name == "spec.json" else made_model(Path("mine"))
    (made / name).write_text(content)
    code, _, err = run("push mine me/mine")
    assert (code, err.count("\n")) == (3, 1)
    assert said in err
    assert not hub.repositories


def test_what_people_put_beside_stays(hub):
    push(made_run(Path("mine"), scored=False), "me/topk")
    repository = hub.repositories["me/topk"]
    repository.commit("main", repository.head() | {"photo.png": b"mine"})
    write(Path("mine/scores.json"), record_of("topk", 4.0, 0))
    push(Path("mine"), "me/topk")
    assert repository.head()["photo.png"] == b"mine"
    folder, _ = fetch("me/topk")
    assert not (folder / "photo.png").exists()


def test_private_is_private_or_refused(hub, monkeypatch):
    made_run(Path("mine"))
    push(Path("mine"), "me/secret", private=True)
    assert hub.repositories["me/secret"].private
    push(Path("mine"), "me/public")
    with pytest.raises(ValueError, match="me/public is public; make it private on the Hub"):
        push(Path("mine"), "me/public", private=True)
    monkeypatch.delenv("HF_TOKEN")
    with pytest.raises(
        PermissionError,
        match="me/secret needs a token, if there is one of that name: hf auth login, or set HF_TOKEN",
    ):
        fetch("me/secret")
    assert not Path("hub").exists()


def tampered(hub, change):
    """A push whose manifest somebody changed afterwards."""
    push(made_run(Path("mine")), "me/topk", force=True)
    repository = hub.repositories["me/topk"]
    manifest = json.loads(repository.head()[parcel.MANIFEST])
    change(manifest, repository.head())
    repository.head()[parcel.MANIFEST] = json.dumps(manifest).encode()


def test_a_file_that_was_changed_is_refused(hub, run):
    tampered(hub, lambda _, files: files.update({"log.csv": files["log.csv"].replace(b"1000", b"9000")}))
    code, out, err = run("fetch me/topk")
    assert (code, out) == (3, "")
    assert err.startswith("error: log.csv of me/topk is not what was pushed: expected SHA-256")
    assert err.count("\n") == 1
    assert not Path("hub/me/topk").exists()
    assert not Path("hub/me/topk.partial/log.csv").exists()


HASH = "0" * 64


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("weights.pkl", "'weights.pkl' is no file of a run"),
        ("ae.pt", "'ae.pt' is no file of a run"),
        ("sub/spec.json", "'sub/spec.json' is no file of a run"),
        ("../spec.json", "'../spec.json' is no path inside of a folder"),
        ("/etc/spec.json", "'/etc/spec.json' is no path inside"),
        ("a/../../spec.json", "is no path inside"),
        ("..\\spec.json", "is no path inside"),
        (".git/spec.json", "is no path inside"),
        ("./spec.json", "is no path inside"),
        ("spec.json\n", "is no path inside"),
        ("", "is no path inside"),
    ],
)
def test_names_that_no_run_has_are_refused(hub, name, said):
    def change(manifest, files):
        manifest["files"][name] = {"sha256": HASH, "size": 4}
        files[name] = b"evil"

    tampered(hub, change)
    hub.downloaded.clear()
    with pytest.raises(Broken, match=said.replace(".", r"\.").replace("\\\\", ".")):
        fetch("me/topk")
    assert hub.downloaded == [parcel.MANIFEST]
    assert not Path("hub").exists()


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda m, _: m["files"]["log.csv"].update(size=10**12),
            "expected log.csv of at most 4,000,000,000 bytes",
        ),
        (lambda m, _: m["files"]["log.csv"].update(size=-1), "expected log.csv of at most"),
        (lambda m, _: m["files"]["log.csv"].update(sha256="x"), "expected the SHA-256 of log.csv, got 'x'"),
        (lambda m, _: m["files"].update({"log.csv": 5}), "expected log.csv of at most"),
        (lambda m, _: m["files"]["log.csv"].update(size=5), "log.csv has 5 bytes, and the Hub says 17"),
        (lambda _, f: f.pop("log.csv"), "log.csv has 17 bytes, and the Hub says that there is none"),
        (lambda m, _: m.update(kind="virus"), "is no manifest: expected kind model, run, results"),
        (lambda m, _: m.update(files={}), "is no manifest"),
        (lambda m, _: m.update(schema=2), "is of schema 2, expected 1; update boardsae"),
    ],
)
def test_a_manifest_that_cannot_be_is_refused(hub, change, said):
    tampered(hub, change)
    with pytest.raises(Broken, match=said):
        fetch("me/topk")
    assert not Path("hub").exists()


def test_a_model_may_not_say_where_on_this_machine_its_games_go(hub):
    push(made_model(Path("tiny")), "me/tiny")
    repository = hub.repositories["me/tiny"]
    facts = json.loads(repository.head()["model.json"])
    facts["recipe"]["data"] = "../../elsewhere"
    content = json.dumps(facts).encode()
    manifest = json.loads(repository.head()[parcel.MANIFEST])
    manifest["files"]["model.json"] = parcel.weighed(content)
    repository.head().update({"model.json": content, parcel.MANIFEST: json.dumps(manifest).encode()})
    with pytest.raises(Broken, match=r"keeps its games in '[./]*elsewhere'; expected a relative path"):
        fetch("me/tiny")
    assert not Path("hub/me/tiny").exists()


def test_the_card_of_a_model_that_was_trained_further_says_from_what(hub, tmp_path):
    folder = made_model(Path("second"))
    facts = json.loads((folder / "model.json").read_text())
    facts["recipe"]["start"] = str(tmp_path / "first")
    facts["started_from"] = {"weights": "ab" * 32, "objective": "next", "tokens": 12_345}
    (folder / "model.json").write_text(json.dumps(facts))
    push(folder, "me/second")
    sent = hub.repositories["me/second"].head()
    card = sent["README.md"].decode()
    assert "| tokens before that | 12345 |" in card
    assert f"| started from | SHA-256 `{'ab' * 32}` |" in card
    assert "| start | first |" in card
    assert json.loads(sent["model.json"])["recipe"]["start"] == "first"


def test_killed_midway_it_goes_on(hub):
    """A process that is killed while files arrive; what it had is not asked for again."""
    commit = push(made_run(Path("mine")), "me/topk")
    hub.hold_after = 4  # the manifest and three others
    line = [sys.executable, "-m", "boardsae", "fetch", "me/topk", "--revision", commit]
    home = {"PYTHONPATH": str(Path(cli.__file__).parents[2]), "HF_HOME": str(Path("hf-home").absolute())}
    with subprocess.Popen(line, stderr=subprocess.DEVNULL, env=os.environ | home) as process:
        assert hub.held.wait(30)
        while not (had := {path.name for path in Path("hub/me/topk.partial").glob("*.*") if path.is_file()}):
            time.sleep(0.01)
        process.kill()
    assert not Path("hub/me/topk").exists()
    hub.hold_after = None
    hub.release.set()
    hub.downloaded.clear()
    Path("hub/me/topk.partial/stray.pkl").write_text("of another revision")
    folder, found = fetch("me/topk", commit)
    assert found == commit
    assert not had & set(hub.downloaded)
    assert not Path("hub/me/topk.partial").exists()
    assert not (folder / "stray.pkl").exists()
    assert not (folder / ".cache").exists()
    same_files("mine", folder, [name for name in parcel.RUN if name != "error.json"])


@pytest.mark.usefixtures("hub")
def test_a_folder_that_no_fetch_made_is_never_replaced():
    push(made_run(Path("mine")), "me/topk")
    for force in (False, True):
        with pytest.raises(FileExistsError, match="mine holds something that no fetch put there"):
            fetch("me/topk", None, Path("mine"), force)
    assert (Path("mine") / "notes.txt").exists()
    Path("empty").mkdir()
    fetch("me/topk", None, Path("empty"))
    assert (Path("empty") / "spec.json").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("fetch topk", "expected a repository such as OWNER/NAME, got 'topk'"),
        ("fetch a/b/c", "expected a repository such as OWNER/NAME, got 'a/b/c'"),
        ("fetch ../b", "expected a repository such as OWNER/NAME, got '../b'"),
        ("fetch me/b.git", "expected a repository such as OWNER/NAME"),
        ("fetch me/nothing", "no repository me/nothing; a private one needs a token: hf auth login"),
        ("fetch me/topk --revision v9", "me/topk has no revision 'v9'"),
        ("fetch me/foreign", "me/foreign has no boardsae-hub.json: boardsae push did not make it"),
        ("push nowhere me/topk", "no folder nowhere; give a model of train-gpt, a run, or a folder of runs"),
        (
            "push empty me/topk",
            "expected a model of train-gpt (model.json), a run (spec.json) or a folder of runs",
        ),
        ("push half me/topk", "half has no boardsae.json: it is not trained"),
        ("push halves me/topk", "no run below halves is trained"),
        (
            "push mine others/topk",
            "this token may not write to others/topk: hf auth login, or set HF_TOKEN to one that may",
        ),
    ],
)
def test_what_cannot_be_is_one_line(hub, run, line, said):
    push(made_run(Path("mine")), "me/topk")
    push(Path("mine"), "me/foreign")
    del hub.repositories["me/foreign"].head()[parcel.MANIFEST]
    Path("empty").mkdir()
    runs.begin(Path("half"), Spec(), {})
    shutil.copytree("half", "halves/half")
    code, out, err = run(line)
    assert (code, out) == (2, "")
    assert err.startswith(f"error: {said}"), err
    assert err.count("\n") == 1, err


def test_without_a_token_nothing_is_pushed(hub, run, monkeypatch):
    made_run(Path("mine"))
    monkeypatch.delenv("HF_TOKEN")
    code, _, err = run("push mine me/topk")
    assert (code, err.count("\n")) == (2, 1)
    assert "hf auth login, or set HF_TOKEN" in err
    assert not hub.repositories


@pytest.mark.usefixtures("hub")
def test_without_a_network_one_line_says_so(run, monkeypatch):
    made_run(Path("mine"))
    with serving() as (_, address):
        pass
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", address)
    for line in ("push mine me/topk", "fetch me/topk"):
        code, out, err = run(line)
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith(f"error: no connection to {address}: ")


def test_without_the_client_one_line_says_how_to_get_it(run, monkeypatch):
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    code, _, err = run("fetch me/topk")
    assert (code, err) == (2, "error: the Hugging Face Hub needs its client: pip install 'boardsae[hub]'\n")


def test_a_push_that_somebody_overtook_is_not_made(hub, monkeypatch):
    push(made_run(Path("mine"), scored=False), "me/topk")
    repository = hub.repositories["me/topk"]
    write(Path("mine/scores.json"), record_of("topk", 4.0, 0))
    created = huggingface_hub.HfApi.create_commit

    def late(*arguments, **options):
        repository.commit("main", repository.head() | {"theirs": b"just now"})
        return created(*arguments, **options)

    monkeypatch.setattr(huggingface_hub.HfApi, "create_commit", late)
    with pytest.raises(FileExistsError, match="me/topk has changed meanwhile; push again"):
        push(Path("mine"), "me/topk")
    assert blob_id(repository.head()["theirs"]) == blob_id(b"just now")
