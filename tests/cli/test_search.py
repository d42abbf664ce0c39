import json
import os
import shutil
import signal
from pathlib import Path

import pytest
from PIL import Image

from tests.helpers import write_image, write_text
from tests.search.double import ColourExtractor, content, write_images
from vireid.cli import search
from vireid.search import Gallery, ingest


@pytest.fixture(autouse=True)
def _colours(monkeypatch):
    """The tool's models are files whose text is the fingerprint."""
    monkeypatch.setattr("vireid.search.model.Extractor", ColourExtractor)


@pytest.fixture
def place(tmp_path) -> Path:
    """A model, 22 images (one of them broken), queries of three of them."""
    write_text(tmp_path / "net.onnx", "a" * 40)
    images = write_images(tmp_path / "images", 22)
    (images / "a/06.png").write_bytes(b"no image")
    (tmp_path / "asked").mkdir()
    for name in ("a/04.png", "b/07.png", "b/19.png"):
        shutil.copy(images / name, tmp_path / "asked")
    return tmp_path


def build(place: Path, *words: str) -> int:
    return search.main(
        ["build", "--model", f"{place}/net.onnx", "--images", f"{place}/images"]
        + ["--modality", "visible", "--gallery", f"{place}/g", *words]
    )


def query(place: Path, *words: str, image: str = "asked") -> int:
    command = ["query", "--gallery", f"{place}/g", "--image", f"{place}/{image}"]
    return search.main([*command, "--modality", "infrared", "--include-self", *words])


def test_build_query_add_remove(place, capsys):
    assert build(place) == 0
    told = capsys.readouterr()
    assert told.out.startswith(f"added 21 visible images to {place}/g, which holds 21; skipped 1")
    assert "skipped 1 that cannot be read:" in told.err and "a/06.png" in told.err
    file = place / "found.json"
    assert query(place, "--top", "3", "--json", str(file)) == 0
    out = capsys.readouterr().out
    assert out.count("rank  cosine  identity  camera  image") == 3
    assert f"1  1.0000         -       -  {place}/images/a/04.png" in out
    written = json.loads(file.read_text())
    assert (
        written["search"] == "exact"
        and written["recall"] is written["recall_top"] is None
        and written["top"] == 3
    )
    assert [Path(one["image"]).name for one in written["queries"]] == ["04.png", "07.png", "19.png"]
    firsts = [one["found"][0] for one in written["queries"]]
    assert [Path(one["image"]).name for one in firsts] == ["04.png", "07.png", "19.png"]
    assert firsts[0]["cosine"] == pytest.approx(1, abs=1e-6) and firsts[0]["modality"] == "visible"
    remove = ["remove", "--gallery", f"{place}/g", "--images"]
    assert search.main([*remove, f"{place}/images/b", "a/04.png"]) == 0
    assert f"removed 12 images from {place}/g, which holds 9" in capsys.readouterr().out
    again = ["--gallery", f"{place}/g", "--images", f"{place}/images", "--modality", "infrared"]
    assert search.main(["add", *again]) == 0  # by the model that built it
    told = capsys.readouterr()
    assert "added 12 infrared images" in told.out and "which holds 21; skipped 10" in told.out
    assert "skipped 9: in the gallery already" in told.err
    rows = content(Gallery(place / "g"), by="name")
    assert (rows["a/04.png"]["modality"], rows["a/02.png"]["modality"]) == ("infrared", "visible")


def test_a_csv_file_of_queries_is_marked_and_drawn(place, capsys):
    rows = "".join(f"{'ab'[k % 2]}/{k:02d}.png,{k % 3},{1 + k % 2}\n" for k in range(22) if k != 6)
    listed = write_text(place / "images/list.csv", "path,pid,camid\n" + rows)
    asked = write_text(place / "asked/list.csv", "path,pid\n04.png,1\n07.png,\n")
    command = ["build", "--model", f"{place}/net.onnx", "--images", str(listed)]
    assert search.main([*command, "--modality", "visible", "--gallery", f"{place}/g"]) == 0
    for suffix in ("svg", "png"):
        figure = place / f"found.{suffix}"
        words = ("--top", "4", "--figure", str(figure), "--json", f"{place}/found.json")
        assert query(place, *words, image="asked/list.csv") == 0
    assert f"wrote {figure}" in capsys.readouterr().out
    text = (place / "found.svg").read_text()
    for words in ("query", "infrared", "rank 1", "✓ rank 1", "1.000", "id 1", "same identity"):
        assert f"<!-- {words} -->" in text or words in text
    with Image.open(figure) as image:
        assert image.width == 1400
    first, second = json.loads((place / "found.json").read_text())["queries"]
    assert (first["pid"], second["pid"], first["camid"]) == (1, None, None)
    assert first["found"][0]["pid"] == 1 and first["found"][0]["camid"] == 1
    assert asked.exists()


def test_images_of_one_name_are_shown_with_their_folders(place):
    """Folders of identities often number their images alike."""
    (place / "images/b/07.png").rename(place / "images/b/04.png")
    assert build(place) == 0
    assert query(place, "--top", "22", "--figure", f"{place}/found.svg", image="asked/04.png") == 0
    text = (place / "found.svg").read_text()
    assert "a/04.png" in text and "b/04.png" in text


def test_what_was_found_is_told_where_it_cannot_be_drawn(place, capsys):
    assert build(place) == 0
    (place / "images/a/04.png").unlink()
    assert query(place, "--figure", f"{place}/found.png") == 3
    told = capsys.readouterr()
    assert f"1  1.0000         -       -  {place}/images/a/04.png" in told.out
    assert "a/04.png does not exist" in told.err


def test_a_stop_leaves_a_gallery_that_the_same_command_continues(place, monkeypatch, capsys):
    assert build(place) == 0
    whole = content(Gallery(place / "g"))
    monkeypatch.setattr(ingest, "BLOCK", 4)
    for number, name in ((signal.SIGINT, "a"), (signal.SIGTERM, "b")):
        shutil.rmtree(place / "g")
        once = [True]

        def press(number=number, once=once):
            if once:
                once.clear()
                os.kill(os.getpid(), number)

        with monkeypatch.context() as patch:
            patch.setattr(ColourExtractor, "__call__", pressed(press))
            assert build(place) == 128 + number, name
        told = capsys.readouterr().err
        assert f"stopped after 4 of 22 images, which are in {place}/g; the same command" in told
        assert len(content(Gallery(place / "g"))) == 3  # one cannot be read
        assert query(place) == 0
        assert build(place) == 0
        assert content(Gallery(place / "g")) == whole


def pressed(press):
    call = ColourExtractor.__call__

    def calls(self, images, modality, **options):
        press()
        return call(self, images, modality, **options)

    return calls


@pytest.mark.parametrize(
    ("words", "code", "phrase"),
    [
        (("--top", "0"), 2, "--top must be at least 1, got 0"),
        (("--batch", "0"), 2, "--batch must be at least 1, got 0"),
        (("--threads", "-2"), 2, "--threads must be at least 1"),
        (("--figure", "found.gif"), 2, "ends in .png, .jpg, .pdf, .svg"),
        (("--json", "no/such/found.json"), 2, "cannot write"),
        (("--json", "PLACE/asked/04.png"), 2, "it is being read"),
        (("--figure", "PLACE/images/a/04.png"), 2, "it is an image of the gallery"),
        (("--gallery", "none"), 4, "none: build one"),
        (("--image", "none"), 3, "must be a folder, an image or a .csv file; there is nothing"),
        (("--image", "PLACE/images/a/06.png"), 3, "06.png cannot be decoded"),
        (("--model", "none.onnx"), 4, "there is no model none.onnx"),
        (("--run", "configs"), 4, "configs is neither a run folder"),
        (("--model", "PLACE/other.onnx"), 4, "made by another model"),
        (("--approximate",), 2, "needs 1,000"),
    ],
)
def test_mistakes_of_a_query_are_one_line(place, capsys, words, code, phrase):
    write_text(place / "other.onnx", "b" * 40)
    assert build(place) == 0
    capsys.readouterr()
    assert query(place, *(word.replace("PLACE", str(place)) for word in words)) == code
    error = capsys.readouterr().err
    assert phrase in error and "Traceback" not in error
    assert len([line for line in error.splitlines() if line.startswith("error")]) == 1


def test_mistakes_of_building_are_one_line(place, capsys):
    assert build(place, "--images", f"{place}/none") == 3
    assert build(place, "--model", f"{place}/none.onnx") == 4
    assert build(place, "--gallery", f"{place}/images") == 2
    assert "images is not a gallery, but holds a: name" in capsys.readouterr().err
    with pytest.raises(SystemExit) as error:
        build(place, "--modality", "sonar")
    assert error.value.code == 2
    broken = place / "broken"
    broken.mkdir()
    (broken / "x.png").write_bytes(b"")
    assert build(place, "--images", str(broken)) == 3
    assert "none of the 1 images" in capsys.readouterr().err
    assert build(place) == 2
    assert "holds a gallery of 0 images already, built from" in capsys.readouterr().err
    add = ["add", "--gallery", f"{place}/g", "--images", f"{place}/images"]
    assert search.main([*add, "--modality", "visible"]) == 0
    assert search.main(["remove", "--gallery", f"{place}/g", "--images", "who.png"]) == 3
    assert (
        search.main(["add", "--gallery", f"{place}/no", "--images", "x", "--modality", "visible"])
        == 4
    )


def test_a_model_that_moved_must_be_named(place, capsys):
    assert build(place) == 0
    shutil.move(place / "net.onnx", place / "moved.onnx")
    assert query(place) == 4
    assert "is not there any more: name it by --model" in capsys.readouterr().err
    assert query(place, "--model", f"{place}/moved.onnx") == 0


def test_a_model_of_one_modality_says_so(place, monkeypatch, capsys):
    assert build(place) == 0
    init = ColourExtractor.__init__

    def visible_only(self, *args, **options):
        init(self, *args, **options)
        self.modalities = ("visible",)

    monkeypatch.setattr(ColourExtractor, "__init__", visible_only)
    assert query(place) == 2
    assert "--modality infrared: the model" in capsys.readouterr().err


def test_approximate_search_makes_its_index_and_says_what_it_finds(place, monkeypatch, capsys):
    monkeypatch.setattr("vireid.search.index.MEASURED", 20)
    for k in range(1000):
        color = (k * 7 % 256, k * 31 % 256, k // 4)
        write_image(place / f"images/many/{k:04d}.png", (4, 2), color)
    assert build(place) == 0
    file = place / "found.json"
    assert query(place, "--approximate", "--json", str(file), "--top", "3") == 0
    printed = capsys.readouterr()
    told = printed.err
    assert "making the index" in told and "index made: recall@10 " in told
    assert "approximate search of 1,021 images, recall@10 " in printed.out
    written = json.loads(file.read_text())
    assert written["search"] == "approximate" and written["recall"] >= 0.95
    assert (written["top"], written["recall_top"]) == (3, 10)
    assert written["queries"][0]["found"][0]["image"].endswith("a/04.png")
    assert query(place, "--approximate") == 0
    assert "making the index" not in capsys.readouterr().err
    index = ["index", "--gallery", f"{place}/g", "--recall", "0.99"]
    assert search.main([*index, "--image", f"{place}/images/many"]) == 2
    assert search.main([*index, "--image", f"{place}/images/many", "--modality", "visible"]) == 0
    assert "measured with 20 of your images as queries on 1,021 images" in capsys.readouterr().err
    assert search.main([*index, "--recall", "7"]) == 2


def test_files_are_written_before_anything_is_printed(place, monkeypatch):
    """``search query … | head`` ends the tool at a line without a reader."""
    assert build(place) == 0

    def gone(*_, **__):
        raise BrokenPipeError(32, "Broken pipe")

    monkeypatch.setattr("builtins.print", gone)
    files = [place / "found.json", place / "found.png"]
    with pytest.raises(BrokenPipeError):
        query(place, "--json", str(files[0]), "--figure", str(files[1]))
    assert all(file.stat().st_size for file in files)
