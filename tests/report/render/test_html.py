"""The page, parsed: what a browser would fetch, what stands where, and names that would do harm."""

import base64
import re
import shutil
import subprocess
import time
from html.parser import HTMLParser

import numpy as np
import pytest
from generation import generated, pictures
from pages import ODD, fill, losses_alone, many_trials, odd_study
from studies import failed, grid_study, summary, write_study

from raysim.cli.app import main
from raysim.report.files import packed
from raysim.report.reading.folders import read
from raysim.report.reading.pairs import compared
from raysim.report.render.content import Choice, Content
from raysim.report.render.html.page import of_content, page, pictured
from raysim.report.tables.comparisons import comparison
from raysim.report.tables.every import Grouped
from raysim.report.tables.tables import Table

VOID = {"meta", "link", "img", "input", "path", "rect", "circle"}
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")


class Parsed(HTMLParser):
    """Ids, links, the text of headings, cells and summaries, and the tables as rows of cells."""

    def __init__(self, text):
        super().__init__()
        self.ids, self.links, self.open, self.headings, self.tables, self.tags = [], [], [], [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.tags.append((tag, found))
        self.ids += [found["id"]] if "id" in found else []
        self.links += [found[key] for key in ("href", "src", "srcset", "action", "xlink:href") if key in found]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][-1].append("")
        elif tag in ("h1", "h2", "h3"):
            self.headings.append("")

    def handle_startendtag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data):
        if {"td", "th"} & set(self.open):
            self.tables[-1][-1][-1] += data
        elif self.open and self.open[-1] in ("h1", "h2", "h3"):
            self.headings[-1] += data


def fetched(text):
    """What a browser would ask the network or the disk for."""
    links = [link for link in Parsed(text).links if not link.startswith(("#", "data:"))]
    return [*links, *re.findall(r"url\(|@import|\bfetch\(|https?://(?!www\.w3\.org)", text)]


def names(text):
    return [heading.strip() for heading in Parsed(text).headings]


@pytest.fixture
def odd(tmp_path):
    return odd_study(tmp_path / "out")


def test_the_page_stands_alone(odd):
    text = page(read([odd]))
    parsed = Parsed(text)
    assert fetched(text) == []
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert {link[1:] for link in parsed.links if link.startswith("#")} <= set(parsed.ids)
    assert text == page(read([odd]))


def test_what_stands_on_it(odd):
    text = page(read([odd]))
    assert names(text) == [
        "Results: study", "study", "Results", "Learning curves", "Who is served: scores by client",
        "Scores by the modalities that are given", "Traffic and cost", "What clients have", "How to run it again",
        "Failed, skipped, noted", "Failed trials", "What was skipped in trials", "Trials that have not ended",
    ]  # fmt: skip
    assert "5 of 7 trials finished, 1 failed." in text
    assert "all of &lt;study&gt;" in text
    assert "clients were left out 3 times" in text
    assert f"raysim run {odd}" in text.replace("&#39;", "")
    cells = [cell for table in Parsed(text).tables for row in table for cell in row]
    assert {"code plan.py", "c1", "data", "d1"} <= set(cells)


def test_tables_are_complete_and_marked(odd):
    text = page(read([odd]))
    tables = Parsed(text).tables
    assert all(len({len(row) for row in table}) == 1 for table in tables)
    safe = ODD.replace("/", "_")
    assert tables[0] == [
        ["method", "seeds", "accuracy", "accuracy (unmasked)", "uar", "uar (unmasked)"],
        ["zero", "2", "0.562 ± 0.088", "0.812 ± 0.088", "0.281 ± 0.044", "0.562 ± 0.088"],
        [safe, "2", "0.812 ± 0.088", "1.062 ± 0.088", "0.406 ± 0.044", "0.812 ± 0.088"],
        ["fin", "1", "0.375", "0.625", "0.188", "0.375"],
    ]
    assert '<td class="best">0.812 ± 0.088</td>' in text
    assert '<td class="second">0.562 ± 0.088</td>' in text


def test_names_do_no_harm(odd):
    text = page(read([odd]))
    assert "alert(&#34;x&#34;)" in text
    assert "alert(&quot;x&quot;)" in text  # within pictures
    assert "<script>alert" not in text
    assert [tag for tag, _ in Parsed(text).tags].count("script") == 1
    assert not any(key.startswith("on") for _, attrs in Parsed(text).tags for key in attrs)


def test_every_picture_says_what_it_is_and_has_its_numbers(odd):
    parsed = Parsed(page(read([odd])))
    svgs = [attrs for tag, attrs in parsed.tags if tag == "svg"]
    assert all(attrs.get("aria-label") or attrs.get("aria-hidden") == "true" for attrs in svgs)
    figures = sum(tag == "figure" for tag, _ in parsed.tags)
    assert (figures, sum(tag == "summary" for tag, _ in parsed.tags)) == (5, 5 + 2)  # and settings, commands
    arms = {attrs["data-arm"] for _, attrs in parsed.tags if "data-arm" in attrs}
    boxes = {attrs["data-of"] for _, attrs in parsed.tags if "data-of" in attrs}
    assert arms == boxes == {"0", "1", "2"}


def test_several_scenarios_have_a_part_each(tmp_path, odd):
    text = page(read([odd, losses_alone(tmp_path / "losses")]))
    parsed = Parsed(text)
    assert len(set(parsed.ids)) == len(parsed.ids)
    assert names(text)[0] == "Results: study, losses"
    assert {"study", "losses"} <= set(names(text))
    assert [row for table in parsed.tables for row in table if row == ["vae", "1.500"]]


def test_a_study_that_has_not_got_far(tmp_path):
    early = page(read([write_study(tmp_path / "early", [], planned=2)]))
    assert "No trial has ended yet" in early
    assert "0 of 2 trials finished." in early
    lost = page(read([write_study(tmp_path / "lost", [failed("fin", 1)], planned=1)]))
    assert names(lost) == ["Results: study", "study", "Failed, skipped, noted", "Failed trials",
                           "Trials that have not ended"]  # fmt: skip
    Parsed(early)
    Parsed(lost)


def test_pictures_are_part_of_the_page_and_bounded(tmp_path):
    out = write_study(tmp_path / "out", [summary("zero", 1, 0.25) | generated(0.25)])
    noise = np.random.default_rng(0).integers(0, 256, (700, 2400, 3), dtype=np.uint8)
    from PIL import Image

    Image.fromarray(noise).save(tmp_path / "features.png")
    (tmp_path / "torn.png").write_bytes(b"torn")
    study = read([out])
    shown = [("features", tmp_path / "features.png"), ("torn", tmp_path / "torn.png")]
    text = page(study, pictures={"study": shown})
    (image,) = [attrs for tag, attrs in Parsed(text).tags if tag == "img"]
    content = base64.b64decode(image["src"].removeprefix("data:image/png;base64,"))
    assert content[:8] == b"\x89PNG\r\n\x1a\n"
    assert len(content) < 130_000
    assert (image["width"], image["height"]) == ("900", "262")
    assert {"Features", "What is made", "Notes"} <= set(names(text))
    assert "torn.png: is left out of the page: " in text


def test_pictured_are_the_first_trials_of_the_first_arms(tmp_path):
    study = read([many_trials(tmp_path, methods=9, rates=(0.5,), seeds=(1, 2))])
    assert [name for _, name in pictured(study)] == [f"missing.rate=0.5,method=method_{i},seed=1" for i in range(8)]


def test_tables_of_others_appear_by_themselves(odd):
    one = Table("study: pairs", "differences", ("a", "b"), (("zero", "0.1"),), frozenset(), 1, 1)
    two = Table("study", "new", ("c", "d"), (("e", "f"),), frozenset(), 1, 1)
    text = page(read([odd]), more={"study": [Grouped("comparisons", one, ("by <t>",)), Grouped("novel", two)]})
    assert names(text)[2:4] == ["Results", "Comparisons"]
    assert names(text).index("Novel") < names(text).index("Traffic and cost")
    assert "by &lt;t&gt;" in text
    assert [["a", "b"], ["zero", "0.1"]] in Parsed(text).tables


def test_a_hundred_and_thirty_five_trials(tmp_path):
    out = many_trials(tmp_path, rounds=20, clients=10, dealt=60)
    began = time.monotonic()
    text = page(read([out]))
    assert time.monotonic() - began < 30
    assert len(text.encode()) < 3_000_000
    assert "135 of 135 trials finished" in text
    assert fetched(text) == []


def test_the_command_writes_it_into_the_study(odd, capfd):
    folder = odd / "study/method=fin,seed=1"
    rng = np.random.default_rng(0)
    arrays = {name: rng.standard_normal((9, 4)) for name in ("a", "a.filled")}
    np.savez(folder / "features.npz", labels=np.arange(9) % 3, **arrays)
    (folder / "generation.npz").write_bytes(packed(pictures(2, round=np.array(2))))
    assert main(["report", str(odd), "--format", "html", "--figures", str(odd / "figures")]) == 0
    assert capfd.readouterr() == (f"{odd}/report.html\n", "")
    text = (odd / "report.html").read_text()
    assert sum(tag == "img" for tag, _ in Parsed(text).tags) == 2
    assert not list(odd.rglob("partition.png"))
    assert len(list((odd / "figures").glob("*.pdf"))) == 8
    assert main(["report", str(odd), "--figures", str(odd / "figures"), "--figure-format", "gif"]) == 2
    assert capfd.readouterr().err == "--figure-format: there is no 'gif'; there are: pdf, svg, png\n"


def test_a_folder_for_figures_that_cannot_be_made_is_one_line(odd, capfd):
    (odd / "figures").write_text("a file")
    assert main(["report", str(odd), "--format", "html", "--figures", str(odd / "figures")]) == 2
    reason = "cannot be written: File exists; choose another folder with --figures"
    assert capfd.readouterr() == ("", f"{odd}/figures: {reason}\n")


def test_what_clients_were_dealt_is_drawn_once_a_seed(odd, capfd):
    assert main(["report", str(odd), "--format", "md"]) == 0
    assert [p.parent.name for p in sorted(odd.rglob("partition.png"))] == ["method=zero,seed=1", "method=zero,seed=2"]
    assert capfd.readouterr().out.count("partition.png") == 2


@pytest.mark.slow
@pytest.mark.parametrize("size", ["400,3000", "900,2000", "1600,1200"])
def test_a_browser_opens_it_without_a_word(tmp_path, size):
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        pytest.skip(f"needs a browser: one of {', '.join(BROWSERS)} on the path (Debian: apt install chromium)")
    trials = [summary("zero", 1, 0.5) | generated(0.5), summary(ODD.replace("/", "_"), 1, 0.75)]
    out = write_study(tmp_path / "out", trials)
    for found in trials:
        fill(out, "study", found)
    path, shot = tmp_path / "report.html", tmp_path / "shot.png"
    for script, said in (("", []), ("<script>missing()</script>", ["missing is not defined"])):
        path.write_text(page(read([out])).replace("</body>", f"{script}</body>"))
        command = [
            browser, "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars",
            f"--user-data-dir={tmp_path / 'profile'}", f"--window-size={size}", "--enable-logging=stderr",
            f"--screenshot={shot}", path.as_uri(),
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
        words = re.findall(r'CONSOLE:\d+\] "(.*)", source', done.stderr)
        assert [word.partition(": ")[2] for word in words] == said
        assert shot.stat().st_size > 20_000


def test_words_stand_left_and_are_broken_and_metrics_keep_their_letters(tmp_path):
    study = read([grid_study(tmp_path)])
    pairs = comparison("study", compared(study, "study", "test"))
    text = of_content(Content(study, Choice(), {"study": pairs}))
    assert '<th scope="col" class="words"><button type="button">says</button></th>' in text
    assert '<td class="words">not tested: a test over seeds needs 3</td>' in text
    headings = re.findall(r'<p class="heading">(.*?)</p>', text)
    assert any(heading.startswith("Test accuracy, by missing.rate") for heading in headings)
    assert not any(heading.startswith("Accuracy") for heading in headings)
    assert "--against" not in text


def test_second_is_said_where_something_is_underlined(tmp_path):
    three = [summary("zero", 1, 0.25), summary("fin", 1, 0.5), summary("top", 1, 0.75) | {"bound": True}]
    text = page(read([write_study(tmp_path, three)]))
    assert "bold: best" in text
    assert "underlined" not in text
    assert 'class="second"' not in text
