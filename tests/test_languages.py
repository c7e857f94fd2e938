from __future__ import annotations

import re
from pathlib import Path

import pytest

from adapter_transfer.errors import ConfigError
from adapter_transfer.languages import LANGUAGE_SETS, LANGUAGES, expand_languages


def test_sets_have_the_sizes_that_are_reported() -> None:
    assert len(LANGUAGE_SETS["xcopa"]) == 11
    assert len(LANGUAGE_SETS["xcopa-seen"]) == 9
    assert LANGUAGE_SETS["xcopa-unseen"] == ("ht", "qu")
    assert LANGUAGE_SETS["sandbox"] == ("qa", "qb", "qc")
    assert "en" not in LANGUAGE_SETS["xcopa"], "English is where training happens, not a zero-shot language"


def test_xcopa_is_what_was_published(shared_data: Path) -> None:
    published = {path.name for path in (shared_data / "xcopa" / "data").iterdir()}
    assert set(LANGUAGE_SETS["xcopa"]) == published


@pytest.mark.parametrize("code", list(LANGUAGES))
def test_declarations_are_complete(code: str) -> None:
    language = LANGUAGES[code]
    assert language.code == code
    assert re.fullmatch("[a-z]{2}", code)
    assert re.fullmatch("[A-Z][a-z]{3}", language.script)
    assert language.name
    assert language.family
    assert language.sandbox == ("qa" <= code <= "qt"), "qaa to qtz are ISO 639's codes for private use"


def test_names_of_sets_never_hide_a_language() -> None:
    assert not set(LANGUAGE_SETS) & set(LANGUAGES)


def test_expanding_keeps_the_order_and_drops_repetitions() -> None:
    assert expand_languages(["qc", "en", "sandbox", "en"]) == ("qc", "en", "qa", "qb")
    assert expand_languages([]) == ()


def test_every_unknown_name_is_reported_with_its_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        expand_languages(["en", "xcopa-sen", "xx"])
    first, second = caught.value.problems
    assert first.startswith("unknown language 'xcopa-sen'. Did you mean 'xcopa-seen'? Known: en, et,")
    assert second.startswith("unknown language 'xx'. Known:")
