"""Every finding has a test: findings.py against the tables of rules and the tests themselves. No fleet is needed."""

import ast
import glob
import os
import re

from conftest import TOP
from findings import NOT_REAL, REAL


def documented():
    """All ids; a unit test holds this page against the tables."""
    with open(f"{TOP}/doc/findings.md") as page:
        return set(re.findall(r"(?m)^\| `([a-z-]+)` \|", page.read()))


def functions():
    """{"FILE::FUNCTION": the texts in it and in its parameters} of all tests."""
    found = {}
    for file in glob.glob(f"{TOP}/tests/lab/test_*.py"):
        with open(file) as opened:
            tree = ast.parse(opened.read())
        for function in tree.body:
            if isinstance(function, ast.FunctionDef) and function.name.startswith("test_"):
                texts = {node.value for node in ast.walk(function) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
                found[f"{os.path.basename(file)}::{function.name}"] = texts
    return found


def sources(*patterns):
    return "".join(open(file).read() for pattern in patterns for file in glob.glob(f"{TOP}/{pattern}"))


def test_every_finding_has_a_test_or_a_reason():
    known = documented()
    assert len(known) > 100
    claimed = set(REAL) | set(NOT_REAL)
    assert known - claimed == set(), "new findings without a test: add them to tests/lab/findings.py"
    assert claimed - known == set(), "no such findings (any more)"
    assert set(REAL) & set(NOT_REAL) == set()


def test_the_tests_that_are_named_look_for_the_finding():
    there = functions()
    missing = [f"{id}: {name}" for id, name in REAL.items() if name not in there]
    assert missing == []
    silent = [f"{id}: {name}" for id, name in REAL.items() if id not in there[name]]
    assert silent == []


def test_what_cant_be_real_has_a_unit_test():
    for id, why in NOT_REAL.items():
        for file in re.findall(r"\w+\.c\b", why):
            assert f'"{id}"' in sources(f"tests/unit/{file}"), (id, file)


def test_what_agents_and_rules_tell_is_documented():
    told = set(re.findall(r'findings_add\(\s*[^,]+,\s*[^,]+,\s*"([a-z-]+)"', sources("agent/*.c")))
    told |= set(re.findall(r'finding_add\([^,]+, "([a-z-]+)"', sources("coordinator/*.c", "coordinator/core/*.c")))
    assert len(told) > 20
    assert told - documented() == set()
