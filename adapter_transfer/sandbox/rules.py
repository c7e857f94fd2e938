"""What holds in the micro-world, as data: who there is, what there is, and which event causes which.

A rule is `(cause, effect)`, written with two slots: X, the acting person, and O, a noun of the rule's class. A cause is
always "X <verb> O"; an effect is subject, verb and perhaps an object. Rules stand in twos whose effects exclude each
other (what overflowed has not dried), which is where contradictions come from.

Every event names its slots through a verb that no other event has, so the verbs alone carry the causal knowledge; the
entities are shared by the right choice and the wrong one.
"""

from __future__ import annotations

#: Written alike in every language, as names often are.
NAMES = ("Anna", "Boris", "Clara", "David", "Elena", "Felix", "Greta", "Hugo", "Irina", "Jonas", "Klara", "Leo")

_NOUNS = {
    "vessel": "cup bottle bucket jar bowl kettle barrel jug basin pot flask mug glass tank",
    "food": "bread soup cake apple cheese rice stew pie fish meat egg potato carrot bean",
    "animal": "dog cat horse cow goat sheep bird rabbit pig donkey duck goose mouse fox",
    "plant": "rose tree bush vine tulip lily oak fern herb shrub cactus pine palm orchid",
    "machine": "engine radio clock lamp pump printer drill fan motor computer camera phone heater robot",
    "vehicle": "car bus boat train truck bicycle ship van tractor wagon plane taxi sledge canoe",
    "person": "teacher doctor child baker nurse farmer guest soldier singer clerk pilot uncle judge poet",
    "work": "letter poem report song story note play map essay speech film novel sketch dance",
}
NOUNS: dict[str, tuple[str, ...]] = {noun_class: tuple(nouns.split()) for noun_class, nouns in _NOUNS.items()}

#: Class -> (verb of the cause, effect). Lines 1 and 2, 3 and 4, 5 and 6 of a class exclude each other.
RULES: dict[str, tuple[tuple[str, str], ...]] = {
    "vessel": (
        ("filled", "O overflowed"),
        ("drained", "O dried"),
        ("boiled", "O steamed"),
        ("chilled", "O froze"),
        ("dropped", "O shattered"),
        ("wrapped", "O survived"),
    ),
    "food": (
        ("charred", "X discarded O"),
        ("seasoned", "X devoured O"),
        ("forgot", "O spoiled"),
        ("salted", "O lasted"),
        ("simmered", "O softened"),
        ("toasted", "O hardened"),
    ),
    "animal": (
        ("fed", "O grew"),
        ("starved", "O weakened"),
        ("stroked", "O trusted X"),
        ("kicked", "O bit X"),
        ("released", "O escaped"),
        ("tied", "O stayed"),
    ),
    "plant": (
        ("watered", "O bloomed"),
        ("neglected", "O withered"),
        ("planted", "O sprouted"),
        ("uprooted", "O died"),
        ("pruned", "X gained fruit"),
        ("poisoned", "X lost fruit"),
    ),
    "machine": (
        ("charged", "O started"),
        ("unplugged", "O stopped"),
        ("oiled", "O hummed"),
        ("jammed", "O squeaked"),
        ("repaired", "X earned money"),
        ("smashed", "X owed money"),
    ),
    "vehicle": (
        ("steered", "O turned"),
        ("parked", "O waited"),
        ("overloaded", "O slowed"),
        ("emptied", "O accelerated"),
        ("polished", "O gleamed"),
        ("scratched", "O rusted"),
    ),
    "person": (
        ("praised", "O smiled"),
        ("insulted", "O cried"),
        ("helped", "O thanked X"),
        ("robbed", "O chased X"),
        ("woke", "O yawned"),
        ("lulled", "O slept"),
    ),
    "work": (
        ("published", "X won praise"),
        ("copied", "X faced blame"),
        ("finished", "X rested"),
        ("abandoned", "X regretted O"),
        ("translated", "O spread"),
        ("banned", "O vanished"),
    ),
}

#: Words that join two clauses: before a cause ("A because B") and before an effect ("B so A").
CAUSE_CONNECTIVES = ("because", "since")
EFFECT_CONNECTIVES = ("so", "therefore")

#: COPA's questions as the field puts them to XLM-R; English in every language (Ponti et al. 2020 keep them so).
PROMPTS = {"cause": "What was the cause?", "effect": "What happened as a result?"}


def lemmas() -> tuple[str, ...]:
    """Every lemma that the ciphers replace, once, in a fixed order; names and punctuation are not among them."""
    found: dict[str, None] = {}
    for noun_class, nouns in NOUNS.items():
        found.update(dict.fromkeys(nouns))
        for cause_verb, effect in RULES[noun_class]:
            found.update(dict.fromkeys([cause_verb, *(word for word in effect.split() if word not in ("X", "O"))]))
    found.update(dict.fromkeys(CAUSE_CONNECTIVES + EFFECT_CONNECTIVES))
    return tuple(found)
