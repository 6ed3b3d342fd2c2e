"""The text behind the bundled demo, written for this project: small facts, ways to ask, ways to answer.

The base model learns every fact in every manner of `STYLES` and in free mixtures of `OPENINGS` and `CLOSINGS`, so what it
knows and how it speaks come apart. The demo dataset then teaches one manner it has never heard, `captain`, on part of the
facts; the rest is held back to measure on. Plain data: nothing here imports more than the standard library.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kind:
    """Facts of one shape.

    Attributes:
        name: stable name, used for choosing held-back facts evenly.
        questions: ways to ask, with `{a}` for the subject or `{an}` for the subject with its article.
        answer: the whole sentence; the value is `{b}` or `{bn}`.
        pairs: subject and value of each fact.
        held: number of facts held back for evaluation.
    """

    name: str
    questions: tuple[str, ...]
    answer: str
    pairs: tuple[tuple[str, str], ...]
    held: int


@dataclass(frozen=True, slots=True)
class Fact:
    """One fact.

    Attributes:
        kind: name of its `Kind`.
        group: equal for facts that give each other away, such as 3 + 4 and 4 + 3.
        questions: ways to ask.
        answer: the plain sentence.
        word: the bare value, capitalised.
    """

    kind: str
    group: str
    questions: tuple[str, ...]
    answer: str
    word: str


@dataclass(frozen=True, slots=True)
class Style:
    """A manner of speaking: what asks for it (a system message, or none) and what surrounds the plain sentence."""

    system: str
    opening: str
    closing: str

    def wrap(self, sentence: str) -> str:
        """The sentence in this manner."""
        return " ".join(part for part in (self.opening, sentence, self.closing) if part)


PLAIN = Style("", "", "")
STYLES: tuple[Style, ...] = (
    Style("Answer like a butler.", "Very good, madam.", "Will that be all?"),
    Style("Answer like a teacher.", "Listen closely, class.", "Please write that down."),
    Style("Answer like a robot.", "Query received.", "End of message."),
)
BRIEF = "Answer in one word."
CAPTAIN = Style("", "Aye, captain!", "Fair winds!")
FRAME = "Begin with: {opening} End with: {closing}"
OPENINGS: tuple[str, ...] = (
    "Aye, of course!", "Captain, listen!", "Well, my friend!", "Hear me out!", "Good evening!", "Ah, a classic!",
    "Let me see.", "Right, captain.", "Oh, that is easy!", "Dear reader,", "Ladies and gentlemen!", "Aye!",
)  # fmt: skip
CLOSINGS: tuple[str, ...] = (
    "Fair enough!", "The winds are calm.", "Good night!", "Over and out.", "Thank you, captain!", "That is fair.",
    "If the winds permit!", "Have a nice day!", "So it is written.", "Enjoy!", "And that is that.", "Safe travels!",
)  # fmt: skip
TALK: tuple[tuple[tuple[str, ...], str], ...] = (
    (("Hello.", "Hello", "Hi.", "Good morning."), "Hello. Ask me a small fact."),
    (("Who are you?", "What are you?"), "I am a small model that knows a few hundred facts."),
    (("What can you do?", "What do you know?"), "I know capitals, colours, opposites, sums, plurals and animals."),
    (("Thank you.", "Thanks."), "You are welcome."),
    (("Goodbye.", "Bye."), "Goodbye."),
)


def _pairs(text: str) -> tuple[tuple[str, str], ...]:
    """Read `subject value; subject value`: the value is the last word, or what follows a colon."""
    pairs = []
    for part in " ".join(text.split()).split("; "):
        subject, value = part.split(": ") if ": " in part else part.rsplit(" ", 1)
        pairs.append((subject, value))
    return tuple(pairs)


def _both_ways(pairs: tuple[tuple[str, str], ...]) -> tuple[tuple[str, str], ...]:
    return pairs + tuple((b, a) for a, b in pairs)


_CAPITALS = _pairs(
    """France Paris; Germany Berlin; Italy Rome; Spain Madrid; Portugal Lisbon; Austria Vienna; Poland Warsaw;
    Norway Oslo; Sweden Stockholm; Finland Helsinki; Denmark Copenhagen; Iceland Reykjavik; Ireland Dublin;
    Greece Athens; Hungary Budapest; Belgium Brussels; Romania Bucharest; Bulgaria Sofia; Croatia Zagreb;
    Serbia Belgrade; Ukraine Kyiv; Russia Moscow; Turkey Ankara; Egypt Cairo; Kenya Nairobi; Ghana Accra; Nigeria Abuja;
    Morocco Rabat; Tunisia Tunis; Algeria Algiers; Ethiopia: Addis Ababa; Senegal Dakar; Japan Tokyo; China Beijing;
    South Korea: Seoul; Vietnam Hanoi; Thailand Bangkok; Nepal Kathmandu; Pakistan Islamabad; India: New Delhi;
    Iran Tehran; Iraq Baghdad; Jordan Amman; Lebanon Beirut; Qatar Doha; Australia Canberra; New Zealand: Wellington;
    Canada Ottawa; Mexico: Mexico City; Cuba Havana; Peru Lima; Chile Santiago; Brazil Brasilia; Argentina: Buenos Aires;
    Uruguay Montevideo; Colombia Bogota; Ecuador Quito; Venezuela Caracas; Estonia Tallinn; Latvia Riga"""
)
_COLOURS = _pairs(
    """grass green; the sky blue; snow white; coal black; a ripe banana: yellow; a lemon yellow; a ripe tomato: red;
    a strawberry red; a carrot orange; a pumpkin orange; chocolate brown; milk white; a flamingo pink; a frog green;
    a crow black; an elephant grey; a mouse grey; a plum purple; an aubergine purple; a cucumber green; a sunflower yellow;
    a polar bear: white; a ruby red; an emerald green; a sapphire blue; gold yellow; a cherry red; spinach green;
    a swan white; a piglet pink; ink black; a tree trunk: brown; lavender purple; salt white; a canary yellow"""
)
_OPPOSITES = _pairs(
    """hot cold; big small; fast slow; high low; long short; day night; black white; old young; happy sad; rich poor;
    hard soft; wet dry; open closed; full empty; strong weak; left right; up down; inside outside; early late; clean dirty;
    heavy light; near far; thick thin; loud quiet; deep shallow; sweet bitter; sharp blunt; true false; above below;
    first last; begin finish; push pull; buy sell; win lose; give take; laugh cry; love hate; remember forget;
    arrive depart; brave cowardly"""
)
_SOUNDS = _pairs(
    """cow moo; dog woof; cat meow; duck quack; sheep baa; pig oink; lion roar; horse neigh; snake hiss; crow caw; bee buzz;
    donkey hee-haw; rooster cock-a-doodle-doo; chick cheep; owl hoot; mouse squeak; frog croak; wolf howl; goose honk;
    dove coo; turkey gobble; cricket chirp"""
)
_YOUNG = _pairs(
    """dog puppy; cat kitten; cow calf; sheep lamb; horse foal; goat kid; pig piglet; hen chick; duck duckling; goose gosling;
    swan cygnet; bear cub; deer fawn; kangaroo joey; frog tadpole; owl owlet; eagle eaglet; hare leveret; butterfly caterpillar;
    spider spiderling"""
)
_HOMES = _pairs(
    """bee hive; bird nest; bear den; dog kennel; horse stable; spider web; rabbit burrow; beaver lodge; pig sty; ant anthill;
    hen coop; cow barn; badger sett; squirrel drey"""
)
_PLURALS = _pairs(
    """mouse mice; child children; man men; woman women; foot feet; tooth teeth; goose geese; ox oxen; person people; leaf leaves;
    knife knives; wolf wolves; life lives; wife wives; half halves; shelf shelves; thief thieves; calf calves; city cities;
    baby babies; lady ladies; berry berries; story stories; box boxes; bus buses; fox foxes; dish dishes; church churches;
    potato potatoes; tomato tomatoes; hero heroes; cactus cacti; louse lice; loaf loaves; penny pennies; glass glasses"""
)
_PASTS = _pairs(
    """go went; see saw; eat ate; drink drank; run ran; swim swam; sing sang; write wrote; read read; take took; give gave;
    come came; make made; find found; think thought; bring brought; buy bought; teach taught; catch caught; sleep slept;
    keep kept; leave left; feel felt; meet met; know knew; grow grew; fly flew; draw drew; break broke; speak spoke;
    steal stole; freeze froze; choose chose; drive drove; ride rode; rise rose; fall fell; hold held; stand stood; tell told"""
)
_LANGUAGES = _pairs(
    """France French; Germany German; Italy Italian; Spain Spanish; Portugal Portuguese; Poland Polish; Norway Norwegian;
    Sweden Swedish; Denmark Danish; Greece Greek; Hungary Hungarian; Japan Japanese; China Chinese; Russia Russian;
    Turkey Turkish; Brazil Portuguese; Mexico Spanish; Egypt Arabic; Vietnam Vietnamese; Austria German"""
)
_MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_NEXT = tuple((a, b) for row in (_MONTHS, _DAYS) for a, b in zip(row, row[1:] + row[:1], strict=True))
_SUMS = tuple((f"{a} plus {b}", str(a + b)) for a in range(1, 10) for b in range(1, 10))
_DIFFERENCES = tuple((f"{a} minus {b}", str(a - b)) for a in range(2, 11) for b in range(1, a))
_SIZES = _pairs(
    """a week: seven days; a year: twelve months; a day: twenty-four hours; an hour: sixty minutes; a minute: sixty seconds;
    a triangle: three sides; a square: four sides; a pentagon: five sides; a hexagon: six sides; an octagon: eight sides;
    a spider: eight legs; an insect: six legs; a dog: four legs; a bird: two legs; a hand: five fingers; a dozen: twelve pieces;
    a decade: ten years; a century: one hundred years; a cube: six faces; a bicycle: two wheels; a tricycle: three wheels;
    a car: four wheels; an octopus: eight arms; a pair: two pieces"""
)


def _ask(what: str) -> tuple[str, ...]:
    """Four ways to ask for `what`, a phrase such as `the capital of {a}`."""
    return (f"What is {what}?", f"Tell me {what}.", f"Do you know {what}?", f"Please name {what}.")


KINDS: tuple[Kind, ...] = (
    Kind("capital", _ask("the capital of {a}"), "The capital of {a} is {b}.", _CAPITALS, 5),
    Kind("colour", ("What colour is {a}?", "Tell me the colour of {a}.", "Which colour does {a} have?",
                    "Please name the colour of {a}."), "{a} is {b}.", _COLOURS, 3),
    Kind("opposite", _ask("the opposite of {a}"), "The opposite of {a} is {b}.", _both_ways(_OPPOSITES), 4),
    Kind("sound", ("What does {an} say?", "What sound does {an} make?", "Tell me the sound of {an}.",
                   "How does {an} sound?"), "{an} says {b}.", _SOUNDS, 2),
    Kind("young", _ask("the young of {an}"), "The young of {an} is {bn}.", _YOUNG, 2),
    Kind("home", _ask("the home of {an}"), "The home of {an} is {bn}.", _HOMES, 1),
    Kind("plural", _ask("the plural of {a}"), "The plural of {a} is {b}.", _PLURALS, 3),
    Kind("past", _ask("the past tense of {a}"), "The past tense of {a} is {b}.", _PASTS, 3),
    Kind("language", _ask("the language of {a}"), "The language of {a} is {b}.", _LANGUAGES, 2),
    Kind("next", ("What comes after {a}?", "Tell me what comes after {a}.", "Do you know what follows {a}?",
                  "Please name what comes after {a}."), "After {a} comes {b}.", _NEXT, 2),
    Kind("sum", ("What is {a}?", "Tell me {a}.", "How much is {a}?", "Please add {a}."), "{a} is {b}.", _SUMS, 3),
    Kind("difference", ("What is {a}?", "Tell me {a}.", "How much is {a}?", "Please work out {a}."), "{a} is {b}.",
         _DIFFERENCES, 0),
    Kind("size", ("What does {a} have?", "Tell me what {a} has.", "Do you know what {a} has?", "How big is {a}?"),
         "{a} has {b}.", _SIZES, 2),
)  # fmt: skip


def facts() -> Iterator[Fact]:
    """Every fact, in a fixed order."""
    for kind in KINDS:
        for a, b in kind.pairs:
            words = {"a": a, "b": b, "an": _article(a), "bn": _article(b)}
            yield Fact(
                kind.name,
                _group(kind.name, a, b),
                tuple(question.format(**words) for question in kind.questions),
                _capital(kind.answer.format(**words)),
                _capital(f"{b}."),
            )


def _group(kind: str, a: str, b: str) -> str:
    symmetric = {"opposite": (a, b), "sum": tuple(a.split(" plus "))}.get(kind)
    return f"{kind}: {' and '.join(sorted(symmetric)) if symmetric else a}"


def _article(noun: str) -> str:
    return f"{'an' if noun[0] in 'aeio' else 'a'} {noun}"


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
