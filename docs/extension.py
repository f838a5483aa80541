"""What Sphinx does for the reading pages beyond its own: lessons, doors, formulas, search."""

import json
import re

import nbformat
from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml
from pages import DOCS, WORDS, anchored, other, readable, run_url
from sphinx.search.zh import SearchChinese
from sphinx.util import logging

logger = logging.getLogger(__name__)

HAN = "㐀-䶿一-鿿"


def on_config(app, config) -> None:
    """Set what is said in the pages' language."""
    lang = config.language[:2]
    config.nb_code_prompt_show, config.nb_code_prompt_hide = WORDS["show"][lang], WORDS["hide"][lang]
    config.html_theme_options["extra_footer"] = WORDS["licence"][lang]
    config.html_theme_options["search_bar_text"] = WORDS["search"][lang]


def on_source_read(app, docname: str, source: list[str]) -> None:
    if docname.startswith("lessons/"):
        name, lang = docname.removeprefix("lessons/"), app.config.language[:2]
        lesson = readable(nbformat.reads(source[0], as_version=4), name, lang)
        source[0] = json.dumps(anchored(lesson))


def on_page(app, docname: str, template: str, context: dict, doctree) -> None:
    """Give the page's header (_templates/doors.html) its two doors: the other language, and to run it."""
    lang = app.config.language[:2]
    lesson = docname.startswith("lessons/")
    up = "../" * (docname.count("/") + 1)
    context["said"] = {key: said[lang] for key, said in WORDS.items()}
    both = lesson or all((DOCS / f"{docname}{end}").exists() for end in (".md", ".zh.md"))
    context["twin"] = {"lang": other(lang), "url": f"{up}{other(lang)}/{docname if both else 'index'}.html"}
    if lesson:
        context["run_url"] = run_url(docname.removeprefix("lessons/"), lang)


# Formulas -------------------------------------------------------------------------------------------


def mathml(formula: str, block: bool) -> str:
    """A formula in TeX as MathML. Raises ValueError, with the formula, for what the converter lacks."""
    # The converter wants braces around each digit of \tfrac12, and sets wider than TeX what follows.
    tex = re.sub(r"\\([td]?frac) *(\d)(\d)", r"\\\1{\2}{\3}", formula)
    # It knows neither \big nor \dots. The brackets stay as high as a line.
    tex = re.sub(r"\\big[lr]?(?![A-Za-z])", "", re.sub(r"\\dots(?![a-z])", r"\\ldots", tex))
    try:
        made = tex2mathml(re.sub(r"\\sqrt *(\d)", r"\\sqrt{\1}", tex), as_block=block)
    except ValueError as error:
        raise ValueError(f"{error} The formula: {formula}") from error
    made = re.sub(r"<mo>([⟨⟩])</mo>", r'<mo stretchy="false">\1</mo>', made)
    made = re.sub(r"(<mi>(?:ln|log)</mi>)(?=\s*<mn>)", r'\1<mspace width="0.17em"></mspace>', made)
    return made.replace('<mo stretchy="false">/</mo>', '<mo lspace="0" rspace="0">/</mo>')


def on_doctree_read(app, doctree) -> None:
    """Warn, which stops the build, of each formula that cannot be set, with its place, and leave it out."""
    lesson, cell = app.env.docname.startswith("lessons/"), "title"
    for node in list(doctree.findall()):
        if isinstance(node, nodes.raw) and (mark := re.search('id="cell-([^"]+)"', node.astext())):
            cell = mark[1]  # as ``anchored`` has marked it
        elif isinstance(node, nodes.math | nodes.math_block):
            try:
                mathml(node.astext(), block=False)
            except ValueError as error:
                logger.warning("%s%s", f"In the cell {cell}: " if lesson else "", error, location=node)
                node.parent.remove(node)


def inline(translator, node) -> None:
    translator.body.append(mathml(node.astext(), block=False))
    raise nodes.SkipNode


def block(translator, node) -> None:
    translator.body.append(f'<div class="formula">{mathml(node.astext(), block=True)}</div>')
    raise nodes.SkipNode


# Search ---------------------------------------------------------------------------------------------


class Pairs(SearchChinese):
    """Chinese by its pairs of characters, in the pages and in what is sought: no dictionary is needed."""

    language_name = "English"  # the stemmer's, which Sphinx's script looks for as ChineseStemmer, in vain
    js_splitter_code = f"""
function splitQuery(query) {{
  return (query.match(/[{HAN}]+|[\\p{{L}}\\p{{N}}_]+/gu) || []).flatMap((run) =>
    !/[{HAN}]/.test(run) || run.length < 3 ? run : [...run.slice(1)].map((c, i) => run[i] + c));
}}
"""

    def split(self, input: str) -> list[str]:
        runs = re.findall(f"[{HAN}]+", input)
        pairs = {run[i : i + n] for run in runs for n in (1, 2) for i in range(len(run) + 1 - n)}
        return [*pairs, *re.findall(r"[a-zA-Z0-9_]+", input)]

    def word_filter(self, stemmed_word: str) -> bool:
        return len(stemmed_word) > 1 or re.match(f"[{HAN}]", stemmed_word) is not None


def setup(app):
    app.connect("config-inited", on_config, priority=1)
    app.connect("source-read", on_source_read)
    app.connect("doctree-read", on_doctree_read, priority=1)  # before headings are copied into contents
    app.connect("html-page-context", on_page, priority=400)  # the theme reads the templates after that
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.add_search_language(Pairs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
