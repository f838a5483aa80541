"""The lessons' cells for PyTorch, Flax and Keras: what is said where these are missing."""

import sys

import pytest

from initkit import course


@pytest.mark.parametrize("lang", course.LANGUAGES)
def test_where_a_package_is_missing_one_line_says_how_to_install_it(lang, capsys, monkeypatch):
    assert course.installed("numpy", "scipy", lang=lang)
    assert capsys.readouterr().out == ""
    assert not course.installed("numpy", "no_torch", "no_jax", lang=lang)
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert "pip install no_torch no_jax\n" in said
    assert "numpy" not in said
    monkeypatch.setattr(sys, "platform", "emscripten")
    assert not course.installed("no_torch", lang=lang)
    assert {"en": "outside the browser", "zh": "浏览器里装不了"}[lang] in capsys.readouterr().out
