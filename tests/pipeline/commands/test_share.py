"""push and pull: by a folder, and by the real client of the hub against a web server on this machine."""

from __future__ import annotations

import base64
import hashlib
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from click.testing import CliRunner, Result

from star.cli import main
from star.pipeline.commands.share import repository


def star(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in (*arguments, "-q")])


@pytest.fixture(scope="module")
def judged(extracted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that was tested."""
    run = tmp_path_factory.mktemp("judged") / "run"
    assert star("train", extracted, "--run", run).exit_code == 0
    assert star("test", extracted, "--run", run).exit_code == 0
    return run


def head_of(card: str) -> dict:
    return yaml.safe_load(card.split("---\n")[1])


def test_a_folder_and_back(judged: Path, drawn: Path, extracted: Path, tmp_path: Path) -> None:
    """What is pulled predicts what the run predicts; paths of this machine and names of videos are not in it."""
    shared, pulled = tmp_path / "shared", tmp_path / "pulled"
    result = star("push", judged, shared, "--license", "cc-by-4.0", "--json")
    assert result.exit_code == 0, result.output
    files = {path.relative_to(shared).as_posix() for path in shared.rglob("*") if path.is_file()}
    assert files == set(json.loads(result.stdout)["files"])
    assert {"README.md", "recipe.yaml", "test/metrics.json", "last/weights.safetensors"} <= files
    for name in files - {"last/weights.safetensors", "test/confusion.png", "test/reliability.png"}:
        text = (shared / name).read_text()
        assert str(drawn) not in text and str(extracted.parent) not in text and "_000.mp4" not in text, name
    assert star("pull", shared, pulled).exit_code == 0
    film = next((drawn / "videos").glob("wave_*.mp4"))
    over = ("--set", f"dataset.root={drawn}", "--json")
    answers = [json.loads(star("predict", film, "--run", run, *over).stdout) for run in (judged, pulled)]
    assert answers[0] == answers[1] and "error" not in answers[0][0]
    assert star("push", judged, shared, "--license", "mit").exit_code == 0
    assert head_of((shared / "README.md").read_text())["license"] == "mit"


def test_the_card(judged: Path, tmp_path: Path) -> None:
    """The hub's fields, the figures of the test, every class, the recipe."""
    assert star("push", judged, tmp_path / "card", "--license", "apache-2.0").exit_code == 0
    text = (tmp_path / "card" / "README.md").read_text()
    metrics = json.loads((judged / "test" / "metrics.json").read_text())
    head = head_of(text)
    assert head["license"] == "apache-2.0" and head["pipeline_tag"] == "video-classification"
    found = {one["name"]: one["value"] for one in head["model-index"][0]["results"][0]["metrics"]}
    assert found["Top-1 accuracy"] == pytest.approx(metrics["top1"], abs=1e-4)
    assert f"| Top-1 accuracy | {metrics['top1']:.1%} |" in text
    for row in metrics["per_class"]:
        assert row["class"] in text
    recipe = yaml.safe_load(text.split("```yaml\n")[1].split("```")[0])
    assert recipe["dataset"]["root"] == "data" and recipe["backbone"]["weights"] == "random"


def test_a_run_that_was_not_judged(judged: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(judged, run)
    shutil.rmtree(run / "test")
    assert star("push", run, tmp_path / "card", "--license", "mit").exit_code == 0
    text = (tmp_path / "card" / "README.md").read_text()
    assert "Not judged on a test split." in text and "model-index" not in head_of(text)


def test_what_is_refused(judged: Path, tmp_path: Path) -> None:
    def said(*arguments: object) -> tuple[int, str]:
        result = star(*arguments)
        return result.exit_code, result.output

    other = tmp_path / "other"
    other.mkdir()
    (other / "thesis.tex").write_text("years of work")
    for target, reason in ((other, "holds something else"), (judged, "is a run that star trained")):
        code, output = said("push", judged, target, "--license", "mit")
        assert code == 2 and reason in output
    assert said("push", tmp_path, other, "--license", "mit")[0] == 2
    assert said("push", judged, tmp_path / "new")[0] == 2  # without a licence
    for source, run, reason in (
        (other, tmp_path / "pulled", "holds no run"),
        (tmp_path / "nowhere", tmp_path / "pulled", "holds no run"),
        (judged, other, "is there already"),
    ):
        code, output = said("pull", source, run)
        assert code == 2 and reason in output
    broken = tmp_path / "broken"
    assert said("push", judged, broken, "--license", "mit")[0] == 0
    (broken / "last" / "weights.safetensors").write_bytes(b"no weights")
    assert said("pull", broken, tmp_path / "pulled")[0] in (2, 4) and not (tmp_path / "pulled").exists()


def test_only_known_files_are_taken(judged: Path, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    assert star("push", judged, shared, "--license", "mit").exit_code == 0
    (shared / "setup.py").write_text("raise SystemExit")
    (shared / "last" / "weights.pkl").write_bytes(b"\x80")
    assert star("pull", shared, tmp_path / "pulled").exit_code == 0
    assert not list((tmp_path / "pulled").rglob("setup.py")) and not list((tmp_path / "pulled").rglob("*.pkl"))


def test_folders_and_repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs" / "shared").mkdir(parents=True)
    assert repository("somebody/model-1.0") == "somebody/model-1.0"
    assert repository("runs/shared") is None and repository("hf:runs/shared") == "runs/shared"
    assert [repository(name) for name in ("./a/b", "/a/b", "~/b", "a", "a/b/c")] == [None] * 5


class Hub(http.server.BaseHTTPRequestHandler):
    """So much of the hub's interface as its client needs for small files, in memory."""

    files: dict[str, bytes]
    lines: list[str]

    def log_message(self, *_arguments: object) -> None:
        """Quiet."""

    def _body(self) -> bytes:
        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _answer(self, document: object, status: int = 200) -> None:
        self._send(json.dumps(document).encode(), status, {"Content-Type": "application/json"})

    def _send(self, content: bytes, status: int = 200, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        for name, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def do_POST(self) -> None:
        body, address = self._body(), f"http://{self.headers['Host']}/somebody/star"
        self.lines.append(self.path)
        if self.path == "/api/repos/create":
            self._answer({"url": address, "id": "somebody/star", "name": "somebody/star"})
        elif "/preupload/" in self.path:
            wanted = [{"path": file["path"], "uploadMode": "regular", "shouldIgnore": False, "oid": None}
                      for file in json.loads(body)["files"]]  # fmt: skip
            self._answer({"files": wanted})
        elif "/commit/" in self.path:
            for line in body.splitlines():
                entry = json.loads(line)
                if entry["key"] == "file":
                    self.files[entry["value"]["path"]] = base64.b64decode(entry["value"]["content"])
            self._answer({"commitUrl": f"{address}/commit/{'a' * 40}", "commitOid": "a" * 40, "success": True})
        else:
            self._answer({"valid": True})

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/api/models/somebody/star"):
            siblings = [{"rfilename": name} for name in self.files]
            tree = [{"type": "file", "path": name, "size": len(data), "oid": hashlib.sha1(data).hexdigest()}
                    for name, data in self.files.items()]  # fmt: skip
            self._answer(tree if "/tree/" in path else {
                "id": "somebody/star", "modelId": "somebody/star", "sha": "a" * 40, "siblings": siblings,
                "private": False, "tags": [], "downloads": 0, "likes": 0,
            })  # fmt: skip
            return
        content = self.files.get(path.partition("/resolve/")[2].partition("/")[2])
        if content is None:
            self._answer({"error": "Repository not found"}, 404)
            return
        etag = f'"{hashlib.sha1(content).hexdigest()}"'
        self._send(content, headers={"ETag": etag, "X-Repo-Commit": "a" * 40, "Accept-Ranges": "bytes"})

    do_HEAD = do_GET


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub on this machine that the client is told of."""
    pytest.importorskip("huggingface_hub")
    from huggingface_hub import constants

    own = type("OwnHub", (Hub,), {"files": {}, "lines": []})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), own) as httpd:
        threading.Thread(target=httpd.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{httpd.server_port}"
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setattr(constants, "ENDPOINT", address)
        monkeypatch.setattr(
            constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}"
        )
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
        yield own
        httpd.shutdown()


def test_the_hub_and_back(judged: Path, tmp_path: Path, hub: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    """The real client: a repository is made, all files arrive in a commit, and come back as the same run."""
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    result = star("push", judged, "somebody/star", "--license", "apache-2.0", "--json")
    assert result.exit_code == 0, result.output
    assert set(json.loads(result.stdout)["files"]) <= set(hub.files)
    assert head_of(hub.files["README.md"].decode())["license"] == "apache-2.0"
    assert hub.files["last/weights.safetensors"] == (judged / "last" / "weights.safetensors").read_bytes()
    pulled = tmp_path / "pulled"
    result = star("pull", "somebody/star", pulled)
    assert result.exit_code == 0, result.output
    for name in ("recipe.yaml", "last/weights.safetensors", "test/metrics.json"):
        assert (pulled / name).read_bytes() == hub.files[name]
    shutil.rmtree(pulled)
    hub.files.clear()
    result = star("pull", "somebody/star", pulled)
    assert result.exit_code == 2 and "holds no run" in result.output and not pulled.exists()


def test_a_hub_that_cannot_be_reached(judged: Path, hub: type[Hub], monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    result = star("push", judged, "somebody/star", "--license", "mit")
    assert result.exit_code == 5 and "somebody/star: the hub refused" in result.output


def test_without_the_client(judged: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    result = star("push", judged, "somebody/star", "--license", "mit")
    assert result.exit_code == 5 and "pip install 'star[hub]', or name a folder" in result.output
