"""How the documentation is built: `make docs`."""

from __future__ import annotations

import re

from clustrix_core import __version__

project = "Clustrix"
author = "The Clustrix developers"
copyright = "2026, The Clustrix developers"  # noqa: A001 (Sphinx's word)
release = version = __version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "examples"]
nitpicky = False

html_theme = "furo"
html_title = f"Clustrix {__version__}"
html_static_path = ["_static"]
html_css_files = ["clustrix.css"]
html_copy_source = False
html_show_sphinx = False
# Light blocks on a light page, dark ones on a dark page.
pygments_style = "friendly"
pygments_dark_style = "monokai"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

add_module_names = False
autodoc_member_order = "bysource"
# The pages spell the signatures (a test compares them): overloads would stand there one by one.
autodoc_typehints = "none"
python_maximum_signature_line_length = 88
napoleon_use_rtype = False
napoleon_use_ivar = True


OURS = re.compile(r"(Cluster|cluster_|clustrix_)\w+(\.\w+)?")


def markdown_to_rst(app, what, name, obj, options, lines):
    """Docstrings are written as Markdown: code between single backticks, indented blocks after a colon."""
    text = re.sub(r"(?<!`)`([^`\n]+)`(\w?)", role, "\n".join(lines))
    text = re.sub(r":\n\n(?= {4})", "::\n\n", text)
    lines[:] = text.split("\n")


def role(code):
    marked = f":py:obj:`{code[1]}`" if OURS.fullmatch(code[1]) else f"``{code[1]}``"
    return marked + (rf"\ {code[2]}" if code[2] else "")


def setup(app):
    # Before napoleon, which reads what is left.
    app.connect("autodoc-process-docstring", markdown_to_rst, priority=100)
