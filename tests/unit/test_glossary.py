"""The glossary: complete, well-formed, and the one rendering of each term that the lessons use."""

import functools
import html
import re
import tomllib
from importlib import resources

import pytest

import notebooks as tool
from initkit import course, words
from initkit.course import glossaries

TERMS = glossaries.terms()
HAN = re.compile(r"[\u3400-\u9fff]")
BOTH = pytest.mark.parametrize("lang", course.LANGUAGES)
EACH = pytest.mark.parametrize("name", TERMS)


@functools.cache
def prose(lang: str, lesson: str) -> str:
    """The Markdown of a lesson, without emphasis; none where it is not written yet."""
    (name,) = [name for name in tool.lessons() if tool.number_of(name) == lesson] or [None]
    path = tool.ROOT / lang / str(name)
    cells = tool.read(path).cells if path.exists() else []
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown").replace("*", "")


def strings(lang: str) -> str:
    return "\n".join(by_language[lang] for by_language in words.table().values())


def everything(lang: str) -> str:
    written = [prose(lang, tool.number_of(name)) for name in tool.lessons()]
    return "\n".join([*written, strings(lang), *(term["definition"][lang] for term in TERMS.values())])


@EACH
def test_a_term_is_complete(name):
    term = TERMS[name]
    assert set(term) >= {"zh", "en", "lesson", "definition"}
    assert set(term) <= {"zh", "en", "lesson", "definition", "avoid", "says", "paired"}
    assert re.fullmatch(r"[a-z_]+", name)
    assert term["lesson"] in set(map(tool.number_of, tool.lessons()))
    assert set(term["definition"]) == set(course.LANGUAGES)
    assert set(term.get("avoid", {})) | set(term.get("says", {})) <= set(course.LANGUAGES)


@EACH
def test_a_definition_is_one_sentence_of_its_language(name):
    zh, en = (TERMS[name]["definition"][lang] for lang in ("zh", "en"))
    assert HAN.search(zh)
    assert not HAN.search(en + TERMS[name]["en"])
    assert zh.count("。") == 1
    assert zh.endswith("。")
    assert en.endswith(".")
    assert not re.search(r"\.\s", en)
    for definition in (zh, en):
        assert definition.count("$") % 2 == 0
        assert not any(HAN.search(formula) for formula in re.findall(r"\$.*?\$", definition))


def test_both_languages_have_the_same_formulas():
    for name, term in TERMS.items():
        found = [set(re.findall(r"\$.*?\$", term["definition"][lang])) for lang in course.LANGUAGES]
        assert found[0] == found[1], name


@BOTH
def test_terms_are_many_and_different(lang):
    assert len({term[lang].casefold() for term in TERMS.values()}) == len(TERMS) >= 38


@BOTH
@EACH
def test_a_term_is_used_in_its_lesson(name, lang):
    """Or, where no lesson's text has it, in a figure, a quiz, or a check."""
    term = TERMS[name]
    said = term.get("says", {}).get(lang, term[lang]).casefold()
    if not (lesson := prose(lang, term["lesson"])):
        pytest.skip(f"lesson {term['lesson']} is not written yet")
    numbers = map(tool.number_of, tool.lessons())
    elsewhere = [number for number in numbers if said in prose(lang, number).casefold()]
    assert said in lesson.casefold() or (not elsewhere and said in strings(lang).casefold())


def uses(word: str, written: str, lang: str) -> list[str]:
    """Where the word is used, other than as a part of a longer term of the course."""
    if word.casefold() not in written.casefold():
        return []
    for term in TERMS.values():
        if word.casefold() in (longer := term[lang].casefold()) and word.casefold() != longer:
            written = re.sub(re.escape(longer), "", written, flags=re.IGNORECASE)
    start = r"\b" if lang == "en" else ""
    return re.findall(f".{{0,20}}{start}{re.escape(word)}.{{0,20}}", written, re.IGNORECASE)


@BOTH
@EACH
def test_nothing_says_it_otherwise(name, lang):
    for word in TERMS[name].get("avoid", {}).get(lang, []):
        assert word.casefold() not in {term[lang].casefold() for term in TERMS.values()}
        assert not uses(word, everything(lang), lang), f"{word}: the course says {TERMS[name][lang]}"


def test_part_of_a_longer_term_is_not_another_word():
    assert uses("预激活", "一层的预激活值", "zh") == []
    assert uses("预激活", "一层的预激活", "zh") == ["一层的预激活"]
    assert uses("limit", "unlimited", "en") == []
    assert uses("neuron", "two Neurons", "en") == ["two Neurons"]


@pytest.mark.parametrize("name", [name for name, term in TERMS.items() if term.get("paired")])
def test_the_chinese_lesson_gives_the_english_at_first(name):
    term = TERMS[name]
    if not (lesson := prose("zh", term["lesson"])):
        pytest.skip(f"lesson {term['lesson']} is not written yet")
    body = re.sub(r"(?m)^(#|- 学完以后).*$", "", lesson)  # headings and aims announce, they do not explain
    assert body[body.index(term["zh"]) :].startswith(f"{term['zh']}（{term['en']}）")


@BOTH
def test_it_shows_every_term_in_order(lang):
    shown = glossaries.glossary(lang=lang)
    other = {"zh": "en", "en": "zh"}[lang]
    table = shown._repr_html_()
    cells = [html.unescape(c) for c in re.findall(r"<t[dh] [^>]*>(.*?)</t[dh]>", table)]
    rows = [tuple(cells[i : i + 4]) for i in range(4, len(cells), 4)]
    assert cells[:4] == [
        course.text(f"glossary.{c}", lang) for c in ("term", "other", "definition", "lesson")
    ]
    assert sorted(rows) == sorted(
        (t[lang], t[other], t["definition"][lang], t["lesson"]) for t in TERMS.values()
    )
    assert [row[3] for row in rows] == sorted(row[3] for row in rows)
    source = resources.files("initkit.course").joinpath("glossary.toml").read_text(encoding="utf-8")
    in_file = [t[lang] for t in tomllib.loads(source).values() if t["lesson"] == "03"]
    assert [row[0] for row in rows if row[3] == "03"] == in_file
    assert "$z &lt; 0$" in table
    assert len(repr(shown).splitlines()) == len(TERMS)
    assert glossaries.terms() is TERMS


def test_another_language_is_told():
    with pytest.raises(ValueError, match="lang must be one of zh, en, not 'fr'"):
        glossaries.glossary(lang="fr")
