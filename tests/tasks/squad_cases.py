"""Predictions with golds whose SQuAD scores were worked by hand.

F1 is 2·shared / (predicted + gold), in tokens after normalizing. `V1` and `V2` say whose script counts, that of v1.1 or
that of v2.0; where the two agree a case stands once, under the version whose data it could come from. What cannot be
told apart by eye (combining marks, spaces) is written as an escape.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

V1, V2 = False, True


@dataclass(frozen=True)
class Case:
    """One prediction with its golds and its two scores.

    Attributes:
        why: what the case shows.
    """

    prediction: str
    golds: tuple[str, ...]
    has_unanswerable: bool
    exact_match: int
    f1: Fraction
    why: str


def _case(prediction: str, golds: tuple[str, ...], version: bool, exact_match: int, f1: str, why: str) -> Case:
    return Case(prediction, golds, version, exact_match, Fraction(f1), why)


PLAIN = (
    _case("Denver Broncos", ("Denver Broncos",), V1, 1, "1", "the same text"),
    _case("denver BRONCOS", ("Denver Broncos",), V1, 1, "1", "case does not count"),
    _case("Broncos", ("Denver Broncos",), V1, 0, "2/3", "1 shared, 1 + 2 tokens"),
    _case("Denver Broncos in 2015", ("Denver Broncos",), V1, 0, "2/3", "2 shared, 4 + 2 tokens"),
    _case("Broncos Denver", ("Denver Broncos",), V1, 0, "1", "a bag of words has no order, a text has"),
    _case("Carolina Panthers", ("Denver Broncos",), V1, 0, "0", "nothing shared"),
    _case("  Denver \t\n Broncos ", ("Denver Broncos",), V1, 1, "1", "white space is collapsed"),
    _case("Bronco", ("Broncos",), V1, 0, "0", "part of a token is no token"),
    _case("in the city of Denver", ("city of Denver, Colorado",), V1, 0, "3/4", "in city of denver: 3 of 4 + 4"),
)

ARTICLES = (
    _case("the Denver Broncos", ("Denver Broncos",), V1, 1, "1", "the goes"),
    _case("A cat and an owl", ("the cat and owl",), V1, 1, "1", "a, an and the go, wherever they stand"),
    _case("The", ("the",), V1, 1, "0", "v1.1: nothing equals nothing, but no token is shared"),
    _case("The", ("the",), V2, 1, "1", 'v2.0: the gold is left out and becomes "", and nothing agrees with nothing'),
    _case("grade B", ("A",), V1, 0, "0", "v1.1: the gold A is an article"),
    _case("vitamin A", ("vitamin",), V1, 1, "1", "a letter A is an article too"),
    _case("theory", ("ory",), V1, 0, "0", "the only as a word of its own"),
    _case("Anne", ("Ne",), V1, 0, "0", "an only as a word of its own"),
    _case("one of the the", ("one of",), V1, 1, "1", "twice the"),
    _case("a 2nd", ("2nd",), V1, 1, "1", "a before a number"),
    _case("another an", ("another",), V1, 1, "1", "another stays, an goes"),
    _case("la mer", ("mer",), V1, 0, "2/3", "articles are English: la stays, 1 of 2 + 1"),
)

PUNCTUATION = (
    _case("U.S.A.", ("USA",), V1, 1, "1", "points go without a gap"),
    _case("U. S. A.", ("USA",), V1, 0, "0", "with spaces u and s are tokens, and a is an article"),
    _case("U. S. A.", ("U.S.",), V1, 0, "0", "u, s against us"),
    _case("ten-year", ("ten year",), V1, 0, "0", "a hyphen joins: tenyear against ten, year"),
    _case("ten-year plan", ("ten year plan",), V1, 0, "2/5", "plan alone is shared, 2 + 3 tokens"),
    _case("ten-year", ("tenyear",), V1, 1, "1", "a hyphen leaves nothing"),
    _case("A-level", ("level",), V1, 0, "0", "punctuation goes before articles: alevel"),
    _case("don't", ("dont",), V1, 1, "1", "an ASCII apostrophe goes"),
    _case("Beyoncé's album", ("Beyoncé",), V1, 0, "0", "beyoncés, album against beyoncé"),
    _case("$5.3 million", ("5.3 million",), V1, 1, "1", "$ and the point go on both sides"),
    _case("$5.30", ("530",), V1, 1, "1", "so a price may become another number"),
    _case("1,000", ("1000",), V1, 1, "1", "a comma among digits goes"),
    _case("50%", ("50 percent",), V1, 0, "2/3", "50 against 50, percent"),
    _case("snake_case", ("snakecase",), V1, 1, "1", "_ is punctuation"),
    _case("AC/DC", ("AC DC",), V1, 0, "0", "a slash joins: acdc"),
    _case("C++", ("C",), V1, 1, "1", "+ goes"),
    _case("R&B", ("R & B",), V1, 0, "0", "rb against r, b"),
    _case('"Formation" (2016)', ("Formation 2016",), V1, 1, "1", "quotes and brackets go"),
    _case("<b>~^`|\\{}[]@#*=;:!?</b>", ("bb",), V1, 1, "1", "all the other ASCII punctuation goes"),
    _case("...", ("?!",), V1, 1, "0", "punctuation alone is nothing; v1.1 shares no token"),
    _case("A&E", ("E",), V1, 0, "0", "ae"),
    _case("A & E", ("E",), V1, 1, "1", "here a is a word, and goes"),
)

NOT_ASCII = (
    _case("BEYONCÉ", ("Beyoncé",), V1, 1, "1", "É has a lower case"),
    _case("Beyonce", ("Beyoncé",), V1, 0, "0", "accents count"),
    _case("Beyonce\u0301", ("Beyonc\u00e9",), V1, 0, "0", "nothing is composed: e + U+0301 is not U+00E9"),
    _case("\u00e1 la carte", ("la carte",), V1, 0, "4/5", "U+00E1 is a word of its own: 2 of 3 + 2"),
    _case("a\u0301 la carte", ("la carte",), V1, 0, "4/5", "decomposed, the a goes and U+0301 stays: 2 of 3 + 2"),
    _case("a\u0301", ("\u0301",), V1, 1, "1", "a combining mark ends the word a"),
    _case("STRASSE", ("Straße",), V1, 0, "0", "lower-cased, not case-folded: ß is not ss"),
    _case("ΟΔΟΣ", ("οδος",), V1, 1, "1", "Σ at the end of a word becomes ς"),
    _case("İzmir", ("izmir",), V1, 0, "0", "İ becomes i + U+0307"),
    _case("10\u00a0km", ("10 km",), V1, 1, "1", "a non-breaking space parts tokens"),
    _case("10\u3000km", ("10 km",), V1, 1, "1", "an ideographic space parts tokens"),
    _case("10\u200bkm", ("10 km",), V1, 0, "0", "a zero-width space does not"),
    _case("the\u00a0cat", ("cat",), V1, 1, "1", "an article before a non-breaking space"),
    _case("“Formation”", ("Formation",), V1, 0, "0", "curly quotes are not ASCII and stay"),
    _case("“the end”", ("“ end”",), V1, 1, "1", "a curly quote ends a word, so the goes"),
    _case("rock—a—roll", ("rock— —roll",), V1, 1, "1", "unlike punctuation, an article leaves a gap"),
    _case("don’t", ("don't",), V1, 0, "0", "a curly apostrophe stays, an ASCII one goes"),
    _case("1914–1918", ("19141918",), V1, 0, "0", "an en dash stays, …"),
    _case("1914-1918", ("19141918",), V1, 1, "1", "… a hyphen goes"),
    _case("€5 million", ("5 million",), V1, 0, "1/2", "the euro sign stays: 1 of 2 + 2"),
    _case("¿Qué?", ("Qué",), V1, 0, "0", "? goes, ¿ stays"),
    _case("北京大学", ("北京",), V1, 0, "0", "Chinese has no spaces: one token against another"),
    _case("北京 大学", ("北京",), V1, 0, "2/3", "with a space two tokens"),
    _case("北京。", ("北京",), V1, 0, "0", "a full-width full stop stays"),
    _case("（北京）", ("(北京)",), V1, 0, "0", "full-width brackets stay, ASCII ones go"),
    _case("the北京", ("北京",), V1, 0, "0", "the next to a letter of any script is no word of its own"),
    _case("Ａ", ("A",), V1, 0, "0", "a full-width A is no article: ａ against nothing"),
    _case("กรุงเทพมหานคร", ("กรุงเทพ",), V1, 0, "0", "Thai has no spaces either"),
    _case("กรุงเทพ (Bangkok)", ("กรุงเทพ",), V1, 0, "2/3", "brackets go, the token stays"),
    _case("القاهرة، مصر", ("القاهرة مصر",), V1, 0, "1/2", "the Arabic comma stays: 1 of 2 + 2"),
    _case("القاهرة, مصر", ("القاهرة مصر",), V1, 1, "1", "an ASCII comma goes"),
    _case("مَدينة", ("مدينة",), V1, 0, "0", "a vowel mark counts"),
    _case("दिल्ली का किला", ("दिल्ली",), V1, 0, "1/2", "1 of 3 + 1; vowel signs part nothing"),
    _case("٣٠ يوما", ("30 يوما",), V1, 0, "1/2", "Arabic digits are not ASCII's: 1 of 2 + 2"),
)

SEVERAL_GOLDS = (
    _case("Santa Clara", ("Levi's Stadium", "Santa Clara", "California"), V1, 1, "1", "the best of them"),
    _case("Clara", ("Santa Clara", "Santa Clara, California"), V1, 0, "2/3", "2/3 and 1/2"),
    _case("Santa Clara", ("Clara Santa", "Santa"), V1, 0, "1", "F1 1 without an exact match"),
    _case("New York", ("New", "York City", "New York City"), V1, 0, "4/5", "2/3, 1/2 and 4/5"),
    _case("one", ("two", "three"), V1, 0, "0", "none of them"),
    _case("gold", ("gold", "gold", "gold"), V1, 1, "1", "the same thrice"),
    _case("the", ("A", "grade A"), V1, 1, "0", "v1.1: A stays a gold, and nothing equals nothing"),
    _case("the", ("A", "grade A"), V2, 0, "0", "v2.0: A is left out; the equals grade in nothing"),
    _case("grade", ("A", "grade A"), V2, 1, "1", "v2.0: of the golds left, grade"),
    _case("", ("A", "grade A"), V2, 0, "0", "v2.0: a gold is left, so nothing is wrong"),
)

REPEATED_TOKENS = (
    _case("no no no", ("no",), V1, 0, "1/2", "1 of 3 + 1: a multiset"),
    _case("no", ("no no no",), V1, 0, "1/2", "1 of 1 + 3"),
    _case("no no", ("no no no",), V1, 0, "4/5", "2 of 2 + 3"),
    _case("to be or not to be", ("to be",), V1, 0, "1/2", "2 of 6 + 2"),
    _case("be be to", ("to to be",), V1, 0, "2/3", "to once and be once: 2 of 3 + 3"),
    _case("New York New York", ("New York, New York",), V1, 1, "1", "all four"),
)

NO_ANSWER = (
    _case("", (), V2, 1, "1", "no answer, and none given"),
    _case("Denver", (), V2, 0, "0", "no answer, but one given"),
    _case("", ("Denver",), V2, 0, "0", "an answer, but none given"),
    _case("Denver", ("Denver",), V2, 1, "1", "an answer, and it is given"),
    _case("Denver city", ("Denver",), V2, 0, "2/3", "an answer, and a token too many: 1 of 2 + 1"),
    _case("the", (), V2, 1, "1", "what normalizes to nothing is no answer"),
    _case(" . ", (), V2, 1, "1", "so are white space and punctuation"),
    _case("the", ("Denver",), V2, 0, "0", "nothing against an answer"),
    _case("", ("",), V2, 1, "1", "an empty gold is none"),
    _case("Denver", ("",), V2, 0, "0", "an empty gold, but an answer given"),
    _case("Denver", ("", "Denver"), V2, 1, "1", "an empty gold beside another is left out"),
    _case("", ("", "Denver"), V2, 0, "0", "and does not make the question unanswerable"),
    _case("A", ("A",), V2, 1, "1", "v2.0: the answer A counts as no answer"),
    _case("", ("A",), V2, 1, "1", "v2.0: so that giving none is right"),
    _case("B", ("A",), V2, 0, "0", "v2.0: and giving another is wrong"),
    _case("。", (), V2, 0, "0", "a full-width full stop is an answer"),
)

EMPTY_IN_V1 = (
    _case("", ("Denver",), V1, 0, "0", "v1.1: nothing against an answer"),
    _case("", ("A",), V1, 1, "0", "v1.1: nothing equals the article, and shares no token with it"),
    _case("", ("",), V1, 1, "0", "v1.1: nothing equals nothing"),
    _case("Denver", ("",), V1, 0, "0", "v1.1: an answer against nothing"),
    _case("", ("", "Denver"), V1, 1, "0", "v1.1: an empty gold stays"),
    _case("Denver", ("", "Denver"), V1, 1, "1", "v1.1: the best of them"),
    _case("A", ("A",), V1, 1, "0", "v1.1: the right answer A has exact match 1 and F1 0"),
)

CASES = (
    *PLAIN,
    *ARTICLES,
    *PUNCTUATION,
    *NOT_ASCII,
    *SEVERAL_GOLDS,
    *REPEATED_TOKENS,
    *NO_ANSWER,
    *EMPTY_IN_V1,
)
