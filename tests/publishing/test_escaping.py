from __future__ import annotations

import pytest

from adapter_transfer.publishing.escaping import code, literal, markdown, visible

EVIL = "<script>alert(1)</script>\x1b[2J`$(x)`\n---\n# [a](javascript:x) |\u202e @you https://evil.example {{7*7}} ```"


@pytest.mark.parametrize("text", [EVIL, "it's", 'a "quoted" one', "both ' and \"", "back\\slash", "ü ต", "", "{x}"])
def test_a_literal_is_the_text(text):
    written = str(literal(text))
    assert eval(written) == text
    assert written.isascii()
    assert "`" not in written
    assert "<" not in written
    assert "\n" not in written


def test_escaping_leaves_ordinary_names_readable():
    assert code("seq_bn") == "`seq_bn`"
    assert code("mnli+squad1") == "`mnli+squad1`"
    assert (
        markdown("Ponti et al. 2020, arXiv 2005.00333 (CC BY 4.0)") == "Ponti et al. 2020, arXiv 2005.00333 (CC BY 4.0)"
    )
    assert markdown(markdown("a_b")) == "a\\_b"
    assert len(code("x" * 10_000)) < 400


def test_every_character_shows_and_stands_on_one_line():
    assert visible("a\x1b[2J\u202eb\u2028c\r\nd\x00") == "a\\x1b[2J\\u202eb\\u2028c  d\\x00"
    assert visible("สวัสดี äöü 中文") == "สวัสดี äöü 中文"


def test_a_code_span_stays_closed_and_in_its_cell():
    assert code(EVIL).count("`") == 2
    assert not set("|<>\n") & set(code(EVIL))
    assert code("  ") == "–"
