"""What pyproject.toml cannot say: a built package holds ``configs/``, which stand beside it."""

import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


class BuildWithConfigs(build_py):
    """Copies ``configs/`` into the package; an editable install reads the folder itself."""

    def run(self) -> None:
        super().run()
        if not self.editable_mode:
            for source, target in self._configs():
                Path(target).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(source, target)

    def get_outputs(self, include_bytecode: bool = True) -> list[str]:
        return super().get_outputs(include_bytecode) + [target for _, target in self._configs()]

    def _configs(self) -> list[tuple[str, str]]:
        """(file here, file in what is built)."""
        files = sorted(Path("configs").rglob("*.yaml"))
        return [(str(file), str(Path(self.build_lib, "vireid", file))) for file in files]


setup(cmdclass={"build_py": BuildWithConfigs})
