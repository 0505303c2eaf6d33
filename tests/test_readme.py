"""README: its links work on a package index too, its commands are those that CI runs."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text("utf-8")
HOME = re.compile(
    r"https://(?:github\.com/fcn-numpy/fcn_numpy/(?:blob|tree)|"
    r"raw\.githubusercontent\.com/fcn-numpy/fcn_numpy)/main/(.+)"
)
DEFINITIONS = dict(re.findall(r"^\[([^\]]+)\]: (\S+)$", README, re.M))
TEXT = re.sub(r"```.*?```|`[^`\n]*`", "", README, flags=re.S)


def test_every_link_is_absolute_and_leads_to_a_file():
    assert len(DEFINITIONS) > 8
    for name, url in DEFINITIONS.items():
        match = HOME.fullmatch(url)
        assert match and (ROOT / match[1]).exists(), f"[{name}]: {url}"
    assert re.findall(r"\]\((?!https://)[^)]*\)", TEXT) == []


def test_every_definition_is_used():
    for name in DEFINITIONS:
        assert README.count(f"[{name}]") > 1, name


def test_the_first_link_is_the_one_file():
    first = re.search(r"\[[^\]]+\]\[([^\]]+)\]|\[([^\]]+)\]", TEXT)
    assert DEFINITIONS[first[1] or first[2]].endswith("tutorials/fcn8s.py")


@pytest.mark.parametrize("posix", re.findall(r"^python3 -m venv .*$", README, re.M))
def test_the_commands_for_windows_do_the_same(posix):
    windows = (
        posix.replace("python3 -m venv", "py -m venv").replace(" && ", "; ")
        .replace(".venv/bin/", ".venv\\Scripts\\")
    )
    assert windows in README.splitlines()
