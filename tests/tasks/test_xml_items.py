"""XML of items: lines, blanks, and nothing that is read from outside the file."""

from __future__ import annotations

import pytest
from published_data import copa_xml, xml_items

from adapter_transfer.errors import DataError
from adapter_transfer.tasks.schema import PlacedRow, RowProblem
from adapter_transfer.tasks.xml_items import read_xml_items


def read(tmp_path, content):
    path = tmp_path / "items.xml"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return list(read_xml_items(path, "items"))


def test_attributes_and_elements_are_columns_placed_at_the_item(tmp_path):
    content = '<c>\r\n<item id="7"><p> a  b\n</p>\n<a1>&lt;&#x5d0;&quot;\u200f</a1></item>\r\n\r\n<item id="8"/>\n</c>'
    assert read(tmp_path, content) == [
        PlacedRow({"id": "7", "p": "a  b", "a1": '<א"\u200f'}, "items:2"),
        PlacedRow({"id": "8"}, "items:6"),
    ]


def test_a_file_larger_than_a_chunk_is_read_whole(tmp_path):
    items = {1000 + number: row for number in range(100) for row in xml_items(501).values()}
    found = read(tmp_path, copa_xml({**items, **xml_items(1)} | {n: xml_items(1)[1] for n in range(2000, 3000)}))
    assert len(found) == 100 + 24 + 1000
    assert [found[0].place, found[-1].place] == ["items:5", f"items:{5 + 6 * 1123}"]


def test_the_named_dtd_is_not_fetched(tmp_path):
    (tmp_path / "copa.dtd").write_text('<!ENTITY dog "cat">')
    (problem,) = read(tmp_path, '<!DOCTYPE c SYSTEM "copa.dtd"><c><item><p>&dog;</p></item></c>')
    assert problem == RowProblem("items:1", "entity &dog; is not defined")
    (outside,) = read(tmp_path, '<!DOCTYPE c SYSTEM "copa.dtd">\n<c>\n&dog;</c>')
    assert outside == RowProblem("items:3", "entity &dog; is not defined")


def test_a_dtd_supplies_no_values(tmp_path):
    declared = '<!ATTLIST item label CDATA "2" id CDATA #IMPLIED><!ATTLIST p lang CDATA "en">'
    content = f'<!DOCTYPE c [{declared}]>\n<c><item id="1"><p>a</p></item><item id="2" label="1"/></c>'
    assert [each.row for each in read(tmp_path, content)] == [{"id": "1", "p": "a"}, {"id": "2", "label": "1"}]


def test_parameter_entities_are_not_read(tmp_path):
    """Nor is what is declared after one, because it may depend on it: such an entity is not defined."""
    content = '<!DOCTYPE c SYSTEM "copa.dtd" [\n%p;\n<!ENTITY dog "cat">]>\n<c><item><p>&dog;</p></item></c>'
    assert read(tmp_path, content) == [RowProblem("items:4", "entity &dog; is not defined")]


@pytest.mark.parametrize(
    "declared",
    [
        '<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;"><!ENTITY c "&b;&b;&b;&b;&b;&b;">',
        '<!ENTITY c SYSTEM "file:///etc/hostname">',
        '<!ENTITY % p SYSTEM "http://127.0.0.1:1/x"> %p;',
        """<!ENTITY % p "<!ENTITY c 'a'>"> %p;""",
    ],
)
def test_entities_of_its_own_are_refused(tmp_path, declared):
    content = f"<!DOCTYPE x [\n{declared}]>\n<x><item><p>&c;</p></item></x>"
    assert read(tmp_path, content) == [
        RowProblem("items:2", "declares an entity, which is not allowed", ends_file=True)
    ]


def test_items_before_a_break_are_still_given(tmp_path):
    first, broken = read(tmp_path, "<c><item><p>a</p></item>\n<item><p>b</q></item></c>")
    assert first.row == {"p": "a"}
    assert broken == RowProblem("items:2", "not XML (mismatched tag, column 13)", ends_file=True)
    (empty,) = read(tmp_path, b"")
    assert empty.message.startswith("not XML (no element found")


def test_a_file_that_cannot_be_opened(tmp_path):
    with pytest.raises(DataError, match=r"^items: no such file$"):
        list(read_xml_items(tmp_path / "missing.xml", "items"))
    with pytest.raises(DataError, match=r"^items: cannot be read \(Is a directory\)$"):
        list(read_xml_items(tmp_path, "items"))
