"""What a contributor's host and hooks call exists, and asks for what a report needs."""

import importlib.metadata
import os
import re
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
FORMS = sorted((ROOT / ".github/ISSUE_TEMPLATE").glob("*.yml"))


def read(path: str | Path) -> dict:
    return yaml.safe_load((ROOT / path).read_text(encoding="utf-8"))


def test_the_workflow_calls_the_checks_on_the_oldest_python():
    (job,) = read(".github/workflows/ci.yml")["jobs"].values()
    assert ".ci/run" in [step.get("run") for step in job["steps"]]
    assert os.access(ROOT / ".ci/run", os.X_OK) and job["timeout-minutes"] >= 55
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert f">={min(job['strategy']['matrix']['python'])}" == project["requires-python"]


def test_the_hooks_are_programs_of_the_dev_extra():
    (repo,) = read(".pre-commit-config.yaml")["repos"]
    assert repo["repo"] == "local"  # nothing is downloaded
    programs = {hook["entry"].split()[0] for hook in repo["hooks"] if hook["language"] == "system"}
    assert {"ruff", "mypy", "check-added-large-files"} <= programs and len(repo["hooks"]) >= 6
    scripts = importlib.metadata.entry_points(group="console_scripts")
    assert programs - {"ruff"} <= {script.name for script in scripts}
    assert any(file.name == "ruff" for file in importlib.metadata.files("ruff") or ())


@pytest.mark.parametrize("path", [p for p in FORMS if p.stem != "config"], ids=lambda p: p.stem)
def test_a_form_asks_for_what_a_report_needs(path):
    form = read(path)
    first, *fields = form["body"]
    assert form["name"] and form["description"]
    assert first["type"] == "markdown" and "no images of people" in first["attributes"]["value"]
    assert all(f["type"] in ("input", "textarea") and f["attributes"]["label"] for f in fields)
    asked = {field["id"] for field in fields}
    assert len(asked) == len(fields) and {"command", "config", "environment"} <= asked
    assert re.search(r"environment\.json", str(fields))


def test_there_are_forms():
    assert [path.stem for path in FORMS] == ["bug", "config", "data", "question"]
    assert read(FORMS[1]) == {"blank_issues_enabled": False}
