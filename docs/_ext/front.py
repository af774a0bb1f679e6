"""Has the site begin with README.md: it is the page of the folder, as on GitHub."""

import shutil
from typing import Any

from sphinx.application import Sphinx


def copy_front_page(app: Sphinx, exception: Exception | None) -> None:
    """Write README.html once more, as the index.html that servers look for."""
    if exception is None and app.builder.format == "html":
        shutil.copy(app.outdir / "README.html", app.outdir / "index.html")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("build-finished", copy_front_page)
    return {"parallel_read_safe": True}
