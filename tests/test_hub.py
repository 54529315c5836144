"""Up to a hub and down from it, against a hub on this machine that the real client talks to."""

import json
import socket

import pytest
from made_task import opened
from mock_hub import MockHub
from typer.testing import CliRunner

from boardsae import Broken, gpt, hub, model_card, scoring, train_sae
from boardsae.cli import app
from boardsae.files import read_json, sha256
from boardsae.runs import Spec
from boardsae.subject import read_run


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("task"), 1200)


@pytest.fixture(scope="module")
def results(task, tmp_path_factory):
    """Two runs, one of them scored, with what does not belong to them."""
    root = tmp_path_factory.mktemp("results")
    specs = [Spec("made", "topk", {"k": k}, 32, 8192) for k in (4, 8)]
    train_sae.train([(spec, root / f"k={spec.options['k']}") for spec in specs], task)
    desk = scoring.Desk(task, limit=40)
    record = desk.score(read_run(root / "k=4"))
    record.pop("counts")
    (root / "k=4" / "scores.json").write_text(json.dumps(record))
    (root / "k=4" / "checkpoint.safetensors").write_bytes(b"half")
    (root / "k=4" / "notes.txt").write_text("mine")
    return root


@pytest.fixture
def mock(monkeypatch, tmp_path):
    """The hub that the client believes in."""
    from huggingface_hub import constants
    from huggingface_hub.utils import _http

    made = MockHub()
    monkeypatch.setenv("HF_ENDPOINT", made.url)
    monkeypatch.setenv("HF_TOKEN", made.token)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(_http.time, "sleep", lambda _: None)  # between its attempts
    yield made
    made.server.shutdown()
    made.server.server_close()


def test_a_run_comes_back_as_it_went(results, mock, tmp_path, monkeypatch):
    pushed = hub.push(results / "k=4", "me/topk")
    files = mock.files("me/topk")
    assert {hub.MARKER, hub.CARD, "spec.json", "sae_weights.safetensors", "scores.json"} <= files.keys()
    assert not {"checkpoint.safetensors", "notes.txt"} & files.keys()
    folder, commit = hub.fetch("me/topk", pushed.commit, tmp_path / "there")
    assert commit == pushed.commit
    assert read_json(folder / hub.MARKER)["commit"] == commit
    for name in ("cfg.json", "sae_weights.safetensors", "scores.json"):
        assert sha256(folder / name) == sha256(results / "k=4" / name)
    assert not [*tmp_path.glob("*.partial")]
    card = files[hub.CARD].decode()
    value = read_json(results / "k=4" / "scores.json")["metrics"]["cov_x@1"]["value"]
    assert f"{value:.4f}" in card
    assert "boardsae fetch me/topk" in card
    assert card.startswith("---\nlibrary_name: boardsae\nlicense: mit\n")
    monkeypatch.setattr(model_card, "is_imported", lambda _: True)
    assert "license" not in model_card.card(results / "k=4", "run", "me/topk")


@pytest.mark.usefixtures("mock")
def test_a_fetched_run_can_be_scored(results, task, tmp_path):
    hub.push(results / "k=8", "me/topk8")
    folder, _ = hub.fetch("me/topk8", None, tmp_path / "there")
    record = scoring.Desk(task, limit=40).score(read_run(folder))
    assert record["metrics"]["l0@1"]["value"] == pytest.approx(8, abs=0.5)


def test_results_come_back_with_all_runs(results, mock, tmp_path):
    hub.push(results, "me/results")
    folder, _ = hub.fetch("me/results", None, tmp_path / "there")
    for name in ("k=4", "k=8"):
        assert sha256(folder / name / "spec.json") == sha256(results / name / "spec.json")
    assert "| k=8 |" in mock.files("me/results")[hub.CARD].decode()


@pytest.mark.usefixtures("mock")
def test_a_model_comes_back_and_plays(task, tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    gpt.save(task.model, made, {"recipe": {"objective": "soft"}})
    (made / "checkpoint.safetensors").write_bytes(b"much")
    hub.push(made, "me/model")
    folder, _ = hub.fetch("me/model", "main", tmp_path / "there")
    assert gpt.identity(gpt.load(folder)) == gpt.identity(task.model)
    assert "plays othello6" in model_card.card(made, "model", "me/model")


def test_an_older_commit_stays_what_it_was_and_nothing_is_overwritten(results, mock, tmp_path):
    first = hub.push(results / "k=4", "me/pinned")
    (results / "k=4" / "error.json").write_text('{"error": "none"}')
    second = hub.push(results / "k=4", "me/pinned")
    (results / "k=4" / "error.json").unlink()
    third = hub.push(results / "k=4", "me/pinned")
    assert "error.json" not in mock.files("me/pinned", first.commit)
    assert "error.json" in mock.files("me/pinned", second.commit)
    assert "error.json" not in mock.files("me/pinned", third.commit), "what is gone here goes there"
    folder, _ = hub.fetch("me/pinned", first.commit, tmp_path / "there")
    hub.fetch("me/pinned", first.commit, tmp_path / "there")  # the same: nothing to do
    with pytest.raises(FileExistsError, match="--force replaces it"):
        hub.fetch("me/pinned", second.commit, tmp_path / "there")
    hub.fetch("me/pinned", second.commit, tmp_path / "there", force=True)
    assert (folder / "error.json").exists()


def test_what_is_somebody_elses_is_not_replaced(results, task, mock, tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    gpt.save(task.model, made, {})
    hub.push(made, "me/model")
    with pytest.raises(FileExistsError, match="me/model holds model othello6, not run made/topk"):
        hub.push(results / "k=4", "me/model")
    hub.push(results / "k=4", "me/model", force=True)
    assert "model.safetensors" not in mock.files("me/model")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda files: files.update({"cfg.json": b"{}"}), "expected cfg.json to have SHA-256"),
        (lambda files: renamed(files, "cfg.json", "../cfg.json"), "only .csv"),
        (lambda files: renamed(files, "cfg.json", "cfg.pkl"), "only .csv"),
        (lambda files: resized(files, "cfg.json", 2**50), "more than can be meant"),
        (lambda files: files.update({hub.MARKER: b"{}"}), "names no model, run or results"),
    ],
)
def test_what_was_tampered_with_is_refused(change, message, results, mock, tmp_path):
    pushed = hub.push(results / "k=4", "me/tampered")
    change(mock.files("me/tampered", pushed.commit))
    with pytest.raises(Broken, match=message):
        hub.fetch("me/tampered", None, tmp_path / "there")
    assert not (tmp_path / "there").exists()
    assert not (tmp_path.parent / "cfg.json").exists()


@pytest.mark.parametrize("place", ["/etc/games", "../../games"])
@pytest.mark.usefixtures("mock")
def test_a_model_may_not_say_that_games_go_anywhere(place, task, tmp_path):
    made = tmp_path / "model"
    made.mkdir()
    gpt.save(task.model, made, {"recipe": {"data": place}})
    hub.push(made, "me/model")
    with pytest.raises(Broken, match="expected a folder below this one"):
        hub.fetch("me/model", None, tmp_path / "there")
    assert not (tmp_path / "there").exists()


@pytest.mark.usefixtures("mock")
def test_what_no_fetch_made_stays_even_by_force(results, tmp_path):
    hub.push(results / "k=4", "me/run")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "thesis.tex").write_text("years")
    with pytest.raises(FileExistsError, match="holds what no fetch made"):
        hub.fetch("me/run", None, tmp_path / "there", force=True)
    assert (tmp_path / "there" / "thesis.tex").exists()


def renamed(files, name, other):
    marker = json.loads(files[hub.MARKER])
    marker["files"][other] = marker["files"].pop(name)
    files[hub.MARKER] = json.dumps(marker).encode()


def resized(files, name, size):
    marker = json.loads(files[hub.MARKER])
    marker["files"][name]["size"] = size
    files[hub.MARKER] = json.dumps(marker).encode()


def test_a_broken_connection_is_one_line_and_the_same_command_goes_on(results, mock, tmp_path):
    hub.push(results / "k=4", "me/long")
    mock.broken_after = 3
    with pytest.raises((OSError, ValueError)):
        hub.fetch("me/long", None, tmp_path / "there")
    assert not (tmp_path / "there").exists()
    mock.broken_after = None
    folder, _ = hub.fetch("me/long", None, tmp_path / "there")
    assert sha256(folder / "cfg.json") == sha256(results / "k=4" / "cfg.json")


def said(*words):
    """What the command line says of it: exit code and the one error."""
    result = CliRunner().invoke(app, [*map(str, words)])
    return type(result.exception), str(result.exception)


def test_what_a_user_can_cause_is_one_line(results, mock, tmp_path, monkeypatch):
    assert said("fetch", "me") == (ValueError, "expected OWNER/NAME of a repository, got 'me'")
    assert "no folder" in said("push", tmp_path / "nowhere", "me/x")[1]
    assert "expected a model folder, a run, or a folder of runs" in said("push", tmp_path, "me/x")[1]
    assert "no repository me/unknown on http://127.0.0.1" in said("fetch", "me/unknown")[1]
    hub.push(results / "k=4", "me/known")
    assert "no such revision" in said("fetch", "me/known", "--revision", "v9", "--out", tmp_path / "a")[1]
    mock.commits["me/other"] = {"0" * 40: {"weights.pkl": b"x"}}
    mock.branches["me/other"] = {"main": "0" * 40}
    assert "was not pushed by boardsae" in said("fetch", "me/other", "--out", tmp_path / "b")[1]
    assert "holds something else" in said("push", results / "k=4", "me/other")[1]
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    assert "hf auth login" in said("push", results / "k=4", "me/mine")[1]


@pytest.mark.usefixtures("mock")
def test_without_a_network_it_says_so(results, tmp_path, monkeypatch):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        monkeypatch.setenv("HF_ENDPOINT", f"http://127.0.0.1:{free.getsockname()[1]}")
    for words in (("fetch", "me/x", "--out", tmp_path / "a"), ("push", results / "k=4", "me/x")):
        kind, text = said(*words)
        assert issubclass(kind, OSError)
        assert "is there a network?" in text
