"""The page in a headless browser, and what the server answers to others."""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading

import pytest
from PIL import Image

pytest.importorskip("gradio")

from tests.browser import needs_browser, outside, window
from tests.search.test_app import bomb, uploads_of
from vireid.cli import serve as serve_tool
from vireid.deploy.extractor import Extractor
from vireid.search.app.form import Form
from vireid.search.app.guard import HEADERS, MOST_REQUEST
from vireid.search.app.page import FOOTER
from vireid.search.app.server import build_server, own_folder
from vireid.search.app.service import open_service
from vireid.search.gallery import Gallery, GalleryModel
from vireid.search.ingest import ingest
from vireid.search.listing import list_images
from vireid.search.model import BatchExtractor
from vireid.structures import Modality


@pytest.fixture(scope="module")
def site(small_run, tiny_sysu, tmp_path_factory):
    """A running server with a small model, and a gallery of rendered images: url and service."""
    folder = tmp_path_factory.mktemp("site")
    rows = ["path,pid,camid,time"]
    for camera in (1, 2):
        for path in sorted((tiny_sysu / f"cam{camera}").rglob("*.jpg")):
            rows.append(f"{path},{int(path.parent.name)},cam{camera},2026-11-{10 + camera} 09:30")
    (folder / "list.csv").write_text("\n".join(rows))
    extractor = BatchExtractor(Extractor(small_run), 32)
    model = GalleryModel(extractor.fingerprint, extractor.dim, str(small_run))
    gallery = Gallery.create(folder / "people", model)
    list(ingest(gallery, list_images(folder / "list.csv", Modality.VISIBLE), extractor,
                Modality.VISIBLE))  # fmt: skip
    service = open_service(str(folder / "people"), None, None, device="cpu")
    outward: list[object] = []
    connect = socket.socket.connect

    def watched(self, address):
        if self.family != socket.AF_UNIX and address[0] not in ("127.0.0.1", "localhost"):
            outward.append(address)
        return connect(self, address)

    patch = pytest.MonkeyPatch()
    patch.setattr(socket.socket, "connect", watched)
    with serve_tool.listen("127.0.0.1", 0) as listening, own_folder() as uploads:
        server = build_server(service, uploads, local=True, changes=True)
        thread = threading.Thread(target=server.run, args=([listening],))
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", service
        server.should_exit = True
        thread.join(30)
    patch.undo()
    assert not thread.is_alive() and not uploads.exists()
    assert outward == []  # the server asked nothing of other machines


def ask(url, path, method="GET", body=None, **headers):
    """(status, body) of a request, whose path is sent as it is."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=20)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, names)
    response = connection.getresponse()
    return response.status, response.read()


def test_no_file_has_an_address(site, tmp_path):
    url, service = site
    (tmp_path / "secret.txt").write_text("secret")
    image = service.gallery.path_of(service.gallery.rows(["path"])["path"][0].as_py())
    routes = ["/file=", "/gradio_api/file=", "/gradio_api/file/", "/proxy=", "/gradio_api/proxy="]
    routes += ["/static/", "/assets/", "/static/../../", "/assets/..%2f..%2f"]
    files = [tmp_path / "secret.txt", image, "http://127.0.0.1:9/x", "../pyproject.toml"]
    files += ["..%2f" * 8 + "etc%2fpasswd", "../" * 8 + "etc/passwd"]
    sent = [f"{route}{file}" for route in routes for file in files]
    sent += [
        "/gradio_api/info",
        "/gradio_api/openapi.json",
        "/docs",
        "/monitoring",
        "/gradio_api/runs",
    ]
    for path in sent:
        status, body = ask(url, path.replace(" ", "%20"))
        assert status in (400, 403, 404, 405), path
        assert b"secret" not in body and b"root:" not in body and b"\xff\xd8" not in body
    # A request that names a file as if it had been uploaded gets its message, not the file.
    status, body = ask(
        url, "/gradio_api/call/search", "POST", "{}", content_type="application/json"
    )
    assert status == 404


def test_a_path_in_a_request_is_not_opened(site, tmp_path):
    url, service = site
    config = json.loads(ask(url, "/config")[1])
    upload = next(one for one in config["dependencies"] if one["targets"][0][1] == "upload")
    image = service.gallery.path_of(service.gallery.rows(["path"])["path"][0].as_py())
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.settimeout(0.2)
        address = f"http://127.0.0.1:{other.getsockname()[1]}/a.jpg"
        for path in (str(image), "a.jpg", "../../a.jpg", address, "\0", None, 7):
            file = {"path": path, "url": address, "meta": {"_type": "gradio.FileData"}}
            body = {"data": [[file], None], "fn_index": upload["id"], "session_hash": "other"}
            kind = {"content_type": "application/json"}
            assert ask(url, "/gradio_api/queue/join", "POST", json.dumps(body), **kind)[0] == 403
        assert ask(url, "/gradio_api/queue/join", "POST", "[" * 9999, **kind)[0] == 403
        with pytest.raises(TimeoutError):
            other.accept()


def test_gradio_itself_refuses_files_that_were_not_uploaded(site, tmp_path):
    _, service = site
    with own_folder() as folder:
        guard = build_server(service, folder, local=True, changes=False).config.app
        pages = [one.app.get_blocks() for one in guard.app.routes if hasattr(one, "app")]
        assert [one.has_launched for one in pages] == [True]


def test_other_sites_and_large_requests_are_refused(site):
    url, _ = site
    assert ask(url, "/")[0] == ask(url, "/", origin=url)[0] == 200
    assert ask(url, "/", host="evil.example")[0] == 403  # by a name that leads to 127.0.0.1
    assert ask(url, "/", origin="http://evil.example")[0] == 403
    assert ask(url, "/", origin="null")[0] == 403
    assert ask(url, "/config", "DELETE")[0] == 405
    join = "/gradio_api/queue/join"
    large = {"content_length": str(MOST_REQUEST + 1), "content_type": "application/json"}
    assert ask(url, join, "POST", **large)[0] == 413
    length_unknown = {"transfer_encoding": "chunked"}
    assert ask(url, join, "POST", **length_unknown)[0] == 411


def test_headers_keep_a_page_from_loading_what_is_elsewhere(site):
    connection = http.client.HTTPConnection(site[0].removeprefix("http://"), timeout=20)
    connection.request("GET", "/")
    response = connection.getresponse()
    policy = response.headers["content-security-policy"]
    assert {name: response.headers[name] for name in HEADERS} == HEADERS
    assert policy.startswith("default-src 'self' data: blob:") and "http" not in policy
    text = response.read().decode()
    assert "fonts.googleapis" not in text


# The page in a browser


def marked(test):
    for mark in needs_browser:
        test = mark(test)
    return test


def send(page, files, at=0):
    page.locator("input[type=file]").nth(at).set_input_files(list(map(str, files)))


def infrared(tiny_sysu, pid, camera=3):
    return sorted((tiny_sysu / f"cam{camera}/{pid:04d}").glob("*.jpg"))


def people(tiny_sysu, camera=3):
    return sorted(int(one.name) for one in (tiny_sysu / f"cam{camera}").iterdir())


def names_of(service, files, form, modality="infrared"):
    kept = uploads_of(files)
    return [one.name for one in service.search(kept, modality, form).matches]


def shown(page):
    return [one.get_attribute("title") for one in page.locator(".card .name").all()]


def errors(console):
    return [one for one in console if one.startswith("error")]


@marked
def test_search_filter_threshold_and_maps(site, chromium, tiny_sysu):
    url, service = site
    files = infrared(tiny_sysu, people(tiny_sysu)[0])[:2]
    with window(chromium, 1280, 900) as (page, console):
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(url)
        page.get_by_text("Add an image of a person").wait_for()
        assert page.locator(".responsible p").inner_text() == FOOTER
        send(page, files)
        page.locator(".card").nth(9).wait_for()
        expected = names_of(service, files, Form(top=10))
        assert shown(page) == expected
        assert page.locator("ul.uploads img").count() == 2
        link = page.locator("a.download").get_attribute("href").split(",", 1)[1]
        content = json.loads(base64.b64decode(link))
        assert [one["name"] for one in content["queries"][0]["found"]] == expected

        where = page.get_by_label("Filter (SQL)")
        where.fill("camid = 'cam2'")
        where.press("Enter")
        page.wait_for_function("!document.querySelector('ol.results').innerText.includes('cam1')")
        assert shown(page) == names_of(service, files, Form(where="camid = 'cam2'"))

        found = service.search(uploads_of(files), "infrared", Form(where="camid = 'cam2'"))
        scores = [one.score for one in found.matches]
        number = page.get_by_label("number input for Least score (-1: all)")
        number.fill(f"{(scores[2] + scores[3]) / 2:.6f}")
        page.get_by_role("button", name="Search", exact=True).click()
        page.wait_for_function("document.querySelectorAll('.card').length == 3")

        page.locator(".card").nth(1).click()
        page.locator(".compare .views img").nth(5).wait_for()  # two queries and the match
        assert page.locator(".card[aria-pressed=true]").count() == 1
        assert all(one.get_attribute("alt") for one in page.locator(".compare img").all())
        assert not page.locator("img:not([alt])").count()
        shown_maps = page.locator(".compare .views img").nth(1)
        assert shown_maps.evaluate("one => one.naturalWidth") == 64  # twice the model's input
    assert errors(console) == []
    assert {re.match(r"data:|blob:|https?://[^/]+", one)[0] for one in asked} <= {
        url,
        "data:",
        "blob:",
    }


@marked
def test_bad_input_is_said_and_nothing_is_left_blank(site, chromium, tiny_sysu, tmp_path):
    url, _ = site
    (tmp_path / "broken.png").write_text("no image")
    Image.new("L", (300, 60)).save(tmp_path / "wide.png")
    said = []
    with window(chromium, 1280, 900) as (page, console):
        page.goto(url)
        page.get_by_text("Add an image of a person").wait_for()
        for files in ([tmp_path / "broken.png"], [bomb(tmp_path / "bomb.png")]):
            send(page, files)
            name = files[0].name
            said.append(page.locator(".say.error", has_text=name).inner_text())
        send(page, [tmp_path / "wide.png"])
        page.locator(".card").first.wait_for()
        said.append(page.locator(".say.warning").inner_text())
        where = page.get_by_label("Filter (SQL)")
        for text in ("camid =", "colour = 'red'", "pid = 0"):
            where.fill(text)
            where.press("Enter")
            kind = "warning" if text == "pid = 0" else "error"
            hint = "No image fits" if text == "pid = 0" else text
            said.append(page.locator(f".say.{kind}", has_text=hint).inner_text())
            assert page.locator(".card").count() == 0
        page.get_by_label("From").fill("soon")
        page.get_by_label("From").press("Enter")
        said.append(page.locator(".say.error", has_text="from:").inner_text())
    assert "broken.png cannot be decoded" in said[0] and "10000 × 10000 pixels" in said[1]
    assert "wide.png may not be a crop of one person" in said[2]
    assert said[3].startswith("filter") and "No field named colour" in said[4]
    assert not any("Traceback" in one or "/vireid-serve-" in one for one in said)
    assert errors(console) == []


@marked
def test_narrow_screen_and_keyboard(site, chromium, tiny_sysu):
    url, _ = site
    with window(chromium, 390, 840, has_touch=True) as (page, console):
        page.goto(url)
        page.get_by_text("Add an image of a person").wait_for()
        send(page, infrared(tiny_sysu, people(tiny_sysu)[1])[:1])
        page.locator(".card").first.wait_for()
        page.locator("a.download").focus()
        page.keyboard.press("Tab")  # from the link to the first result
        page.keyboard.press("Enter")
        page.locator(".compare .views img").nth(3).wait_for()
        heading = page.locator(".compare h2")
        assert heading.inner_text().startswith("Query and rank 1")
        assert page.evaluate("document.activeElement.className") == "compare"
        assert heading.evaluate("one => one.getBoundingClientRect().top") < 840
        assert page.evaluate("document.documentElement.scrollWidth") == 390
        page.get_by_role("tab", name="Gallery").focus()
        page.keyboard.press("Enter")
        page.get_by_text("Images per camera and modality").wait_for()
        assert outside(page, but=".tables") == []
    assert errors(console) == []


@marked
def test_two_users_at_once_get_their_own_results(site, chromium, tiny_sysu):
    url, service = site
    files = [infrared(tiny_sysu, pid)[:1] for pid in people(tiny_sysu)[:2]]
    expected = [names_of(service, one, Form()) for one in files]
    assert expected[0] != expected[1]
    with window(chromium, 1280) as (first, one), window(chromium, 800) as (second, two):
        for page in (first, second):
            page.goto(url)
        for page in (first, second):
            page.get_by_text("Add an image of a person").wait_for()
        for page, sent in zip((first, second), files, strict=True):
            send(page, sent)  # neither waits for the other
        for page in (first, second):
            page.locator(".card").nth(9).wait_for()
        assert [shown(first), shown(second)] == expected
    assert errors(one) == errors(two) == []


@marked
def test_the_gallery_page_adds_and_removes(site, chromium, tmp_path):
    url, service = site
    before = len(service.gallery)
    Image.effect_noise((32, 64), 90).save(tmp_path / "new one.png")
    with window(chromium, 1280, 900) as (page, console):
        page.goto(url)
        page.get_by_role("tab", name="Gallery").click()
        page.get_by_text(f"{before}, ").wait_for()
        page.get_by_role("button", name="Add images").click()
        page.get_by_label("Camera of all, if known").fill("gate")
        send(page, [tmp_path / "new one.png"], at=1)
        page.get_by_role("button", name="Add 1 image").click()
        page.get_by_text("Added 1 of 1 images.").wait_for()
        page.get_by_role("rowheader", name="gate").wait_for()
        assert len(service.gallery) == before + 1
        page.get_by_role("button", name="Remove images").click()
        page.get_by_label("Or a filter (SQL)").fill("camid = 'gate'")
        page.get_by_role("button", name="Look them up").click()
        remove = page.get_by_role("button", name=re.compile("^Remove( 1 images)?$"))
        page.get_by_text("1 images found").wait_for()
        assert remove.is_disabled()
        page.get_by_label("Yes, remove them from the gallery").check()
        remove.and_(page.locator(":enabled")).click()
        page.get_by_text("Removed 1 images").wait_for()
        assert len(service.gallery) == before
    assert errors(console) == []


def test_a_signal_ends_the_server_and_leaves_nothing(site, tmp_path):
    _, service = site
    process = subprocess.Popen(
        [sys.executable, "tools/serve.py", "--gallery", service.gallery.place, "--port", "0"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )  # fmt: skip
    url = re.fullmatch(r"serving (\S+) \(Ctrl-C ends it\)\n", process.stdout.readline())[1]
    assert len(list(tmp_path.glob("vireid-serve-*"))) == 1
    assert ask(url, "/")[0] == 200
    waiting = socket.create_connection(("127.0.0.1", int(url.rsplit(":", 1)[1])))
    waiting.sendall(f"GET /gradio_api/heartbeat/abc HTTP/1.1\r\nHost: {url[7:]}\r\n\r\n".encode())
    assert waiting.recv(12) == b"HTTP/1.1 200"  # a page that stays open
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)
    waiting.close()
    assert process.returncode == 143, errors
    assert "Traceback" not in errors
    assert not list(tmp_path.glob("vireid-serve-*"))
