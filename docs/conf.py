"""How Sphinx builds the reading pages: lessons, design, API. ``tools/pages.py`` runs it, once a language."""

import sys
from pathlib import Path

import initkit

sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "tools")]

project = "initkit"
author = "The initkit authors"
copyright = author
version = release = initkit.__version__
language = "en"  # the Chinese build says zh_CN on the command line

extensions = [
    "extension",
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
]
exclude_patterns = []
nitpicky = True
# Types of other projects, whose inventories are not read.
nitpick_ignore_regex = [("py:.*", r"(numpy|collections|typing)\..*")]

html_theme = "sphinx_book_theme"
html_title = "initkit"
html_theme_options = {
    "show_toc_level": 2,
    "use_download_button": False,
    "use_fullscreen_button": False,
    "navbar_persistent": [],  # the sidebar has the search
    "footer_content_items": ["extra-footer.html"],
    "article_header_end": ["doors.html", "article-header-buttons.html"],
}
html_static_path = ["_static"]
html_css_files = ["reading.css"]
html_js_files = ["reading.js"]
html_domain_indices = False
templates_path = ["_templates"]
html_copy_source = False
html_math_renderer = "mathml"

myst_enable_extensions = ["dollarmath"]
nb_execution_mode = "off"
nb_ipywidgets_js = {}  # they would come from elsewhere

autodoc_mock_imports = ["torch"]  # the pages are built without it
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the Parameters sections say the types in words
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
