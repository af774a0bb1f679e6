"""Shows the files and folders of the repository that pages link to: examples, benchmarks, sources.

On GitHub such a link leads to the file. Here each gets a page with its text, and a folder one with
its files. A notebook stays a download, which MyST makes of every link to a file that is no page.
"""

from collections.abc import Iterator
from html import escape
from pathlib import Path, PurePosixPath
from typing import Any

from docutils import nodes
from pygments.lexers import get_lexer_for_filename
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms import SphinxTransform

KIND = "file-of-the-repository"
FOLDER = "files"  # of the site
SHOWN = {".py", ".pyx", ".pxd", ".pyi", ".c", ".h", ".js", ".css", ".toml", ".yml"}
linked: set[str] = set()  # what needs a page: paths from the root of the repository


class LinksToFiles(SphinxTransform):
    """Turns links to files and folders into references that `link_to_file` resolves."""

    default_priority = 200  # before Sphinx collects downloads

    def apply(self, **kwargs: Any) -> None:
        """Go through the links of a page that MyST took for downloads or did not know."""
        for link in list(self.document.findall(addnodes.download_reference)):
            self.replace(link)
        for link in list(self.document.findall(addnodes.pending_xref)):
            if link["reftype"] == "myst" and not link["refdomain"]:
                self.replace(link)

    def replace(self, link: nodes.Element) -> None:
        """Replace a link if we show what it leads to."""
        _, full = self.env.relfn2path(link["reftarget"], self.env.docname)
        path = Path(full)
        if path.is_dir() or (path.is_file() and path.suffix in SHOWN):
            target = path.resolve().relative_to(self.env.srcdir).as_posix()
            options = {"refdomain": "", "reftype": KIND, "refexplicit": True}
            found = addnodes.pending_xref("", *link.children, reftarget=target, **options)
            found["refdoc"] = self.env.docname
            link.replace_self(found)


def link_to_file(
    app: Sphinx, env: BuildEnvironment, link: addnodes.pending_xref, content: nodes.Element
) -> nodes.reference | None:
    """Resolve a reference to a file or a folder, and note that it needs a page."""
    if link["reftype"] != KIND:
        return None
    path = link["reftarget"]
    linked.add(path)
    uri = app.builder.get_relative_uri(link["refdoc"], f"{FOLDER}/{path}")
    return nodes.reference("", "", content, refuri=uri, internal=True)


def pages(app: Sphinx) -> Iterator[tuple[str, dict[str, Any], str]]:
    """Yield a page for each file and folder that was linked to, and each file of such a folder."""
    names = {path: names_in(app.srcdir / path) for path in linked if (app.srcdir / path).is_dir()}
    inner = {f"{folder}/{name}" for folder in names for name in names[folder]}
    for path in sorted(linked | inner):
        if path in names:
            body = folder_body(PurePosixPath(path).name, names[path])
        else:
            body = file_body(app, app.srcdir / path)
        context = {"parents": [], "title": path, "body": f"<h1>{escape(path)}</h1>{body}"}
        yield f"{FOLDER}/{path}", context, "page.html"


def names_in(folder: Path) -> list[str]:
    """Return which files of a folder are shown: not what Cython made of another."""
    files = [path for path in folder.iterdir() if path.suffix in SHOWN]
    made = {path.with_suffix(".c") for path in files if path.suffix == ".pyx"}
    return sorted(path.name for path in {*files} - made)


def folder_body(folder: str, names: list[str]) -> str:
    """Return the list of a folder's files, as HTML."""
    links = (f'<a href="{folder}/{name}.html"><code>{escape(name)}</code></a>' for name in names)
    return "<ul>" + "".join(f"<li>{link}</li>" for link in links) + "</ul>"


def file_body(app: Sphinx, path: Path) -> str:
    """Return a file's text with its lines numbered, as HTML."""
    language = get_lexer_for_filename(path.name).aliases[0]
    text = path.read_text(encoding="utf-8")
    return app.builder.highlighter.highlight_block(text, language, linenos="inline")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.add_transform(LinksToFiles)
    app.connect("missing-reference", link_to_file)
    app.connect("html-collect-pages", pages)
    return {"parallel_read_safe": True, "parallel_write_safe": False}  # `linked` grows in writing
