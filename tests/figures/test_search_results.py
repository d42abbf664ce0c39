from pathlib import Path

from tests.figures.fit import assert_texts_fit, saved_figures, text_boxes
from tests.helpers import write_image
from vireid.figures.search_results import SearchQuery, SearchResult, draw_search_results
from vireid.structures import Modality

NAMES = ["0001.jpg", "gate-east_2026-03-14T08-15-00_person_00017.jpg", "x" * 60 + ".jpg"]


def result(root: Path, name: str, score: float, same: bool | None) -> SearchResult:
    identity = None if same is None else "anna"
    return SearchResult(write_image(root / name, (24, 12)), score, identity, same)


def test_whole_names_ranks_and_scores_are_drawn(tmp_path):
    names = [*NAMES, "a/1.jpg", "b/1.jpg"]
    found = [result(tmp_path, n, 0.9 - k / 8, [True, None, False][k % 3])
             for k, n in enumerate(names * 3)]  # fmt: skip
    asked = write_image(tmp_path / "asked.jpg", (12, 24))
    queries = [SearchQuery(asked, "query/" * 40 + "asked.jpg", found[:n]) for n in (5, 1, 15)]
    with saved_figures() as figures:
        draw_search_results(queries, tmp_path / "a.png", modality=Modality.INFRARED)
    assert_texts_fit(figures[0])
    texts = [text.get_text() for text in text_boxes(figures[0])]
    below = "".join(texts)
    assert all(name in below for name in names)
    assert {"0001.jpg", "a/1.jpg"} <= set(texts)  # no more folders than needed
    assert below.count("rank 1") == 4 and "rank 10" in below and "rank 11" not in below
    assert {"0.900", "0.775", "✓ rank 1", "✗ rank 3", "rank 2", "id anna"} <= set(texts)
