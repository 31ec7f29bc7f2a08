"""Pages of the site that are not Markdown in docs/; a hook of MkDocs.

They are files of the repository's top folder, and notebooks, which have no outputs.
"""

from __future__ import annotations

import json
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
        files.append(File.generated(config, page, content=relinked(text)))
    for path in sorted((ROOT / "docs" / "notebooks").glob("*.ipynb")):
        page = f"notebooks/{path.stem}.md"
        files.append(File.generated(config, page, content=of_notebook(path)))
    return files


def of_notebook(path: Path) -> str:
    """Returns a notebook as Markdown, its links to others as the site has them."""
    parts = []
    for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
        text, is_code = "".join(cell["source"]), cell["cell_type"] == "code"
        page = text.replace(".ipynb)", ".md)")
        parts.append(f"```python\n{text}\n```" if is_code else page)
    parts.insert(1, f"[The notebook itself]({path.name}), to run.")
    return "\n\n".join(parts)


def relinked(text: str) -> str:
    """Returns Markdown whose links lead to pages; those to other files become text."""
    places = {source: page for page, source in PAGES.items()}
    places |= {"docs": "index.md#read-the-code", "biggan_tf/api/__init__.py": "api.md"}

    def link(match: re.Match) -> str:
        words, target = match[1], match[2]
        if target.startswith("docs/") or "://" in target or target.startswith("#"):
            page = target.removeprefix("docs/").replace(".ipynb", ".md")
            return f"[{words}]({page})"
        return f"[{words}]({places[target]})" if target in places else words

    return re.sub(r"\[([^\]]*)\]\(([^)\s]+)\)", link, text)
