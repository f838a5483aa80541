"""How Sphinx builds the pages of design and API, the latter from the docstrings. Run by ``make docs``."""

import initkit

project = "initkit"
author = "The initkit authors"
copyright = author
version = release = initkit.__version__
language = "en"

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.intersphinx",
    "sphinx.ext.mathjax",
    "sphinx.ext.viewcode",
]
exclude_patterns = []
nitpicky = True

html_theme = "sphinx_book_theme"
html_title = "initkit"
html_theme_options = {"show_toc_level": 2, "use_download_button": False}
html_copy_source = False

autodoc_mock_imports = ["torch"]  # the pages are built without it
autodoc_member_order = "bysource"
autodoc_typehints = "none"  # the Parameters sections say the types in words
numpydoc_show_class_members = False
numpydoc_xref_param_type = False
# Links to other projects need their inventories from the web; a build must not.
intersphinx_mapping = {}
