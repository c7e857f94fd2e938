"""The page's own HTML: every text of others is shown as text."""

from __future__ import annotations

from html.parser import HTMLParser

from scripted_predictor import ScriptedPredictor

from adapter_transfer.prediction.questions import Prediction, Question
from adapter_transfer.serving import drawing

ATTACK = '<script>alert(1)</script><img src=x onerror="alert(2)">"\'><a href="javascript:x">&amp;'


class _Tags(HTMLParser):
    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_data(self, data):
        self.text += data


def test_texts_of_others_are_text():
    predictor = ScriptedPredictor(
        name=ATTACK, backbone=ATTACK, method=ATTACK, intermediate=ATTACK, composition=ATTACK, notes=(ATTACK,)
    )
    scores = [{"language": ATTACK, "accuracy": 0.5, "num_items": 500, "num_seeds": 1}]
    answered = drawing.answer(Question(ATTACK, ATTACK, (ATTACK, "b")), Prediction(0, (0.9, 0.1), ATTACK))
    for page in (drawing.heading(predictor, scores), answered, drawing.problem(ATTACK)):
        seen = _Tags(page)
        assert not seen.tags & {"script", "img", "a"}
        assert not {name for name in seen.attributes if name.startswith("on") or name in ("src", "href")}
        assert ATTACK in seen.text


def test_an_answer_marks_what_is_chosen_and_shows_every_share():
    page = drawing.answer(Question("p", "cause", ("one", "two", "three")), Prediction(1, (0.125, 0.8, 0.075), "two"))
    assert page.count("at-chosen") == 1
    assert page.index("at-chosen") < page.index("two") < page.index("three")
    for share in ("12.5", "80.0", "7.5"):
        assert f"{share}\u00a0%" in page
        assert f"width:{float(share):.2f}%" in page


def test_the_heading_tells_what_is_served():
    sandbox = drawing.heading(ScriptedPredictor(is_sandbox=True, seed=3, intermediate="siqa", composition="stack"), [])
    assert "after siqa (stack)" in sandbox
    assert "<dt>Seed</dt><dd>3</dd>" in sandbox
    assert drawing.SANDBOX_NOTE in sandbox
    other = drawing.heading(
        ScriptedPredictor(), [{"language": "it", "accuracy": 0.614, "num_items": 500, "num_seeds": 3}]
    )
    assert "it\u00a061.4\u00a0% (500 items each, 3 seeds)" in other
    assert drawing.SANDBOX_NOTE not in other
    assert "Seed" not in other


def test_the_heading_says_whose_figures_these_are():
    scores = [{"language": "it", "accuracy": 0.614, "num_items": 500, "num_seeds": 3, "is_declared": True}]
    assert "Accuracy, says its author" in drawing.heading(ScriptedPredictor(), scores)
    measured = drawing.heading(ScriptedPredictor(), [{**scores[0], "is_declared": False}])
    assert "Accuracy" in measured and "author" not in measured
