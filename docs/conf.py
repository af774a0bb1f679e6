"""The site: the pages as they are on GitHub, and a reference from docstrings and help texts.

``nox -s docs`` builds it. Sphinx reads from the root of the repository, ``sphinx-build -c docs .``,
so a relative link leads to the same page or file here and on GitHub.
"""

import sys
from pathlib import Path

import gilfree

sys.path.insert(0, str(Path(__file__).parent / "_ext"))  # modules of this folder

project = "gilfree"
author = copyright = "The gilfree developers"  # noqa: A001  the name is Sphinx's
release = version = gilfree.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.viewcode", "numpydoc"]
extensions += ["front", "contents", "files", "texts"]  # in _ext
include_patterns = ["*.md", "docs/*.md", "docs/*/*.md"]
root_doc = "README"
smartquotes = False  # -- is an option's
myst_heading_anchors = 4  # GitHub's anchors of headings, such as #keep-it-so-in-ci

# The docstrings name the types, in words that a signature lacks: array_like, shape (n,).
autodoc_typehints = "none"
autodoc_member_order = "bysource"
numpydoc_show_class_members = False  # their entries follow
# `name` is a link if there is an entry of that name, and code if not, as for a parameter.
default_role = "py:obj"
nitpick_ignore_regex = [("py:obj", ".*")]

# NumPy's readers know it, and output of 90 columns fits; furo, tried beside it, cuts it off.
html_theme = "pydata_sphinx_theme"
html_title = "gilfree"
html_context = {"default_mode": "auto"}  # light or dark, as the reader's system
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False
