"""What README and docs/ name is there: files, sections, options, rooms, figures."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import pytest
import yaml
from hydra.utils import instantiate
from omegaconf import OmegaConf

from mmemo.corpora.facts import CorpusFacts
from mmemo.folders import config_dir
from tests.documentation.markdown import FENCE, PAGES, ROOT, Block, blocks, links, text_of

README = ROOT / "README.md"
DOCS = ROOT / "docs"

GENERATED = {"schemas.md"}
"""Pages that the site makes of the code."""

FILE = re.compile(r"`((?:mmemo|conf|tests|benchmarks|docs|\.ci|\.github)/[\w./-]*)`")
FIGURE = re.compile(r"\d+\.\d{3}|\d+\.\d+ ?(?:min|GB|GiB|times)")


def anchors(page: Path) -> set[str]:
    """The ends of links to a page's sections, as GitHub and Markdown's ``toc`` make them."""
    titles = re.findall(r"^#+ (.+)$", FENCE.sub("", text_of(page)), re.MULTILINE)
    return {re.sub(r"[^\w\s-]", "", title).strip().lower().replace(" ", "-") for title in titles}


def ids(page: Path) -> str:
    return page.name


@pytest.mark.parametrize("page", [*PAGES, ROOT / "CHANGELOG.md"], ids=ids)
def test_links_lead_somewhere(page: Path) -> None:
    for link in links(text_of(page)):
        if link.startswith("https://"):
            continue
        name, _, anchor = link.partition("#")
        if name in GENERATED:
            continue
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_files_that_are_named_are_there(page: Path) -> None:
    for name in FILE.findall(text_of(page)):
        assert (ROOT / name).exists() or is_example(page, name), name


def is_example(page: Path, name: str) -> bool:
    """Whether a page has the reader write that file."""
    if page == README:
        return name == "conf/audio_encoder/data2vec_large.yaml"
    return name in {block.title for block in blocks(text_of(page))}


def test_the_readme_is_short_and_has_what_ci_reads_of_it() -> None:
    assert README.stat().st_size <= 12_000
    lines = text_of(README).splitlines()
    assert "pip install -e . && mmemo train experiment=demo" in lines
    assert any(line.startswith('pip install -e ".[test]" && pytest') for line in lines)


def test_pictures_are_small() -> None:
    pictures = sorted((DOCS / "images").iterdir())
    assert [path.name for path in pictures] == ["comparison.png", "explanation.png", "serving.png"]
    for path in pictures:
        data = path.read_bytes()
        assert data.startswith(b"\x89PNG")
        assert len(data) < 120_000


def test_every_page_is_in_the_sites_contents() -> None:
    settings = text_of(ROOT / "mkdocs.yml")
    pages = {path.name for path in DOCS.glob("*.md")} | GENERATED
    assert {
        name for name in pages if not re.search(rf"^  - (.+: )?{name}$", settings, re.M)
    } == set()


def test_the_site_fetches_nothing() -> None:
    settings = yaml.safe_load(text_of(ROOT / "mkdocs.yml"))
    assert settings["theme"]["font"] is False
    assert settings["strict"] is True
    assert not {"extra_css", "extra_javascript", "repo_url"} & set(settings)
    assert not any("mermaid" in block.language for page in PAGES for block in blocks(text_of(page)))


def test_the_architecture_names_every_room() -> None:
    table = re.findall(r"^\| `(\w+)` \|", text_of(DOCS / "architecture.md"), re.MULTILINE)
    packages = {path.parent.name for path in (ROOT / "mmemo").glob("*/__init__.py")}
    assert sorted(table) == sorted(packages)


def option_names(group: str) -> set[str]:
    return {path.stem for path in (config_dir() / group).glob("*.yaml")} - {"pretrained"}


@pytest.mark.parametrize(
    ("page", "group"),
    [
        ("encoders.md", "fusion"),
        ("baselines.md", "classifier"),
        ("baselines.md", "features"),
        ("dialogues.md", "context"),
        ("systems.md", "system"),
        ("data.md", "denoiser"),
        ("data.md", "labels"),
        ("data.md", "corpus/emotions"),
        ("processes.md", "trainer"),
        ("explaining.md", "methods"),
    ],
)
def test_tables_of_options_are_complete(page: str, group: str) -> None:
    table = text_of(DOCS / page).partition(f"| `{group}=` |")[2].partition("\n\n")[0]
    rows = [line.split("|")[1] for line in table.splitlines()[2:]]
    assert {name for row in rows for name in re.findall(r"`(\w+)`", row)} == option_names(group)


def corpora_table() -> str:
    """The table of corpora by name, made of their files."""
    head = ["`corpus=`", "rows", "speakers", "classes", "licence", "its literature's split"]
    rows = [head, ["---"] * len(head)]
    for path in sorted((config_dir() / "corpus").glob("*.yaml")):
        file = OmegaConf.load(path)
        if not file.get("facts"):
            continue
        facts: CorpusFacts = instantiate(file.facts, _convert_="all")
        parts = [facts.total, *facts.splits.values()]
        classes = {label for part in parts for label in part.labels.get("emotion", ())}
        classes |= set((file.get("codes") or {}).get("emotion", {}).values())
        cells = [facts.num_rows, facts.num_speakers, len(classes) or None]
        shown = ["–" if cell is None else f"{cell:,}" for cell in cells]
        link = f"[`{path.stem}`]({facts.homepage})"
        rows.append([link, *shown, facts.licence, facts.usual_split])
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def test_the_table_of_corpora_is_that_of_their_files() -> None:
    assert corpora_table() in text_of(DOCS / "data.md")


@pytest.mark.parametrize("group", ["audio_encoder", "text_encoder"])
def test_lists_of_encoders_are_complete(group: str) -> None:
    listed = re.search(rf"`{group}=` `([\w ]+)`", text_of(DOCS / "encoders.md"))
    assert listed is not None
    assert set(listed[1].split()) == option_names(group)


def test_the_table_of_sweeps_is_complete() -> None:
    text = text_of(DOCS / "sweeps.md")
    assert {name for name in option_names("sweep") if f"`{name}`" not in text} == {"optuna"}
    assert "+sweep=optuna" in text


def test_the_table_of_extras_is_complete() -> None:
    project = tomllib.loads(text_of(ROOT / "pyproject.toml"))["project"]
    table = text_of(DOCS / "index.md").partition("| extra |")[2].partition("\n\n")[0]
    named = {
        name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])
    }
    assert named == set(project["optional-dependencies"])


def test_figures_of_the_readme_stand_on_the_page_of_figures() -> None:
    figures = text_of(DOCS / "figures.md")
    quoted = set(FIGURE.findall(text_of(README)))
    assert len(quoted) > 20
    assert {figure for figure in quoted if figure not in figures} == set()


def test_every_section_of_figures_has_its_command() -> None:
    for section in text_of(DOCS / "figures.md").split("\n## ")[1:]:
        assert "```bash" in section or "`mmemo " in section, section.partition("\n")[0]


def examples() -> Iterator[Block]:
    for page in PAGES:
        yield from (block for block in blocks(text_of(page)) if block.language != "bash")


def test_yaml_and_python_of_the_pages_can_be_read() -> None:
    for block in examples():
        if block.language == "yaml":
            assert isinstance(yaml.safe_load(block.text), dict)
        elif block.language == "python":
            compile(block.text, block.title, "exec")
        else:
            assert block.language in ("csv", "text")


@pytest.fixture(scope="module")
def generated() -> Any:  # noqa: ANN401
    """The module that makes pages of the code."""
    for package in ("griffe", "mkdocs"):
        if find_spec(package) is None:
            pytest.skip(f"needs the extra docs ({package})")
    spec = spec_from_file_location("generated_pages", DOCS / "generated_pages.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_schemas_tell_every_field(generated: Any) -> None:  # noqa: ANN401
    documents = generated.documents()
    files = ["run", "data", "metrics", "comparison", "audit"]
    files += ["explanation", "summary", "checks", "probes", "feature_shap"]
    files += ["settings", "preprocessing", "stress"]
    assert {f"{name}.json" for name in files} == set(documents)
    page = generated.schemas_page()
    run = page.partition("## run.json")[2].partition("\n## ")[0]
    for field in documents["run.json"].__annotations__:
        assert f"| `{field}` |" in run or field == "VERSION"
    assert "`running` or `interrupted` or `failed` or `pruned` or `finished`" in run
    assert set(re.findall(r"\(#([\w-]+)\)", page)) <= set(re.findall(r"\{#([\w-]+)\}", page))


def test_every_versioned_document_says_which_file_it_is() -> None:
    for path in (ROOT / "mmemo").rglob("*.py"):
        for kind, body in re.findall(
            r"^class (\w+).*?:\n(.*?)(?=^\S|\Z)", text_of(path), re.M | re.S
        ):
            if re.search(r"VERSION: ClassVar\[int\] = ", body):
                assert re.search(r'^    """.*?``[\w.]+\.json``', body), f"{path}: {kind}"


def test_the_reference_has_every_module(generated: Any) -> None:  # noqa: ANN401
    pages = [generated.reference_page(name, paths) for name, paths in generated.rooms().items()]
    found = {name for page in pages for name in re.findall(r"^::: (\S+)$", page, re.MULTILINE)}
    modules = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in (ROOT / "mmemo").rglob("*.py")
        if not path.name.startswith("__")
    }
    assert found == modules
