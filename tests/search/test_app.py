"""The search in the browser, without the browser: what its pages compute."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import socket
import sys
import zlib
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio")

from tests.search.double import ColourExtractor, fill, write_images
from vireid.cli import serve as serve_tool
from vireid.errors import DataError, UsageError
from vireid.search.app import changes
from vireid.search.app.form import Form, in_page, time_of
from vireid.search.app.guard import Guard
from vireid.search.app.maps import NO_MAPS, Maps
from vireid.search.app.page import build_page
from vireid.search.app.server import own_folder
from vireid.search.app.service import Service, results_html
from vireid.search.app.uploads import read_uploads, safe_name
from vireid.search.gallery import Gallery


def bomb(path: Path) -> Path:
    """A PNG of a few hundred bytes that says it has 10^8 pixels."""
    header = b"IHDR" + (10_000).to_bytes(4, "big") * 2 + bytes([8, 2, 0, 0, 0])
    data = b"IDAT" + zlib.compress(b"\0" * 100)
    chunks = [(len(one) - 4).to_bytes(4, "big") + one + zlib.crc32(one).to_bytes(4, "big")
              for one in (header, data, b"IEND")]  # fmt: skip
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(chunks))
    return path


@pytest.fixture
def service(tmp_path):
    """A gallery of six images by a stand-in for a model."""
    images = write_images(tmp_path / "photos", 6)
    rows = [f"{k:02d}.png,{k // 2},c{k % 3},2026-11-{10 + k} 08:00" for k in range(6)]
    rows = [f"{'ab'[k % 2]}/{row}" for k, row in enumerate(rows)]
    (images / "list.csv").write_text("\n".join(["path,pid,camid,time", *rows]))
    fill(tmp_path / "people", images / "list.csv")
    extractor = ColourExtractor()
    extractor.size = (6, 4)
    return Service(Gallery(tmp_path / "people"), extractor, tmp_path / "model.onnx", "cpu")


def uploads_of(paths, most=8):
    kept, problems = read_uploads(list(map(str, paths)), Path(paths[0]).parent, [], most=most)
    assert problems == []
    return kept


def query_images(tmp_path, count=2, *, seed=5):
    folder = write_images(tmp_path / "sent", count * 2, seed=seed)
    return sorted((folder / "a").iterdir())


# What the page computes


def test_a_form_is_a_condition_and_options(service):
    form = Form(top=3, least=0.25, cameras=("c0", "it's"), since="2026-11-11", until="2026-11-14",
                where="pid = 1", by="identity")  # fmt: skip
    options = form.options(service.gallery)
    assert (options.top, options.min_score, options.by) == (3, 0.25, "identity")
    assert options.where == (
        "(camid IN ('c0', 'it''s')) AND (time >= '2026-11-11 00:00:00') AND "
        "(time <= '2026-11-14 23:59:59.999999') AND (pid = 1)"
    )
    found = service.gallery.rows(["pid", "camid"], options.where).to_pylist()
    assert found == [{"pid": "1", "camid": "c0"}]
    assert (
        Form().options(service.gallery).where == ""
        and Form().options(service.gallery).min_score is None
    )


def test_fields_that_are_empty_are_no_conditions(service):
    empty = dict.fromkeys(
        ("modality", "since", "until", "where", "by", "query_camera", "method", "cameras")
    )
    form = Form.of({**empty, "top": 7.0, "least": -1, "by": "image", "other_camera": None})
    assert form == Form(top=7)
    with pytest.raises(UsageError, match="must be numbers"):
        Form.of({**empty, "top": None, "least": 0.5})


@pytest.mark.parametrize(
    "text", ["yesterday", "2026-13-01", "2026-11-29 25:00", "12", "29.11.2026"]
)
def test_times_that_are_none_are_refused(text):
    with pytest.raises(UsageError, match=f"from: must be a day .* got '{text}'"):
        time_of(text, "from")


@pytest.mark.parametrize("where", ["pid =", "nothing = 1", "1; drop table images", "x' --"])
def test_a_bad_filter_is_one_line_in_words_of_the_page(service, where):
    with pytest.raises(UsageError) as found:
        Form(cameras=("c0",), where=where).options(service.gallery)
    text = in_page(found.value)
    assert text.startswith("filter ") and "--where" not in text
    assert "camid IN" not in text and "\n" not in text


def test_a_search_is_that_of_the_library(service, tmp_path):
    paths = query_images(tmp_path)
    found = service.search(uploads_of(paths), "infrared", Form(top=4))
    vectors = service.extractor(paths, "infrared").astype(np.float64)
    mean = vectors.mean(axis=0)
    table = service.gallery.rows(["name", "vector"]).to_pylist()
    scores = {
        one["name"]: float(np.dot(one["vector"], mean / np.linalg.norm(mean))) for one in table
    }
    best = sorted(scores, key=lambda name: -scores[name])[:4]
    assert [one.name for one in found.matches] == best
    assert [one.score for one in found.matches] == pytest.approx([scores[one] for one in best])
    assert found.content["queries"][0]["fused"] == [path.name for path in paths]
    assert str(tmp_path / "sent") not in json.dumps(found.content)
    html = results_html(found)
    link = re.search(r'href="data:application/json;base64,([^"]+)"', html)
    assert json.loads(base64.b64decode(link[1])) == found.content
    assert html.count("<li>") == html.count('src="data:image/webp;base64,') == 4


def test_features_of_a_query_are_computed_once(service, tmp_path):
    sent = uploads_of(query_images(tmp_path))
    service.search(sent, "infrared", Form())
    service.search(sent, "infrared", Form(top=2))
    assert len(service.extractor.seen) == 2
    service.search(sent[:1], "visible", Form())
    assert len(service.extractor.seen) == 3


def test_names_of_files_are_escaped(service, tmp_path):
    name = "<img src=x onerror=alert(1)>.png"
    (tmp_path / "more").mkdir()
    Image.new("RGB", (4, 6), "red").save(tmp_path / "more" / name)
    fill(tmp_path / "people", tmp_path / "more")
    html = results_html(service.search(uploads_of(query_images(tmp_path)), "visible", Form()))
    assert "<img src=x" not in html and "&lt;img src=x" in html


def test_an_image_that_is_gone_is_said(service, tmp_path):
    sent = uploads_of(query_images(tmp_path))
    first = service.search(sent, "visible", Form(top=1)).matches[0]
    first.path.unlink()
    html = results_html(service.search(sent, "visible", Form(top=1)))
    assert "image not there any more" in html and "<img" not in html


def test_nothing_found_is_said(service, tmp_path):
    found = service.search(uploads_of(query_images(tmp_path)), "visible", Form(where="pid = 99"))
    assert found.matches == [] and "No image fits" in results_html(found)


def test_uploads_are_images_of_the_upload_folder(tmp_path):
    good = query_images(tmp_path, 3)
    folder = good[0].parent
    (folder / "text.png").write_text("text")
    bomb(folder / "bomb.png")
    Image.new("RGB", (4, 6)).save(tmp_path / "outside.png")
    Image.new("RGB", (4, 6), "blue").save(folder / "fourth.png")
    paths = [*good, folder / "text.png", folder / "bomb.png", tmp_path / "outside.png", good[0]]
    kept, problems = read_uploads(list(map(str, paths)), folder, [], most=3)
    assert [one.path for one in kept] == good
    assert [one.size for one in kept] == [(4, 6)] * 3
    assert problems[0].startswith("image text.png cannot be decoded")
    assert "10000 × 10000 pixels" in problems[1]
    assert problems[2] == "outside.png was not uploaded"
    assert str(tmp_path) not in "".join(problems)
    kept, problems = read_uploads([str(folder / "fourth.png")], folder, kept, most=3)
    assert len(kept) == 3 and problems == [
        "at most 3 images at once; fourth.png and later ones are left"
    ]


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("a b.png", "a_b.png"),
        ("../../x.png", "x.png"),
        ("..", "image"),
        (".hidden.jpg", "hidden.jpg"),
        ("C:\\x\\y.png", "y.png"),
        ("é日.png", "é日.png"),
        ("x" * 300 + ".png", "x" * 80 + ".png"),
        ("a\0\n'.png", "a___.png"),
    ],
)
def test_names_of_files_are_safe(name, safe):
    assert safe_name(name) == safe


# The gallery


def test_images_are_added_removed_and_restored(service, tmp_path):
    sent = uploads_of(query_images(tmp_path, 3))
    lines = changes.add(service, sent, "infrared", "7", " c9 ", "2026-11-29 14:05")
    assert lines == ["Added 3 of 3 images."]
    rows = service.gallery.rows(["path", "name", "modality", "pid", "camid", "time"], "pid = 7")
    first = rows.to_pylist()[0]
    assert (first["modality"], first["camid"]) == ("infrared", "c9")
    assert first["time"] == datetime(2026, 11, 29, 14, 5)
    stored = service.gallery.path_of(first["path"])
    assert stored.is_relative_to(tmp_path / "people" / "uploads")
    assert stored.read_bytes() in [one.path.read_bytes() for one in sent]
    assert changes.add(service, sent[:1], "infrared", "", "", "")[0] == "Added 0 of 1 images."
    assert stored.is_file() and len(service.gallery) == 9

    other = next(one for one in sent if one.id not in first["name"])
    found = changes.look_up(service, f"{first['name']}\n{other.id}", "")
    assert len(found) == 2
    assert changes.preview(service, found).count("data:image/webp") == 2
    assert "Removed 2 images; the gallery holds 7." in changes.remove(
        service, [i for i, _ in found]
    )
    before = next(one.number for one in changes.versions(service) if one.rows == 9)
    assert (
        changes.restore(service, before)
        == f"Restored version {before}: the gallery holds 9 images."
    )
    html = changes.overview(service)
    assert "9, 4 identities" in html and '<th scope="row">c9</th><td>3</td><td>0</td>' in html


def test_copies_of_what_is_in_the_gallery_are_deleted(service, tmp_path):
    lines = changes.add(service, uploads_of([tmp_path / "photos/a/00.png"]), "visible", "", "", "")
    assert lines[0] == "Added 0 of 1 images." and "00.png: equal to an image" in lines[1]
    assert list((tmp_path / "people" / "uploads").iterdir()) == []


@pytest.mark.parametrize(
    ("names", "where", "kind", "text"),
    [
        ("", "", UsageError, "names of images, or a filter"),
        ("00.png", "pid = 1", UsageError, "not both"),
        ("../../etc/passwd", "", DataError, "holds no image '../../etc/passwd'"),
        ("00.png\nnothing.png", "", DataError, "holds no image 'nothing.png'"),
        ("", "pid = 99", DataError, "no image fits"),
        ("", "1=1; DELETE", UsageError, "one condition"),
        ("", "pid <> 'x'", UsageError, "6 images, more than the 5"),
    ],
)
def test_only_images_of_the_gallery_are_looked_up(service, monkeypatch, names, where, kind, text):
    monkeypatch.setattr(changes, "SHOWN", 5)
    with pytest.raises(kind, match=re.escape(text)):
        changes.look_up(service, names, where)


def test_uploads_are_bounded(service, tmp_path, monkeypatch):
    monkeypatch.setattr("vireid.search.app.uploads.MOST_FILES", 2)
    with pytest.raises(UsageError, match="more than 2 images"):
        changes.add(service, uploads_of(query_images(tmp_path, 3)), "visible", "", "", "")
    assert len(service.gallery) == 6 and not (tmp_path / "people" / "uploads").exists()


def test_an_exported_model_has_no_maps_and_says_so(service, tmp_path):
    found = service.search(uploads_of(query_images(tmp_path)), "visible", Form(top=1))
    assert Maps(service).kinds == []
    html = Maps(service).compare(found, 1, "")
    assert NO_MAPS in html and html.count("<img") == 3
    with pytest.raises(DataError, match="no rank 2"):
        Maps(service).compare(found, 2)


# The server


def test_addresses_of_this_machine():
    known = ("127.0.0.1", "127.8.0.1", "localhost", "::1")
    assert all(map(serve_tool.is_local, known))
    assert not any(map(serve_tool.is_local, ("0.0.0.0", "10.0.0.1", "::", "example.org", "")))


def test_mistakes_are_one_line(tmp_path, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        words = ["--gallery", str(tmp_path), "--port", str(port)]
        assert serve_tool.main(words) == 2
        assert capsys.readouterr().err.splitlines() == [
            f"error: cannot listen on --host 127.0.0.1 --port {port}: Address already in use; name "
            "another"
        ]
    assert serve_tool.main(["--gallery", str(tmp_path), "--port", "99999"]) == 2
    assert serve_tool.main(["--gallery", str(tmp_path / "none"), "--port", "0"]) == 4
    error = capsys.readouterr().err.splitlines()
    assert len(error) == 2 and "there is no gallery" in error[1]


def test_a_missing_gradio_is_one_line(tmp_path, capsys, monkeypatch):
    for name in [one for one in sys.modules if one.startswith("vireid.search.app")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gradio", None)
    assert serve_tool.main(["--gallery", str(tmp_path), "--port", "0"]) == 2
    assert capsys.readouterr().err == "error: serve needs gradio: pip install 'vireid[app]'\n"


def test_a_server_for_others_warns_before_anything_else(tmp_path, capsys):
    words = ["--gallery", str(tmp_path / "none"), "--host", "0.0.0.0", "--port", "0"]
    assert serve_tool.main(words) == serve_tool.main([*words, "--allow-changes"]) == 4
    first, error, second, _ = capsys.readouterr().err.splitlines()
    about = "warning: everybody who reaches 0.0.0.0 can search the gallery and see its images"
    assert first.startswith(f"{about}: there is no password")
    assert second.startswith(f"{about}, and add and remove images: there is no password")
    assert error.startswith("error: there is no gallery")


@pytest.mark.parametrize("allowed", [False, True])
def test_a_server_without_changes_has_no_way_to_make_them(service, allowed):
    with own_folder() as folder:
        page = build_page(service, folder, changes=allowed)
    functions = {getattr(one.fn, "__qualname__", "") for one in page.fns.values()}
    changing = {"_add.<locals>.add", "_remove.<locals>.remove", "_add.<locals>.receive"}
    assert functions & changing == (changing if allowed else set())
    assert "_Actions.look" in functions


def test_the_guard_passes_what_the_page_asks_for():
    guard = Guard(None, Path(), local=False)
    scope = {"method": "GET", "headers": [(b"host", b"cams.example:80")]}
    for path in ("/", "/config", "/assets/a.js"):
        assert guard._refusal(scope | {"path": path}) == 0
    assert guard._refusal(scope | {"path": "/gradio_api/file=/etc/passwd"}) == 404


def test_an_upload_that_is_done_already_is_no_error(tmp_path):
    async def app(scope, receive, send):  # Gradio's answer about an upload that it does not know
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body", "body": b"not found"})

    async def send(event):
        events.append(event)

    for path, expected in (("upload_progress", [200, b'data: {"msg": "done"}\n\n']),
                           ("app_id", [404, b"not found"])):  # fmt: skip
        events: list[dict] = []
        scope = {"type": "http", "method": "GET", "path": f"/gradio_api/{path}", "headers": []}
        asyncio.run(Guard(app, tmp_path, local=False)(scope, None, send))
        assert [events[0]["status"], events[1]["body"]] == expected
