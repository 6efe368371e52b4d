"""include and exclude: which files are meant and which directories are watched."""

import glob
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.files import as_nobody

from shipper.sources.file.globs import Globs


def make(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text("x\n")


def found(root: Path, include: list[str], exclude: list[str] | None = None) -> list[str]:
    globs = Globs([f"{root}/{pattern}" for pattern in include], exclude or [])
    return sorted(os.path.relpath(path, root) for path in globs.scan().files)


def test_wildcards_match_as_in_a_shell(tmp_path: Path) -> None:
    """`*`, `?` and `[...]` stay within one part of the path and leave hidden names alone."""
    make(tmp_path, "a.log", "b.log", "ab.log", ".hidden.log", "sub/c.log", "a.txt")
    assert found(tmp_path, ["*.log"]) == ["a.log", "ab.log", "b.log"]
    assert found(tmp_path, ["?.log"]) == ["a.log", "b.log"]
    assert found(tmp_path, ["[b-z].log"]) == ["b.log"]
    assert found(tmp_path, [".*.log"]) == [".hidden.log"]
    assert found(tmp_path, ["*/c.log"]) == ["sub/c.log"]
    assert found(tmp_path, ["a.log"]) == ["a.log"]


def test_two_stars_mean_any_number_of_directories(tmp_path: Path) -> None:
    """Also none, and at the end all files below."""
    make(tmp_path, "a.log", "x/b.log", "x/y/c.log", "x/.git/d.log", "x/y/c.txt")
    assert found(tmp_path, ["**/*.log"]) == ["a.log", "x/b.log", "x/y/c.log"]
    assert found(tmp_path, ["x/**"]) == ["x/b.log", "x/y/c.log", "x/y/c.txt"]
    assert found(tmp_path, ["**/y/*.txt"]) == ["x/y/c.txt"]


def test_links_that_lead_in_circles_end(tmp_path: Path) -> None:
    """`**` does not enter symbolic links to directories."""
    make(tmp_path, "x/a.log")
    (tmp_path / "x" / "loop").symlink_to(tmp_path)
    assert found(tmp_path, ["**/*.log"]) == ["x/a.log"]
    assert found(tmp_path, ["x/loop/x/*.log"]) == ["x/loop/x/a.log"]


def test_exclude_takes_files_out_by_name_or_by_path(tmp_path: Path) -> None:
    """A pattern without a slash is a name in any directory."""
    make(tmp_path, "a.log", "b.log", "old/a.log", "old/deep/c.log")
    assert found(tmp_path, ["**/*.log"], ["b.*"]) == ["a.log", "old/a.log", "old/deep/c.log"]
    assert found(tmp_path, ["**/*.log"], [f"{tmp_path}/old/**"]) == ["a.log", "b.log"]
    assert found(tmp_path, ["**/*.log"], [f"{tmp_path}/*/a.log"]) == ["a.log", "b.log", "old/deep/c.log"]


def test_exclude_begins_where_include_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """At the working directory, and with ``..`` taken away. ``**`` at the beginning means any directory."""
    make(tmp_path, "logs/a.log", "logs/private/b.log", "other/b.log")
    monkeypatch.chdir(tmp_path)

    def left(*exclude: str) -> list[str]:
        globs = Globs(["logs/**/*.log", f"{tmp_path}/other/*.log"], exclude)
        return sorted(os.path.relpath(path, tmp_path) for path in globs.scan().files)

    assert left() == ["logs/a.log", "logs/private/b.log", "other/b.log"]
    assert left("logs/private/b.log") == ["logs/a.log", "other/b.log"]
    assert left("./logs/private/*") == ["logs/a.log", "other/b.log"]
    assert left("logs/**") == ["other/b.log"]
    assert left("other/../logs/a.log") == ["logs/private/b.log", "other/b.log"]
    assert left(f"{tmp_path}/logs/../other/b.log") == ["logs/a.log", "logs/private/b.log"]
    monkeypatch.chdir(tmp_path / "logs")
    globs = Globs([f"{tmp_path}/**/*.log"], ["**/b.log"])
    assert [os.path.relpath(path, tmp_path) for path in globs.scan().files] == ["logs/a.log"]


def test_an_exclude_that_can_mean_none_of_the_included_files_is_refused() -> None:
    """Nobody would notice that files which are to stay here are shipped."""
    with pytest.raises(
        ValueError, match=r"exclude: private/\*\.log starts at the working directory.*\*\*/private/\*\.log"
    ):
        Globs(["/var/log/**/*.log"], ["private/*.log"])
    Globs(["/var/log/**/*.log", "here/*.log"], ["private/*.log"])
    Globs(["/var/log/**/*.log"], ["~/private/*.log", "/private/*.log", "**/private/*.log", "*.gz"])


def test_the_nearest_directory_that_exists_is_watched(tmp_path: Path) -> None:
    """And those where something may appear that the pattern means."""
    globs = Globs([f"{tmp_path}/app/logs/*.log"])
    assert set(globs.scan().directories) == {str(tmp_path)}
    (tmp_path / "app").mkdir()
    assert set(globs.scan().directories) == {str(tmp_path / "app")}
    (tmp_path / "app" / "logs").mkdir()
    assert set(globs.scan().directories) == {str(tmp_path / "app" / "logs")}
    assert set(Globs([f"{tmp_path}/*/logs/*.log"]).scan().directories) == {
        str(tmp_path),
        str(tmp_path / "app" / "logs"),
    }


def test_a_link_names_where_it_leads(tmp_path: Path) -> None:
    """The directory of the target matters too: there the file is rotated."""
    make(tmp_path, "pods/0.log")
    (tmp_path / "containers").mkdir()
    (tmp_path / "containers" / "app.log").symlink_to(tmp_path / "pods" / "0.log")
    (tmp_path / "containers" / "broken.log").symlink_to(tmp_path / "later" / "1.log")
    scan = Globs([f"{tmp_path}/containers/*.log"]).scan()
    (sighting,) = scan.files.values()
    assert sighting.where == str(tmp_path / "pods" / "0.log")
    assert set(scan.strange) == {str(tmp_path / "pods"), str(tmp_path / "later")}


@pytest.mark.parametrize("pattern", ["", "/", "//"])
def test_a_pattern_that_names_no_file_is_refused(pattern: str) -> None:
    """With an example of one that does."""
    with pytest.raises(ValueError, match="must name files"):
        Globs([pattern])


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("/x/*.{log,txt}", r"/x/\*\.\{log,txt\}: there are no alternatives in braces: write a pattern for each"),
        ("file:///var/log/*.log", r"is a URL: write the path alone, /var/log/\*\.log"),
        ("https://example.com/x", "is a URL: only paths"),
    ],
)
def test_what_other_programs_take_for_patterns_is_refused(pattern: str, message: str) -> None:
    """It would match nothing, and nobody would know why."""
    with pytest.raises(ValueError, match=message):
        Globs([pattern])
    with pytest.raises(ValueError, match=message):
        Globs(["/x"], [pattern])


def test_braces_in_a_name_are_no_alternatives(tmp_path: Path) -> None:
    """A name with a comma in them is written with ``[{]``."""
    make(tmp_path, "a{1}.log", "{a,b}.log")
    assert found(tmp_path, ["a{1}.log", "[{]a,b}.log"]) == ["a{1}.log", "{a,b}.log"]


def test_a_directory_that_may_not_be_read_is_a_problem_not_an_error(open_path: Path) -> None:
    """The scan goes on with the others."""
    make(open_path, "a/x.log", "b/y.log")
    (open_path / "a").chmod(0o000)
    with as_nobody(open_path):
        scan = Globs([f"{open_path}/*/*.log"]).scan()
    assert [os.path.basename(path) for path in scan.files] == ["y.log"]
    assert isinstance(scan.problems[str(open_path / "a")], PermissionError)


PARTS = st.sampled_from(["a", "b", "*", "?", "a*", "**", "[ab]", ".h", ".*"])


@given(st.lists(PARTS, min_size=1, max_size=4).filter(lambda parts: parts[-1] != "**"))
def test_patterns_mean_what_they_mean_to_glob(tree: Path, parts: list[str]) -> None:
    """The standard library's glob finds the same files, and `match` agrees with `scan`."""
    pattern = os.path.join(tree, *parts)
    globs = Globs([pattern])
    files = set(globs.scan().files)
    assert files == {path for path in glob.glob(pattern, recursive=True) if "**" not in parts or os.path.isfile(path)}
    everything = {str(path) for path in tree.rglob("*") if "**" not in parts or path.is_file()}
    assert {path for path in everything if globs.match(path)} == files
    assert all(globs.matters(os.path.basename(path)) for path in files)


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Directories three deep and files in them, hidden ones too."""
    root = tmp_path_factory.mktemp("tree")
    make(root, "a/a/a", "a/b/ab", "b/a/b", "b/.h/a", ".h/a", "ab", "a/.ha")
    return root


def test_patterns_that_mean_no_file_are_named(tmp_path: Path) -> None:
    """Each for itself: what another pattern means counts too."""
    globs = Globs([f"{tmp_path}/*.log", f"{tmp_path}/a.*", f"{tmp_path}/**/*.txt"])
    assert globs.without([f"{tmp_path}/a.log"]) == [f"{tmp_path}/**/*.txt"]
    assert len(globs.without([])) == 3
