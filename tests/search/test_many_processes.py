"""Several processes change one gallery at the same time, in a folder and on object storage."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest

from tests.search.double import DIM, ColourExtractor, content, make_rows, unit, write_images
from vireid.errors import CheckpointError, DataError, UsageError, VireidError
from vireid.structures import Modality

PROCESSES = 2
BARRIER = None  # of the processes of the pool
STORAGE = {
    "AWS_ALLOW_HTTP": "true",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_REGION": "us-east-1",
}


def prepare(barrier) -> None:
    """The beginning of each process."""
    global BARRIER
    BARRIER = barrier
    import vireid.search  # noqa: F401 takes longer than all tests


@pytest.fixture(scope="module")
def together():
    """Calls a function in two processes at once with 0, 1 and the arguments."""
    context = get_context("forkserver")  # of a process that has imported what takes seconds
    context.set_forkserver_preload(["torch", "torchvision", "pandas", "pyarrow", "PIL.Image"])
    pool = ProcessPoolExecutor(
        PROCESSES, context, initializer=prepare, initargs=(context.Barrier(PROCESSES),)
    )

    def call(function, *args):
        work = [pool.submit(at_once, function, k, *args) for k in range(PROCESSES)]
        return [one.result(60) for one in work]

    with pool:
        yield call


def at_once(function, rank, *args):
    BARRIER.wait(60)
    return function(rank, *args)


@pytest.fixture(scope="module")
def server():
    """A server of S3, and the variables that name it."""
    moto = pytest.importorskip("moto.server", reason="needs moto[server]")
    running = moto.ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    running.start()
    address = "http://{}:{}".format(*running.get_host_and_port())
    import boto3

    client = boto3.client(
        "s3", endpoint_url=address, region_name="us-east-1",
        aws_access_key_id="key", aws_secret_access_key="secret",
    )  # fmt: skip
    client.create_bucket(Bucket="bucket")
    yield {"AWS_ENDPOINT": address, **STORAGE}
    running.stop()


@pytest.fixture(params=["folder", "s3"])
def place(request, tmp_path, monkeypatch):
    """Where a gallery is to be, and the environment of its processes."""
    if request.param == "folder":
        return str(tmp_path / "people"), {}
    environment = request.getfixturevalue("server")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    return f"s3://bucket/{request.node.name.split('[')[0]}", environment


def ingest_share(rank, world, place, environment, images, extractor=ColourExtractor):
    """What ``build`` does in one process under torchrun."""
    from vireid.search import ingest as module
    from vireid.search.gallery import Gallery, GalleryModel
    from vireid.search.listing import list_images

    os.environ |= {**environment, "RANK": str(rank), "WORLD_SIZE": str(world)}
    module.BLOCK, module.COMMIT_SECONDS = 2, 0.0  # a commit for every two images
    gallery = Gallery.create(place, GalleryModel("colours", DIM))
    listing = list_images(images, Modality.VISIBLE)
    try:
        (*_, last) = module.ingest(gallery, listing, extractor(), Modality.VISIBLE)
    finally:
        del os.environ["RANK"], os.environ["WORLD_SIZE"]
    return last.total, last.added, sorted(reason for _, reason in last.skipped)


def test_processes_that_begin_at_once_make_one_gallery_of_all_images(together, place, tmp_path):
    from vireid.search import Gallery, Query, search

    place, environment = place
    images = write_images(tmp_path / "images", 14)
    for copy in ("a/00.png", "b/01.png", "a/02.png"):  # equal content, in other shares
        (images / f"c{Path(copy).name}").write_bytes((images / copy).read_bytes())
    found = together(ingest_share, PROCESSES, place, environment, images)
    assert [total for total, *_ in found] == [9, 8] and sum(one[1] for one in found) == 14
    gallery = Gallery(place)
    rows = content(gallery, by="id")
    assert len(rows) == 14
    again = together(ingest_share, PROCESSES, place, environment, images)
    assert [added for _, added, _ in again] == [0, 0] and content(gallery, by="id") == rows
    row = next(iter(rows.values()))
    query = Query(np.array(row["vector"], np.float32))
    (match,) = search(gallery, [query]).matches[0][:1]
    assert (match.id, round(match.score, 5)) == (row["id"], 1.0)
    gallery.delete([row["id"]])
    number = gallery.versions()[-2].number
    assert gallery.compact(0) and len(content(gallery)) == 13
    gallery.restore(number)
    assert content(gallery, by="id") == rows


def test_fewer_images_than_processes(tmp_path):
    images = write_images(tmp_path / "images", 2)
    (images / "b/01.png").write_bytes(b"no image")
    found = [ingest_share(rank, 4, tmp_path / "people", {}, images) for rank in range(4)]
    assert [one[:2] for one in found] == [(1, 1), (1, 0), (0, 0), (0, 0)]


def change(rank, place, environment):
    """Adds the same rows as the others, one with a new column, and deletes, and compacts."""
    from vireid.search.gallery import Gallery, GalleryModel

    os.environ |= environment
    gallery = Gallery.create(place, GalleryModel("colours", DIM))
    rng = np.random.default_rng(0)
    added = 0
    for k in range(4):
        ids = [f"{k}-{n}" for n in range(5)]
        rows = make_rows(
            unit(rng.normal(size=(5, DIM))), id=ids, path=ids,
            further={f"seen{k // 2}": [k] * 5} if rank else None,
        )  # fmt: skip
        added += gallery.add(rows)
        if rank == 0:
            gallery.compact(0)
        if rank == 1:
            own = make_rows(unit(np.ones((1, DIM))), id=["own"], path=["own"])
            added += gallery.add(own)
            gallery.delete(["own"])
    return added


def test_commits_of_all_kinds_at_once_lose_nothing(together, place):
    from vireid.search import Gallery

    place, environment = place
    added = together(change, place, environment)
    rows = content(Gallery(place), by="id")
    assert sum(added) == 20 + 4  # each row once, whoever was first
    assert set(rows) == {f"{k}-{n}" for k in range(4) for n in range(5)}
    assert {"seen0", "seen1"} <= set(Gallery(place).columns)


def differ(rank, place):
    """The same new column, with values of another type in each process."""
    from vireid.search.gallery import Gallery

    values = ([1], ["one"])[rank]
    rows = make_rows(unit(np.ones((1, DIM))), id=[str(rank)], further={"seen": values})
    try:
        return Gallery(place).add(rows)
    except VireidError as error:
        return type(error), str(error)


def test_columns_of_two_types_at_once(together, tmp_path):
    from tests.search.double import new_gallery

    new_gallery(tmp_path / "people")
    found = together(differ, tmp_path / "people")
    if new_gallery(tmp_path / "people").columns["seen"] == "text":  # the second was faster
        assert found == [1, 1]  # whole numbers can be written as text
    else:
        assert found[0] == 1 and found[1][0] is UsageError
        assert "seen: the CSV file has text" in found[1][1]


class Dies(ColourExtractor):
    """Killed at its third call."""

    def __call__(self, *args, **options):
        if len(self.seen) == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().__call__(*args, **options)


def test_a_killed_process_is_continued_beside_the_others(together, tmp_path):
    """Process 0 of two is killed after two commits; then it starts again, beside process 1."""
    from vireid.search import Gallery

    images, place = write_images(tmp_path / "images", 12), tmp_path / "people"
    process = get_context("forkserver").Process(
        target=ingest_share, args=(0, 2, place, {}, images, Dies)
    )
    process.start()
    process.join(60)
    assert process.exitcode == -signal.SIGKILL and len(Gallery(place)) == 4
    found = together(ingest_share, 2, place, {}, images)
    assert found == [(6, 2, ["in the gallery already"] * 4), (6, 6, [])]
    assert len(content(Gallery(place), by="id")) == 12


def test_a_gallery_whose_making_was_stopped_is_made(tmp_path):
    from tests.search.double import new_gallery
    from vireid.search import Gallery

    begun = tmp_path / "people/images.lance/_transactions"
    begun.mkdir(parents=True)
    (begun / "0-1.txn").write_bytes(b"")
    with pytest.raises(CheckpointError, match="there is no gallery in"):
        Gallery(tmp_path / "people")
    assert Gallery.find(tmp_path / "people") is None
    assert len(new_gallery(tmp_path / "people")) == 0
    for path in (tmp_path / "people/images.lance/_versions").glob("*"):
        path.write_bytes(b"")  # cut off: not a beginning
    with pytest.raises(CheckpointError, match="is damaged"):
        new_gallery(tmp_path / "people")


@pytest.mark.parametrize(
    ("rank", "world"), [("1", ""), ("", "2"), ("2", "2"), ("-1", "2"), ("a", "2"), ("0", "0")]
)
def test_numbers_of_processes_that_do_not_fit(monkeypatch, rank, world):
    from vireid.search.ingest import Process

    monkeypatch.setenv("RANK", rank)
    monkeypatch.setenv("WORLD_SIZE", world)
    with pytest.raises(UsageError, match=f"got RANK='{rank}' WORLD_SIZE='{world}'"):
        Process.from_environment()


def test_each_process_writes_its_own_list_and_no_empty_share_is_an_error(
    monkeypatch, tmp_path, capsys
):
    from vireid.cli.search import fill
    from vireid.cli.search.options import search_parser
    from vireid.search.ingest import Process

    images = write_images(tmp_path / "images", 3)
    (images / "b/01.png").write_bytes(b"no image")
    monkeypatch.setattr(fill, "open_model", lambda args, there: (model(), "colours"))
    words = "build --modality visible --run none --gallery people --skipped skipped.csv --images"
    args = [*words.split(), str(images)]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WORLD_SIZE", "3")
    for rank in range(3):
        monkeypatch.setenv("RANK", str(rank))
        assert Process.from_environment() == Process(rank, 3)
        fill.build(search_parser().parse_args(args))
    written = capsys.readouterr()
    first = "process 0: added 1 visible images to people, which holds 1; skipped 0"
    assert written.out.splitlines()[0] == first
    assert f"process 2: none of the 1 images of {images} can be read" in written.err
    assert (tmp_path / "skipped-2.csv").read_text().startswith("path,reason\nb/01.png,")
    assert (tmp_path / "skipped.csv").read_text() == "path,reason\n"
    for name in ("RANK", "WORLD_SIZE"):
        monkeypatch.delenv(name)
    (images / "a/00.png").unlink()
    (images / "a/02.png").unlink()
    with pytest.raises(DataError, match="none of the 1 images"):
        fill.build(search_parser().parse_args(args))


def model():
    extractor = ColourExtractor()
    extractor.size = (6, 4)
    return extractor


def test_a_bucket_that_is_not_there_and_storage_of_no_kind(server, monkeypatch):
    from vireid.search import Gallery

    for name, value in server.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CheckpointError, match="s3://nothing/people: there is no such bucket"):
        Gallery("s3://nothing/people")
    with pytest.raises(CheckpointError, match="there is no gallery in s3://bucket/nothing"):
        Gallery("s3://bucket/nothing")
    with pytest.raises(UsageError, match="no such kind of storage; choose one of s3://"):
        Gallery("people://bucket/people")


# Parts of what LanceDB's client raises at Ceph's gateway.
STATUS = 'ListRequest {{ inner: Status {{ status: {}, body: Some("<Code>{}</Code>") }} }}'


@pytest.mark.parametrize(
    ("text", "phrase"),
    [
        (STATUS.format(404, "NoSuchBucket"), "no such bucket: make it"),
        (STATUS.format(403, "InvalidAccessKeyId"), "check AWS_ACCESS_KEY_ID"),
        (STATUS.format(403, "SignatureDoesNotMatch"), "check AWS_SECRET_ACCESS_KEY"),
        (STATUS.format(403, "AccessDenied"), "may not read or write there"),
        (STATUS.format(503, "SlowDown"), "its server does not answer"),
        ('"Failed to get AWS credentials: ProviderError"', "set AWS_ACCESS_KEY_ID"),
        ("HttpError { kind: Connect, source: reqwest::Error }", "its server does not answer"),
    ],
)
def test_what_the_storage_says_in_one_line(text, phrase):
    from vireid.search.lance_errors import lance_errors

    with (
        pytest.raises(CheckpointError, match=f"^gallery s3://b/g: .*{phrase}"),
        lance_errors("s3://b/g"),
    ):
        raise ValueError(text)


@pytest.mark.parametrize(
    ("environment", "phrase"),
    [
        ({"AWS_ENDPOINT": "127.0.0.1:9000"}, "AWS_ENDPOINT must begin with http"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9000"}, "set AWS_ALLOW_HTTP=true"),
    ],
)
def test_settings_that_storage_cannot_use(environment, phrase):
    from vireid.search.storage import require_storage

    with pytest.raises(UsageError, match=phrase):
        require_storage("s3://bucket/people", environment)
    require_storage("people", environment)
    require_storage("s3://bucket/people", {"AWS_ENDPOINT": "https://127.0.0.1:9000"})
