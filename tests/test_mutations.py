"""The mutations of tests/mutations.py still fit the code; running them takes minutes."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.mutations import MUTATIONS, ROOT, Mutation

every_mutation = pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda m: m.name)


def functions(file: Path) -> Iterator[str]:
    yield from re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.MULTILINE)


@every_mutation
def test_a_mutation_applies_once_and_leaves_valid_code(mutation: Mutation, tmp_path: Path):
    before = (ROOT / "vireid" / mutation.path).read_text(encoding="utf-8")
    file = tmp_path / mutation.path
    file.parent.mkdir(parents=True)
    file.write_text(before, encoding="utf-8")
    mutation.apply(tmp_path)
    after = file.read_text(encoding="utf-8")
    assert ast.dump(ast.parse(after)) != ast.dump(ast.parse(before))


@every_mutation
def test_the_tests_of_a_mutation_exist(mutation: Mutation):
    assert mutation.tests
    for node in mutation.tests:
        file, _, name = node.partition("::")
        assert any(found.startswith(name) for found in functions(ROOT / "tests" / file))


def test_names_are_unique():
    assert len({mutation.name for mutation in MUTATIONS}) == len(MUTATIONS) >= 30
