"""Every config in the README, the guides and the reference loads, and its processors take lines.

A block that starts with ```` ```yaml config ```` is a whole config file; one with ```` ```yaml part ```` is a part of
one: what it lacks of sources and sinks is added. ```` ```python NAME.py ```` is a file that stands beside the configs
of its page.
"""

import re
from pathlib import Path

import pytest

from shipper.config import load
from shipper.errors import ConfigError
from shipper.trace import Tracer

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("docs/guide/*.md")), *sorted(ROOT.glob("docs/reference/*.md"))]
PAGES += [path for path in (ROOT / "processors" / "README.md", ROOT / "deploy" / "README.md") if path.exists()]
BLOCK = re.compile(
    r"^```(?P<kind>yaml (?:config|part)|python (?P<file>\w+\.py))\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
BLOCKS = [
    pytest.param(path, match, id=f"{path.relative_to(ROOT)}:{path.read_text()[: match.start()].count(chr(10)) + 1}")
    for path in PAGES
    for match in BLOCK.finditer(path.read_text("utf-8"))
    if match["kind"].startswith("yaml")
]
LINES = (
    b"a line",
    b'{"level":"info","message":"a \\"line\\"","timestamp":"2026-11-21T10:00:00Z","http":{"status":200}}',
    b'127.0.0.1 - bob [21/Nov/2026:10:00:00 +0000] "GET /a HTTP/1.1" 200 5 "-" "curl/8"',
    b'<13>Nov 21 10:00:00 host app[7]: key=value other="two words" 4111 1111 1111 1111',
)
MISSING = {
    "sources": "sources: {app: {type: file, include: [/var/log/app/*.log]}}\n",
    "sinks": "sinks: {out: {type: stdout}}\n",
}


@pytest.mark.parametrize(("page", "block"), BLOCKS)
def test_a_config_in_the_documentation_loads(
    page: Path, block: re.Match[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in re.findall(r"\$\{([A-Z_]+)\}", block["text"]):
        monkeypatch.setenv(variable, "7")
    for match in BLOCK.finditer(page.read_text("utf-8")):
        if match["file"]:
            (tmp_path / match["file"]).write_text(match["text"])
    for name in re.findall(r"\$\{file:([^/}]+)\}", block["text"]):
        (tmp_path / name).write_text("a secret of some length\n")
    monkeypatch.chdir(tmp_path)
    for name in re.findall(r"file: (\w+\.(?:csv|json))\b", block["text"]):  # the tables of lookup
        (tmp_path / name).write_text("key,team\n" if name.endswith("csv") else '{"key": {"name": "x"}}')
    (tmp_path / "agent.yaml").write_text(block["text"])
    files = [tmp_path / "agent.yaml"]
    if block["kind"] == "yaml part":
        lacking = [text for key, text in MISSING.items() if not re.search(rf"^{key}:", block["text"], re.MULTILINE)]
        (tmp_path / "rest.yaml").write_text("".join(lacking))
        files.append(tmp_path / "rest.yaml")
    config = load(files)
    for source in config.sources:
        tracer = Tracer(config, source)
        for line in LINES:
            tracer.trace(line)
        tracer.close()


def test_the_guide_shows_problems_as_the_program_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    guide = (ROOT / "docs/guide/configuration.md").read_text("utf-8")
    shown = re.findall(r"^agent\.yaml:.*", guide, re.MULTILINE)
    (tmp_path / "agent.yaml").write_text(
        "# agent.yaml\ndata_dir: /var/lib/shipper\nsources:\n  app:\n    type: file\n    inclde: [/var/log/app/*.log]\n"
        "    include: [x]\nsinks: {out: {type: stdout}}\nspool: {max_bytes: 1G}\n"
    )
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError) as caught:
        load(["agent.yaml"])
    assert caught.value.problems == shown


def test_there_are_examples_to_test() -> None:
    assert len(BLOCKS) > 5
