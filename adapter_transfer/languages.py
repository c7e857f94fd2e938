"""The languages that are evaluated, and the sets of them that have a name.

Owns what is known of a language apart from any data. Which files hold it is said by the tasks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from adapter_transfer.errors import ConfigError
from adapter_transfer.registry import Registry, unknown_name_message


@dataclass(frozen=True)
class Language:
    """A language as the field describes it.

    Attributes:
        code: how configurations, data and results name it (ISO 639-1; private-use `qa`… for the sandbox's).
        name: its English name.
        script: ISO 15924 code of the script it is written in here.
        family: the family that XCOPA's Table 2 gives.
        in_xlmr_pretraining: whether CC-100, which XLM-R was pretrained on, holds it.
        sandbox: whether it was made up for the sandbox.
    """

    code: str
    name: str
    script: str
    family: str
    in_xlmr_pretraining: bool = True
    sandbox: bool = False


LANGUAGES: Registry[Language] = Registry(
    "language",
    [
        Language("en", "English", "Latn", "Indo-European"),
        # XCOPA: Ponti et al. 2020, Table 2. CC-100: Conneau et al. 2020, appendix A; it has neither ht nor qu.
        Language("et", "Estonian", "Latn", "Uralic"),
        Language("ht", "Haitian Creole", "Latn", "Creole", in_xlmr_pretraining=False),
        Language("id", "Indonesian", "Latn", "Austronesian"),
        Language("it", "Italian", "Latn", "Indo-European"),
        Language("qu", "Eastern Apurímac Quechua", "Latn", "Quechuan", in_xlmr_pretraining=False),
        Language("sw", "Swahili", "Latn", "Niger-Congo"),
        Language("ta", "Tamil", "Taml", "Dravidian"),
        Language("th", "Thai", "Thai", "Kra-Dai"),
        Language("tr", "Turkish", "Latn", "Turkic"),
        Language("vi", "Vietnamese", "Latn", "Austroasiatic"),
        Language("zh", "Mandarin Chinese", "Hans", "Sino-Tibetan"),
        # English under a cipher; XLM-R has never seen them, the sandbox's own backbones have.
        Language("qa", "Sandbox A", "Latn", "English cipher", in_xlmr_pretraining=False, sandbox=True),
        Language("qb", "Sandbox B", "Cyrl", "English cipher", in_xlmr_pretraining=False, sandbox=True),
        Language("qc", "Sandbox C", "Grek", "English cipher", in_xlmr_pretraining=False, sandbox=True),
    ],
    key=lambda language: language.code,
)

_XCOPA = ("et", "ht", "id", "it", "qu", "sw", "ta", "th", "tr", "vi", "zh")

LANGUAGE_SETS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "xcopa": _XCOPA,
        "xcopa-seen": tuple(code for code in _XCOPA if LANGUAGES[code].in_xlmr_pretraining),
        "xcopa-unseen": tuple(code for code in _XCOPA if not LANGUAGES[code].in_xlmr_pretraining),
        "sandbox": tuple(code for code, language in LANGUAGES.items() if language.sandbox),
    }
)
"""Name → codes. The sets over which averages are reported, and short forms in a configuration."""


def expand_languages(names: Sequence[str]) -> tuple[str, ...]:
    """The codes that `names` mean: codes and names of sets, in the order given, each language once.

    Raises:
        ConfigError: with every name that is neither a code nor a set.
    """
    choices = (*LANGUAGES, *LANGUAGE_SETS)
    unknown = [name for name in names if name not in choices]
    if unknown:
        raise ConfigError(unknown_name_message("language", name, choices) for name in unknown)
    return tuple(dict.fromkeys(code for name in names for code in LANGUAGE_SETS.get(name, (name,))))
