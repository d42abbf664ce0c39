"""Stages of long work, shown in a terminal."""

from __future__ import annotations

from types import TracebackType

from tqdm import tqdm

from vireid.utils.io import say


class Stages:
    """One line that names the stage at work, in a terminal; elsewhere nothing.

    >>> with Stages(2) as stages:
    ...     stages("reading")
    ...     stages("writing")

    Args:
        total: how many stages there are.
    """

    def __init__(self, total: int) -> None:
        shown = "{n_fmt} of {total_fmt}: {desc} [{elapsed}]"
        self._bar = tqdm(total=total, bar_format=shown, leave=False, disable=None)

    def __enter__(self) -> Stages:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.close()

    def __call__(self, stage: str) -> None:
        """The next stage begins."""
        self._bar.set_description_str(stage, refresh=False)
        self._bar.n = min(self._bar.n + 1, self._bar.total or 0)
        self._bar.refresh()

    def print(self, text: str) -> None:
        """Prints lines above the stage."""
        with tqdm.external_write_mode():
            say(text)
