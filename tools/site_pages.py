"""Pages of the site that are files of the repository's top folder; a hook of MkDocs."""

from __future__ import annotations

import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
PAGES = {
    "index.md": "README.md",
    "contributing.md": "CONTRIBUTING.md",
    "changelog.md": "CHANGELOG.md",
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Adds the pages, their links as the site has them."""
    for page, source in PAGES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        made = File.generated(config, page, content=relinked(text))
        files.append(made)
    return files


def relinked(text: str) -> str:
    """Returns Markdown whose links lead to pages; those to other files become text."""
    places = {source: page for page, source in PAGES.items()}
    places |= {"docs": "index.md#read-the-code", "biggan_tf/api/__init__.py": "api.md"}

    def link(match: re.Match) -> str:
        words, target = match[1], match[2]
        if target.startswith("docs/") or "://" in target or target.startswith("#"):
            return f"[{words}]({target.removeprefix('docs/')})"
        return f"[{words}]({places[target]})" if target in places else words

    return re.sub(r"\[([^\]]*)\]\(([^)\s]+)\)", link, text)
