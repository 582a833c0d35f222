"""The parts of the site beyond docs/: the files beside docs/ that its pages link to, GitHub's anchors, colours of code.

A link out of docs/, such as `../CONTRIBUTING.md`, is right in the repository. On the site these files are below
`repository/`, and links to and from them are rewritten.
"""

from __future__ import annotations

import posixpath
import re
from pathlib import Path
from typing import TYPE_CHECKING

from pygments.formatters import HtmlFormatter

if TYPE_CHECKING:  # MkDocs 1.6 has the same classes below `mkdocs`, and builds the same site
    from properdocs.config.defaults import ProperDocsConfig
    from properdocs.structure.files import Files
    from properdocs.structure.pages import Page

BESIDE = "repository/"
"""The folder of the site that holds files from outside docs/."""

LINK = re.compile(
    r"(?P<code>^(?P<fence>`{3,}|~{3,}).*?^(?P=fence)[^\n]*$|(?P<ticks>`+)(?!`).*?(?<!`)(?P=ticks)(?!`))"
    r"|(?P<open>\]\()(?P<address>[^)\s#:]+)(?=[)#])",
    re.MULTILINE | re.DOTALL,
)
"""A relative address in `](...)`; code comes first, so that nothing in it counts as a link."""


def on_config(config: ProperDocsConfig) -> ProperDocsConfig:
    config.mdx_configs.setdefault("toc", {})["slugify"] = slug
    return config


def slug(heading: str, separator: str) -> str:
    """The address of a heading as GitHub makes it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", separator)


def on_files(files: Files, config: ProperDocsConfig) -> Files:
    root, docs = _folders(config)
    pages = files.documentation_pages()
    generated = type(pages[0]).generated
    waiting = [page.src_uri for page in pages]
    while waiting:
        place = _in_repository(waiting.pop(), docs)
        for found in LINK.finditer((root / place).read_text()):
            target = _target(found, place)
            uri = _on_site(target, docs)
            if target.startswith(f"{docs}/") or files.get_file_from_path(uri) or not (root / target).is_file():
                continue
            files.append(generated(config, uri, abs_src_path=str(root / target)))
            if target.endswith(".md"):
                waiting.append(uri)
    light, dark = (HtmlFormatter(style=style).get_style_defs for style in ("default", "github-dark"))
    css = f"{light('.codehilite')}\n{dark('[data-bs-theme=dark] .codehilite')}\n"
    files.append(generated(config, "site.css", content=css))
    return files


def on_page_markdown(markdown: str, page: Page, config: ProperDocsConfig, files: Files) -> str:
    _, docs = _folders(config)
    here = page.file.src_uri
    place = _in_repository(here, docs)

    def rewritten(found: re.Match[str]) -> str:
        uri = _on_site(_target(found, place), docs)
        if found["code"] or not files.get_file_from_path(uri):
            return found[0]
        return found["open"] + posixpath.relpath(uri, posixpath.dirname(here))

    return LINK.sub(rewritten, markdown)


def _folders(config: ProperDocsConfig) -> tuple[Path, str]:
    """The repository, and docs/ in it."""
    docs = Path(config.docs_dir)
    return docs.parent, docs.name


def _target(found: re.Match[str], place: str) -> str:
    """What a link on the page at `place` leads to, as a path in the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(place), found["address"] or ""))


def _in_repository(uri: str, docs: str) -> str:
    return uri.removeprefix(BESIDE) if uri.startswith(BESIDE) else f"{docs}/{uri}"


def _on_site(path: str, docs: str) -> str:
    return path.removeprefix(f"{docs}/") if path.startswith(f"{docs}/") else BESIDE + path
