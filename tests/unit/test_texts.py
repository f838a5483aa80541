"""Every text in every language, and a glyph for each of its characters."""

import re
import string
from importlib import resources

import pytest
from matplotlib import ft2font

from initkit import course, words
from initkit.words import fonts

TABLE = words.table()
HAN = re.compile(r"[\u3400-\u9fff]")


def test_no_text_lacks_a_language():
    assert TABLE
    for key, by_language in TABLE.items():
        assert set(by_language) == set(course.LANGUAGES), key
        assert all(isinstance(t, str) and t.strip() for t in by_language.values()), key


def test_both_languages_fill_the_same_fields():
    for key, by_language in TABLE.items():
        fields = [
            {name for _, name, _, _ in string.Formatter().parse(t) if name} for t in by_language.values()
        ]
        assert fields[0] == fields[1], key


def test_chinese_texts_are_chinese_and_english_ones_are_not():
    # People, functions, and formulas.
    names = {
        "start.xavier",
        "start.he",
        "he.he",
        "he.xavier",
        "function.tanh",
        "function.relu",
        "function.sigmoid",
        "function.gelu",
    }
    names |= {f"{scheme}.{mode}" for scheme in ("xavier", "he") for mode in ("fan_in", "fan_avg", "fan_out")}
    names |= {f"choosing.{scheme}" for scheme in ("lecun", "xavier", "he")}
    for key, by_language in TABLE.items():
        assert not HAN.search(by_language["en"]), key
        words = re.search(r"[a-z]{2}", by_language["en"])
        assert not words or key in names or HAN.search(by_language["zh"]), key


def test_no_chinese_between_dollars():
    for key, by_language in TABLE.items():
        for formula in re.findall(r"\$.*?\$", by_language["zh"]):
            assert not HAN.search(formula), key


def test_what_is_shown_as_text_has_no_formula():
    """Choices, verdicts and hints, which a kernel and the reading pages show as they are: 1/√n."""
    shown = {key: both for key, both in TABLE.items() if key.startswith(("quiz.", "check.", "hint."))}
    assert shown
    for key, by_language in shown.items():
        assert "$" not in "".join(by_language.values()), key


def font_covers(character: str) -> bool:
    with resources.as_file(resources.files(fonts.__package__).joinpath(fonts.FILE)) as path:
        return ord(character) in ft2font.FT2Font(str(path)).get_charmap()


def test_font_has_every_han_character_of_the_table():
    with resources.as_file(resources.files(fonts.__package__).joinpath(fonts.FILE)) as path:
        glyphs = ft2font.FT2Font(str(path)).get_charmap()
    wanted = {c for by_language in TABLE.values() for c in by_language["zh"] if ord(c) > 0x2E7F}
    assert wanted
    assert not {c for c in wanted if ord(c) not in glyphs}, "make font"


def test_font_lacks_what_it_should_lack():
    """The check above can fail: a character outside GB 2312 is not in the subset."""
    assert not font_covers("龘")


def test_font_carries_its_licence():
    licence = resources.files(fonts.__package__).joinpath("font/OFL.txt").read_text(encoding="utf-8")
    assert "SIL OPEN FONT LICENSE Version 1.1" in licence
    assert "Adobe" in licence


def test_font_has_a_family_of_its_own():
    with resources.as_file(resources.files(fonts.__package__).joinpath(fonts.FILE)) as path:
        assert ft2font.FT2Font(str(path)).family_name == fonts.FAMILY


def test_text_fills_its_fields():
    assert course.text("layers.title", "zh", layer=3) == "第 3 层"


@pytest.mark.parametrize(
    ("key", "lang", "error", "message"),
    [
        ("layers.title", "fr", ValueError, "lang must be one of zh, en, not 'fr'"),
        ("layers.titel", "en", KeyError, "layers.title"),
        ("no such thing at all", "en", KeyError, "no text is called"),
        ("layers.title", "en", ValueError, r"'layers.title' \(en\) has {braces}.* 'layer'.*twice"),
    ],
)
def test_bad_names_are_told(key, lang, error, message):
    with pytest.raises(error, match=message):
        course.text(key, lang)


def test_every_key_is_used():
    """A text that nobody shows is dead; keys built from a prefix count for all that share it.

    A menu's choices are names, quoted in the same module, in the section of the menu's label.
    """
    sources = [p.read_text(encoding="utf-8") for p in _modules()]
    used = {m for s in sources for m in re.findall(r'["\']([a-z_]+\.[a-z_]+)["\']', s)}
    for s in sources:
        menus = re.findall(r'controls\.(?:(function)\(|(?:choice|labels)\("([a-z_]+))', s)
        for section in set(filter(None, sum(menus, ()))):
            used |= {f"{section}.{name}" for name in re.findall(r'"(\w+)"', s)}
    prefixes = tuple({m for s in sources for m in re.findall(r'f"([a-z_]+\.)\{', s)})
    assert not [key for key in TABLE if key not in used and not key.startswith(prefixes)]


def _modules():
    from pathlib import Path

    return (Path(__file__).parents[2] / "initkit").rglob("*.py")
