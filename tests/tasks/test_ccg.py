"""CCG: the user's own files, tags that the training data tells, and what is said where there are no files."""

from __future__ import annotations

import pytest
from planted import problems_of
from published_questions import ccg_lines

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.catalog import TASKS
from adapter_transfer.tasks.task import load_examples

TASK = TASKS["ccg"]
FILE = "ccg/train.tsv"


def test_a_sentence_is_one_text_with_a_tag_a_word(data_dir):
    loaded = load_examples(TASK, "train", "en", data_dir=data_dir)
    example = loaded.examples[2]
    assert example.rows == (("Zoë 2 sells tea", None),)
    assert (example.id, example.label) == ("2", ("N", "N/N", "(S[dcl]\\NP)/NP", "N"))
    assert loaded.premises[2] == "Zoë 2 sells tea"
    assert TASK.format.labels_in(loaded.examples) == ("(S[dcl]\\NP)/NP", "N", "N/N")


@pytest.mark.parametrize(
    ("line", "by", "message"),
    [
        (b"sells\t(S[dcl]\\NP)/NP", b"sells", "1 field; expected a word and its tag, a tab between them"),
        (b"sells\t(S[dcl]\\NP)/NP", b"sells\tVBZ\t(S[dcl]\\NP)/NP", "3 fields; expected a word and its tag"),
        (b"sells\t", b"se\xef\xbf\xbdls\t", "column 'words' (value 3) holds U+FFFD"),
        (b"sells\t", b"\xe2\x80\x8b\t", "column 'words' (value 3) is blank"),
    ],
)
def test_planted_faults_are_found_at_their_place(line, by, message, data_dir):
    sentences = ccg_lines(24).split(b"\n\n")
    for index in (0, 11, 23):
        planted = [*sentences]
        planted[index] = planted[index].replace(line, by)
        assert planted != sentences
        (data_dir / FILE).write_bytes(b"\n\n".join(planted))
        (problem,) = problems_of("ccg", "train", data_dir)
        # What a column tells is placed at the sentence, what a line tells at the line.
        expected = 5 * index + (1 if "column" in message else 3)
        assert problem.place == f"{FILE}:{expected}"
        assert problem.message.startswith(message)


def test_words_and_tags_of_different_length_are_told_whatever_reads_them():
    from adapter_transfer.tasks.formats import Example

    assert TASK.format.problems(Example("1", (("a b", None),), ("N",))) == ["2 words, but 1 tags"]


def test_where_there_are_no_files_it_is_said_why_and_what_they_look_like(tmp_path):
    for data_dir in (tmp_path, None):
        with pytest.raises(DataError, match=r"LDC2005T13.*ccg/train\.tsv and ccg/dev\.tsv.* a word, a tab") as caught:
            load_examples(TASK, "train", "en", data_dir=data_dir)
        assert ".." not in str(caught.value)
    with pytest.raises(DataError, match="LDC2005T13"):
        TASK.hub_datasets("validation", "en", "dev")
    assert "own files" in TASK.summary
    assert "LDC" in TASK.licence
