"""Settings of the documentation: ``sphinx-build -W docs docs/_build/html``."""

import sys
from importlib.metadata import version as installed_version
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "streamproc"
author = "the streamproc developers"
release = installed_version("streamproc")
version = release.partition("+")[0]
copyright = f"2026, {author}"
language = "en"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    # docs/_ext: pages made from the code, and from the examples
    "signatures",
    "reference",
    "gallery",
]
exclude_patterns = ["_build", "_ext"]
suppress_warnings = ["config.cache"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
default_role = "py:obj"  # `name` in a docstring: a link where there is such a name

autodoc_typehints = "none"  # docs/_ext/signatures.py writes them beside their meaning
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_preprocess_types = False
napoleon_use_rtype = False
python_maximum_signature_line_length = 72
add_module_names = False
toc_object_entries_show_parents = "hide"
viewcode_line_numbers = True

html_theme = "furo"
pygments_dark_style = "github-dark"
html_title = "streamproc"
html_static_path = ["_static"]
html_css_files = ["streamproc.css"]
html_copy_source = False
html_show_copyright = False
html_theme_options = {
    "light_css_variables": {
        "color-brand-primary": "#0b6e63",
        "color-brand-content": "#0b6e63",
        "color-brand-visited": "#0b6e63",
    },
    "dark_css_variables": {
        "color-brand-primary": "#5cc9b9",
        "color-brand-content": "#5cc9b9",
        "color-brand-visited": "#5cc9b9",
    },
}
