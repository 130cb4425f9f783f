"""The report: one page, whole by itself."""

import html
import io
import json
import os
import shutil
import subprocess
from html.parser import HTMLParser

import matplotlib.pyplot as plt
import pytest

from star.errors import UsageError
from star.pipeline.evaluation.evaluator import evaluate
from star.pipeline.evaluation.report import read_run, report
from star.pipeline.recipe import schema as settings
from star.pipeline.training.trainer import train

VOID = {"meta", "img", "br", "link", "input", "hr"}
PNG = b"\x89PNG\r\n\x1a\nclip"


class Page(HTMLParser):
    """Checks that every element is closed in order, and keeps texts and addresses."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.addresses, self.pictures = [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in VOID:
            self.open.append(tag)
        given = dict(attributes)
        self.addresses += [given[name] for name in ("src", "href", "srcset", "data", "action") if name in given]
        if tag == "img":
            assert given["alt"]
            self.pictures.append(given["src"])
        assert tag != "script"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, text):
        self.texts.append(text.strip())


@pytest.fixture(scope="module")
def runs(toy, toys, tmp_path_factory):
    """Two runs that differ in one setting, the first also tested."""
    folder = tmp_path_factory.mktemp("runs")
    for name, schedule in (("plain", "constant"), ("falling", "cosine")):
        recipe = toy.recipe("train.epochs=2", f"train.schedule={schedule}", "train.learning_rate=0.001")
        train(recipe, *toys, folder / name, device="cpu", progress=False)
    evaluate(toy.recipe(), toys[1], folder / "plain", device="cpu", progress=False)
    return folder


def test_page_is_whole_by_itself(runs, tmp_path):
    """Well-formed, nothing fetched, all pictures inside, no script; scores and classes are there."""
    path = report([runs / "plain"], tmp_path / "page.html")
    text = path.read_text()
    page = Page(text)
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert "url(" not in text
    assert "@import" not in text
    scores = json.loads((runs / "plain" / "test" / "metrics.json").read_text())
    assert f"{100 * scores['top1']:.1f} %" in page.texts
    assert {"bow", "jump", "wave", "Confusion", "Calibration", "Curves", "By subject"} <= set(page.texts)
    shown = len(scores["worst"][:6]) + len(scores["surest"])
    assert len(page.pictures) == 3 + 2 + shown


def test_runs_stand_side_by_side(runs, tmp_path):
    """Several runs: the settings in which they differ, and a word on what was not tested yet."""
    page = Page(report([runs / "plain", runs / "falling"], tmp_path / "page.html").read_text())
    assert {"plain", "falling", "train.schedule", "constant", "cosine"} <= set(page.texts)
    assert "train.epochs" not in page.texts
    assert any(text.startswith("Not tested yet") for text in page.texts)


def test_pictures_of_clips_come_from_the_callback(runs, tmp_path):
    """Where media are at hand the shown clips have their pictures; it is asked only for those."""
    asked = []

    def picture(video):
        asked.append(video)
        return PNG if len(asked) == 1 else None

    text = report([runs / "plain"], tmp_path / "page.html", pictures=lambda run: picture).read_text()
    scores = json.loads((runs / "plain" / "test" / "metrics.json").read_text())
    assert asked == [clip["video"] for clip in (*scores["worst"][:6], *scores["surest"])]
    assert text.count("data:image/png;base64,iVBORw0KGgpjbGlw") == 1


def test_names_cannot_write_html(runs, tmp_path):
    """Whatever stands in a run's files is shown as text."""
    run = tmp_path / "<b>run"
    shutil.copytree(runs / "plain", run)
    path = run / "test" / "metrics.json"
    path.write_text(path.read_text().replace('"wave"', '"<script>alert(1)</script>"'))
    text = report([run], tmp_path / "page.html").read_text()
    Page(text)
    assert "<script" not in text
    assert "<b>run" not in text


def test_folder_without_a_run(tmp_path):
    """Each is one line."""
    with pytest.raises(UsageError) as error:
        report([tmp_path], tmp_path / "page.html")
    assert str(error.value) == f"{tmp_path}: no run of star's (environment.json cannot be read)"
    with pytest.raises(UsageError) as error:
        report([], tmp_path / "page.html")
    assert str(error.value) == "report: no run given; `star report RUN…`"


def test_figures_are_pictures():
    """Every drawing is a PNG that a decoder reads, also of many classes and of nothing."""
    import numpy as np
    from matplotlib.image import imread

    from star.pipeline.visualization.plots import confusion_picture, curves_picture, frames_picture

    for content in (
        confusion_picture(np.eye(60, dtype=int) * 3, [f"class {k}" for k in range(60)]),
        confusion_picture(np.zeros((2, 2), int), ["a", "b"]),
        curves_picture({"run": []}, [("top1", "test")], "Top-1"),
        frames_picture({"encoder.0.F": np.full(16, 1 / 16)}),
    ):
        assert imread(io.BytesIO(content), format="png").ndim == 3


def test_strips_of_frames_with_joints(small, tmp_path):
    """`star report` of a real run: each clip that is shown has its frames; without the videos there are none."""
    from click.testing import CliRunner

    from star.cli import main
    from star.pipeline.visualization.thumbnails import COLUMNS, HEIGHT, ROWS, Thumbnails

    run, page = tmp_path / "run", tmp_path / "page.html"
    recipe = [str(small), "--run", str(run), "--device", "cpu", "-q"]
    for words in (["train", *recipe], ["test", *recipe], ["report", str(run), "-o", str(page)]):
        assert CliRunner().invoke(main, words).exit_code == 0
    scores = json.loads((run / "test" / "metrics.json").read_text())
    shown = len(scores["worst"][:6]) + len(scores["surest"])
    assert page.read_text().count("data:image/jpeg") == shown > 0
    strip = Thumbnails(run)(scores["surest"][0]["video"])
    picture = plt.imread(io.BytesIO(strip), format="jpeg")
    assert picture.shape == (ROWS * HEIGHT, COLUMNS * round(96 * HEIGHT / 80), 3)
    assert Thumbnails(run)("videos/nobody.mp4") is None
    gone = settings.load(run / "recipe.yaml", (f"dataset.root={tmp_path}/gone",))
    (run / "recipe.yaml").write_text(settings.dump(gone))
    assert Thumbnails(run)(scores["surest"][0]["video"]) is None


BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


def test_a_real_browser_shows_the_page(runs, tmp_path):
    """Laid out by a real engine: every picture is decoded, nothing is wider than the window, nothing is blank."""
    browser = os.environ.get("STAR_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"needs a browser: {', '.join(BROWSERS)}, or STAR_BROWSER=FILE")
    page, picture = report([runs / "plain", runs / "falling"], tmp_path / "page.html"), tmp_path / "page.png"
    probe = tmp_path / "probe.html"
    text = page.read_text().replace("default-src 'none'", "default-src 'none'; script-src 'unsafe-inline'")
    probe.write_text(text.replace("</body>", f"<script>{PROBE}</script></body>"))
    profile = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}/profile", SIZE]
    dom = subprocess.run(
        [browser, *profile, "--dump-dom", probe.as_uri()], capture_output=True, text=True, check=True, timeout=120
    ).stdout
    found = json.loads(html.unescape(dom.split('data-found="')[1].split('"')[0]))
    assert found["pictures"] == found["decoded"] > 3
    assert found["width"] <= found["window"]
    assert found["height"] > found["window"] / 2
    assert found["heading"] >= 2 * 10
    shot = [browser, *profile, f"--screenshot={picture}", page.as_uri()]
    subprocess.run(shot, capture_output=True, check=True, timeout=120)
    pixels = plt.imread(picture)[..., :3]
    assert pixels.shape[1] == 1200
    colours = {tuple(colour) for colour in (pixels[::9, ::9].reshape(-1, 3) * 15).round().astype(int)}
    assert len(colours) > 8


SIZE = "--window-size=1200,2400"
PROBE = """
addEventListener('load', () => {
  const pictures = [...document.images];
  document.body.dataset.found = JSON.stringify({
    pictures: pictures.length, decoded: pictures.filter(p => p.complete && p.naturalWidth > 1).length,
    width: document.documentElement.scrollWidth, window: innerWidth,
    height: document.documentElement.scrollHeight, heading: document.querySelector('h1').getBoundingClientRect().height,
  });
});
"""


@pytest.mark.parametrize(("by", "epoch"), [("top1", 3), ("mean_class", 1), ("loss", 2)])
def test_the_best_epoch_is_the_one_that_training_chose(runs, tmp_path, by, epoch):
    """By `train.best_by`, not always by top-1."""
    run = tmp_path / "run"
    shutil.copytree(runs / "falling", run)
    rows = [
        {"epoch": 1, "top1": 0.2, "mean_class": 0.9, "test_loss": 2.0},
        {"epoch": 2, "top1": 0.4, "mean_class": 0.3, "test_loss": 0.5},
        {"epoch": 3, "top1": 0.6, "mean_class": 0.5, "test_loss": 1.0},
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    recipe = run / "recipe.yaml"
    recipe.write_text(recipe.read_text().replace("best_by: top1", f"best_by: {by}"))
    assert read_run(run, "run").best["epoch"] == epoch
