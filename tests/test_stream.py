"""Streams: the right rows, each once, from memory or from disk, for either notation."""

import json

import numpy as np
import pytest
import torch
from made_task import opened

from benchmarks.speed import stream as speed
from boardsae import Broken, cache, stream
from boardsae.activations import after_each_block, lengths, order, reading, scored_characters, tokens_of
from boardsae.cache import CachedStream
from boardsae.data import Dataset
from boardsae.files import Held, alone_in
from boardsae.saes import RECIPES
from boardsae.stream import Feed, Stream

CPU = torch.device("cpu")
FEED = Feed(0, 256)


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    return opened(tmp_path_factory.mktemp("task"))


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(stream, "CHUNK", 31 * 200)
    monkeypatch.setattr(stream, "AT_ONCE", 31 * 64)


def some(batches, n):
    return [batch for _, batch in zip(range(n), batches, strict=False)]


def sorted_rows(x):
    return x[np.lexsort(x.numpy().T)]


def test_rows_are_the_models_at_the_scored_positions(task):
    read, games = Stream(task, FEED, CPU), np.array([5, 3, 70, 900])
    expected = next(after_each_block(task.model, task.dataset.transcripts("train").moves[games]))
    assert torch.allclose(read.rows(games), expected, atol=0.02)  # bfloat16


def test_a_chunk_is_shuffled_and_holds_each_row_once(task, monkeypatch):
    read = Stream(task, FEED._replace(scaled=False), CPU)
    games = order(len(read.tokens), 0)[:200]
    rows = int(read.lengths[games].sum())
    monkeypatch.setattr(Stream, "rows", lambda _, some: torch.arange(float(rows))[:, None] + 0 * len(some))
    numbers = torch.cat([batch.x[:, 0] for batch in some(read.batches(), read.steps_in(games))])
    assert 0 <= rows - len(numbers) < 256
    assert len(set(numbers.tolist())) == len(numbers)
    assert abs(np.corrcoef(numbers, np.arange(len(numbers)))[0, 1]) < 0.05


def test_epochs_differ_and_repeat_no_order(task):
    read = Stream(task, FEED, CPU)
    chunks = len(read.tokens) // read.chunk
    epoch = sum(
        read.steps_in(order(len(read.tokens), 0)[i * read.chunk :][: read.chunk]) for i in range(chunks)
    )
    first, second = next(read.batches()).x, next(read.batches(epoch)).x
    assert not torch.equal(sorted_rows(first), sorted_rows(second))
    assert torch.equal(second, next(Stream(task, FEED, CPU).batches(epoch)).x)


def test_going_on_reads_no_earlier_chunk(task, monkeypatch):
    read, passes = Stream(task, FEED, CPU), []
    once = Stream.read_at_once
    monkeypatch.setattr(Stream, "read_at_once", lambda self, tokens: passes.append(1) or once(self, tokens))
    next(read.batches(50))
    assert len(passes) == 4  # 200 games, 64 at once


def test_scale_makes_the_mean_squared_norm_1(task):
    scaled, raw = Stream(task, FEED, CPU), Stream(task, FEED._replace(scaled=False), CPU)
    assert scaled.first.square().sum(1).mean() == pytest.approx(1, rel=1e-5)
    assert raw.scale == 1
    assert torch.allclose(next(scaled.batches()).x * scaled.scale, next(raw.batches()).x, atol=1e-5)
    assert scaled.held_out(1000).square().sum(1).mean() == pytest.approx(1, rel=0.05)
    assert len(scaled.held_out(1000)) == 1000


def test_neurons_are_read_at_their_site(task):
    read = Stream(task, Feed(1, 256, (), False, "neurons"), CPU)
    tokens = read.reading(read.tokens[:5])
    expected = task.model.neurons(tokens.tokens, 1)[tokens.live]
    assert read.first.shape[1] == 64
    assert torch.allclose(read.read(read.tokens[:5]), expected, atol=0.02)


@pytest.mark.usefixtures("in_float32")
def test_whole_games_come_in_order(task):
    read = Stream(task, Feed(0, 256, ("tail",)), CPU)
    batches = some(read.batches(), 3)
    games = order(len(read.tokens), 0)[: 3 * read.games_a_step].reshape(3, -1)
    for batch, each in zip(batches, games, strict=True):
        moves = task.dataset.transcripts("train").moves[each]
        assert torch.allclose(batch.x * read.scale, next(after_each_block(task.model, moves)), atol=1e-5)
    assert read.games_a_step == 8


def test_too_few_games_are_refused(task):
    split = np.asarray(task.dataset.split).copy()
    split[split == 1] = 0
    without = task._replace(
        dataset=task.dataset._replace(arrays={"moves": task.dataset.moves, "split": split})
    )
    with pytest.raises(ValueError, match="expected 1 games or more in the select split"):
        Stream(without, FEED, CPU)


def test_games_as_text_are_rows_at_every_character_and_scored_before_each_move():
    text, symbols = ";1.e4 e5 2.Nf3 ", " #+-.0123456789;=BKNOQRabcdefghx"
    ids = np.array([[symbols.index(c) for c in text.ljust(20)]], np.uint8)
    at = np.array([[2, 5, 10, -1, -1]])
    arrays = {"moves": np.ones((1, 4), np.uint16), "text": ids, "split": np.zeros(1, np.uint8)}
    tokens = tokens_of(Dataset(None, {}, None, arrays), "train")
    assert tokens.tolist() == ids.tolist()
    assert lengths(tokens).tolist() == [14]
    read = reading(tokens, 12)
    assert read.live.tolist() == [[True] * 12]
    assert "".join(symbols[i] for i in read.following[0]) == text[1:13]
    whole = reading(tokens, 20)
    assert whole.live.sum() == 14
    assert whole.goes_on.sum() == 13
    rows, places = scored_characters(at, 12)
    assert rows.tolist() == [[0, 1], [0, 2]]
    assert [text[i] for i in places] == [" ", "."]
    assert scored_characters(at, 10)[0].tolist() == [[0, 1]]


def test_the_cache_gives_the_rows_of_the_stream(task, tmp_path):
    plain = some(Stream(task, FEED, CPU).batches(), 130)
    kept = CachedStream(task, FEED, CPU, tmp_path, 30)
    held = json.loads((tmp_path / "manifest.json").read_text())["held"]
    assert held == 400  # two chunks of 24 steps
    for a, b in zip(plain[:48], some(kept.batches(), 48), strict=True):
        assert torch.allclose(a.x, b.x, rtol=1e-2, atol=1e-4)
    longer = CachedStream(task, FEED, CPU, tmp_path, 10_000)
    assert json.loads((tmp_path / "manifest.json").read_text())["held"] == len(longer.tokens)
    for a, b in zip(plain, some(longer.batches(), 130), strict=True):
        assert torch.allclose(a.x, b.x, rtol=1e-2, atol=1e-4)


def test_a_full_cache_is_read_and_not_computed(task, tmp_path, monkeypatch):
    CachedStream(task, FEED, CPU, tmp_path, 30)
    again = CachedStream(task, FEED, CPU, tmp_path, 30)
    monkeypatch.setattr(Stream, "read_at_once", lambda *_: pytest.fail("the model was asked"))
    next(again.batches())


def test_a_cache_of_something_else_is_refused(task, tmp_path):
    CachedStream(task, FEED, CPU, tmp_path, 5)
    other = task._replace(hashes=task.hashes | {"model": "beef"})
    with pytest.raises(ValueError, match=r"caches activations with model .* not 'beef'; choose another"):
        CachedStream(other, FEED, CPU, tmp_path, 5)
    with pytest.raises(ValueError, match="with layer 0, not 1"):
        CachedStream(task, FEED._replace(layer=1), CPU, tmp_path, 5)
    with pytest.raises(ValueError, match="got needs grad; leave --cache out"):
        CachedStream(task, FEED._replace(needs=("grad",)), CPU, tmp_path, 5)


def test_the_speed_of_streams_is_measured(task, tmp_path, monkeypatch):
    monkeypatch.setitem(RECIPES, "common", RECIPES["common"]._replace(batch=256))
    watch = speed.Stopwatch()
    speed.add_sources(watch, task, 256, tmp_path)
    speed.add_steps(watch, task, 32)
    for dtype in (torch.float32, torch.bfloat16):
        speed.add_peak(watch, dtype, 64)
    watch.round()
    table = "\n".join(speed.lines(watch, task, 256, 32, 64))
    assert "model, float32" in table
    assert all(name in table for name in speed.STEPS)


def test_two_processes_do_not_fill_one_cache(task, tmp_path):
    with alone_in(tmp_path / "c"), pytest.raises(Held, match="another process is writing"):
        CachedStream(task, FEED, CPU, tmp_path / "c", 30)
    CachedStream(task, FEED, CPU, tmp_path / "c", 30)
    with alone_in(tmp_path / "c"):  # what is full is only read
        CachedStream(task, FEED, CPU, tmp_path / "c", 30)


def test_a_cache_says_its_size_first_and_keeps_to_the_limit(task, tmp_path, capsys, monkeypatch):
    with pytest.raises(ValueError, match=r"expected at most 0\.0001 GB"):
        CachedStream(task, FEED, CPU, tmp_path / "c", 30, max_gb=1e-4)
    assert not (tmp_path / "c").exists()

    class Killed(BaseException):
        pass

    def killed(*_):
        raise Killed

    monkeypatch.setattr(cache.ArrayFile, "write", killed)
    with pytest.raises(Killed):
        CachedStream(task, FEED, CPU, tmp_path / "c", 30)
    assert "writing 0.00 GB of activations" in capsys.readouterr().err
    assert not (tmp_path / "c" / "manifest.json").exists()
    monkeypatch.undo()
    CachedStream(task, FEED, CPU, tmp_path / "c", 30)
    manifest = json.loads((tmp_path / "c" / "manifest.json").read_text())
    (tmp_path / "c" / "manifest.json").write_text(json.dumps(manifest | {"rows": 7}))
    with pytest.raises(Broken, match="expected shape"):
        CachedStream(task, FEED, CPU, tmp_path / "c", 5)
