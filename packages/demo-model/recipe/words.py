"""Reading a question back from its words alone, by brute force.

It shares no code with the makers of questions but the lists of nouns.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable

from .kinds import COLOUR_NAMES
from .tasks import Question
from .tasks.question import plural
from .tasks.view import ALIKE, NOUNS
from .world import SIZE_NAMES, Scene, Thing

_FORMS = {form: noun for noun in NOUNS for form in (noun, plural(noun))}
_NOUN = "|".join(sorted(map(re.escape, _FORMS), key=len, reverse=True))
NP = re.compile(
    rf'(?<!\w)(?:({"|".join(SIZE_NAMES)}) )?(?:({"|".join(COLOUR_NAMES)}) )?(word "\w+"|{_NOUN})(?!\w)'
)
BOX = re.compile(r"\[([0-9., ]+)\]")
ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth")
AXES = {"left": (0, 1), "right": (0, -1), "top": (1, 1), "bottom": (1, -1)}
ENDS = {"leftmost": "left", "rightmost": "right", "topmost": "top", "lowest": "bottom"}
RELATIONS = {
    **dict.fromkeys(("to the left of", "on the left of", "left of"), "left"),
    **dict.fromkeys(("to the right of", "on the right of", "right of"), "right"),
    **dict.fromkeys(("above", "higher than"), "top"),
    **dict.fromkeys(("below", "under", "lower than"), "bottom"),
}
RELATION = re.compile(rf"(?<!\w)({'|'.join(sorted(RELATIONS, key=len, reverse=True))}) the ")


class Wrong(Exception):
    """A question that its words do not decide, or decide otherwise."""


def centre(t: Thing) -> tuple[float, float]:
    return (t.box[0] + t.box[2]) / 2, (t.box[1] + t.box[3]) / 2


def members(scene: Scene, size: str | None, colour: str | None, noun: str) -> list[int]:
    """The things that a noun phrase means; Wrong where somebody could count another one in or out."""
    out = []
    quoted = re.fullmatch(r'word "(\w+)"', noun)
    kinds = {"word"} if quoted else NOUNS[_FORMS[noun]]
    for i, t in enumerate(scene.things):
        doubtful = not quoted and t.kind in ALIKE.get(_FORMS[noun], ())
        if t.kind not in kinds and not doubtful:
            continue
        if quoted and str(t.text).lower() != quoted[1]:
            continue
        if size and t.size != size:
            continue
        if colour and t.colour is None:
            raise Wrong(f"a {t.kind} of natural colours may be {colour}")
        if colour and t.colour != colour:
            continue
        if doubtful:
            raise Wrong(f"a {t.kind} may be a {noun}")
        out.append(i)
    return out


def named(scene: Scene, text: str) -> list[int]:
    found = NP.fullmatch(text)
    if not found:
        raise Wrong(f'no noun phrase: "{text}"')
    return members(scene, found[1], found[2], found[3])


def beyond(scene: Scene, a: int, side: str, b: int) -> bool | None:
    """Whether a is further to that side than b; None where the difference is small."""
    axis, sign = AXES[side]
    difference = (centre(scene.things[b])[axis] - centre(scene.things[a])[axis]) * sign
    return None if abs(difference) < 0.044 else difference > 0


def along(scene: Scene, of: list[int], side: str) -> list[int]:
    for a in of:
        for b in of:
            if a != b and beyond(scene, a, side, b) is None:
                raise Wrong("an order too close to say")
    return [
        next(a for a in of if sum(bool(beyond(scene, b, side, a)) for b in of) == place)
        for place in range(len(of))
    ]


def extreme(scene: Scene, of: list[int], largest: bool) -> list[int]:
    areas = {i: scene.things[i].area for i in of}
    best = (max if largest else min)(areas, key=lambda i: areas[i])
    for i in of:
        if i != best and max(areas[i], areas[best]) < 1.35 * min(areas[i], areas[best]):
            raise Wrong("sizes too close to say")
    return [best]


def resolve(scene: Scene, text: str) -> list[int]:
    """The things that a phrase without its article means."""
    found = RELATION.search(text)
    if found:
        anchor = one(resolve(scene, text[found.end() :]))
        out = []
        for i in resolve(scene, text[: found.start()].strip()):
            truth = beyond(scene, i, RELATIONS[found[1]], anchor) if i != anchor else False
            if truth is None:
                raise Wrong("a place too close to say")
            out += [i] if truth else []
        return out
    if found := re.fullmatch(rf"({'|'.join(ORDINALS)}) (.+) from the (\w+)", text):
        of, place = named(scene, found[2]), ORDINALS.index(found[1])
        return along(scene, of, found[3])[place : place + 1] if place < len(of) else []
    if found := re.fullmatch(r"(.+) (?:on|at) the (left|right|top|bottom)", text):
        return along(scene, named(scene, found[1]), found[2])[:1]
    if found := re.fullmatch(r"(leftmost|rightmost|topmost|lowest|left|right|top|bottom) (.+)", text):
        return along(scene, named(scene, found[2]), ENDS.get(found[1], found[1]))[:1]
    if found := re.fullmatch(r"(largest|biggest|smallest) (.+)", text):
        return extreme(scene, named(scene, found[2]), found[1] != "smallest")
    return named(scene, text)


def one(found: list[int]) -> int:
    if len(found) != 1:
        raise Wrong(f"{len(found)} things are meant, not one")
    return found[0]


def phrases(text: str) -> list[str]:
    return [m[0] for m in NP.finditer(text)]


def without_article(answer: str) -> str:
    return re.sub(r"^(a|an|the) ", "", answer)


# --- one reader a family of tasks; each gives the answer that the words call for --------------------------------


def read_count(scene: Scene, text: str, q: Question) -> str:
    return str(len(named(scene, phrases(text)[-1])))


def read_presence(scene: Scene, text: str, q: Question) -> str:
    if text.startswith("do you see the "):
        return "Yes" if resolve(scene, text.removeprefix("do you see the ")) else "No"
    return "Yes" if named(scene, phrases(text)[-1]) else "No"


def read_attribute(scene: Scene, text: str, q: Question) -> str:
    attribute = "colour" if q.task == "colour" or re.search(rf"({'|'.join(COLOUR_NAMES)})$", text) else "size"
    if box := BOX.search(text):
        return str(getattr(scene.things[at_box(scene, box[1])], attribute))
    if q.task == "attribute_yes_no":
        subject, asked = re.fullmatch(r"is the (.+) (\w+)", text).groups()
        return "Yes" if getattr(scene.things[one(named(scene, subject))], attribute) == asked else "No"
    text = re.sub(rf" (({'|'.join((*COLOUR_NAMES, *SIZE_NAMES))})(, | or )?)+$", "", text)
    return str(getattr(scene.things[one(named(scene, phrases(text)[0]))], attribute))


def at_box(scene: Scene, text: str) -> int:
    box = [float(v) for v in text.split(",")]
    gaps = [max(abs(a - b) for a, b in zip(box, t.box)) for t in scene.things]
    order = sorted(range(len(gaps)), key=lambda i: gaps[i])
    if gaps[order[0]] > 0.04 or (
        len(order) > 1 and gaps[order[1]] < 2 * gaps[order[0]] and gaps[order[1]] < 0.04
    ):
        raise Wrong("a box that means no thing, or two")
    return order[0]


def read_kind(scene: Scene, text: str, q: Question) -> str:
    if box := BOX.search(text):
        return scene.things[at_box(scene, box[1])].kind
    if q.task == "relation_what":
        found = RELATION.search(text)
        anchor = one(named(scene, phrases(text[found.end() :])[0]))
        others = [i for i in range(len(scene.things)) if i != anchor]
        truths = [beyond(scene, i, RELATIONS[found[1]], anchor) for i in others]
        if None in truths or sum(truths) != 1:
            raise Wrong("not one thing there")
        return scene.things[others[truths.index(True)]].kind
    if q.task == "extreme":
        word = re.search(r"(largest|biggest|smallest|leftmost|rightmost|topmost|lowest)", text)[1]
        return scene.things[one(resolve_all(scene, word))].kind
    return scene.things[one(named(scene, phrases(text)[0]))].kind


def resolve_all(scene: Scene, word: str) -> list[int]:
    """Of all things; a written word has a place too, but is no object to compare in size."""
    if word in ENDS:
        return along(scene, list(range(len(scene.things))), ENDS[word])[:1]
    return extreme(scene, [i for i, t in enumerate(scene.things) if t.kind != "word"], word != "smallest")


def read_side(scene: Scene, text: str, q: Question) -> str:
    subject = named(scene, phrases(text)[0])
    x, y = centre(scene.things[one(subject)])
    if "at the top" in text:
        return "at the top" if y < 0.5 else "at the bottom"
    return "on the left" if x < 0.5 else "on the right"


def read_relation(scene: Scene, text: str, q: Question) -> str:
    found = RELATION.search(text)
    a, b = (
        one(named(scene, phrases(text[: found.start()])[-1])),
        one(named(scene, phrases(text[found.end() :])[0])),
    )
    truth = beyond(scene, a, RELATIONS[found[1]], b)
    if truth is None:
        raise Wrong("a place too close to say")
    return "Yes" if truth else "No"


def read_pair(scene: Scene, text: str, q: Question) -> str:
    """Which is larger, or in front, of two."""
    first, second = phrases(text)[-2:]
    a, b = one(named(scene, first)), one(named(scene, second))
    if "front" in text or "behind" in text:
        over = b in scene.things[a].covered_by, a in scene.things[b].covered_by
        if over[0] == over[1]:
            raise Wrong("neither is in front")
        right = over[1] == ("front" in text)
    else:
        extreme(scene, [a, b], True)
        right = (scene.things[a].area > scene.things[b].area) == ("smaller" not in text)
    if q.task.endswith("yes_no"):
        return "Yes" if right else "No"
    return first if right else second


def read_word(scene: Scene, text: str, q: Question) -> str:
    words = [str(t.text).lower() for t in scene.things if t.kind == "word"]
    if said := re.search(r'"(\w+)"', text):
        return "Yes" if said[1] in words else "No"
    if q.task == "reading_yes_no":
        return "Yes" if words else "No"
    return words[0] if words else "There is no text."


LEADS = re.compile(
    r"^(please provide the bounding box coordinate of the region this sentence describes:|where is"
    r"|where's|and where is|find|locate|please locate|please find|show me|point to|can you find|can you locate"
    r"|detect|give the bounding box of|and"
    r"|please give the coordinates of|what are the coordinates of|what about|how about)( the)? "
)


def read_ground(scene: Scene, text: str, q: Question) -> str:
    phrase = LEADS.sub("", text).removesuffix(" in the image")
    found = resolve(scene, phrase)
    if not found:
        return f"There is no {phrase}."
    t = scene.things[one(found)]
    said = [float(v) for v in BOX.search(q.answer)[1].split(",")]
    if q.box != t.box or max(abs(a - b) for a, b in zip(said, t.box)) > 0.0051:
        raise Wrong("the box of another thing")
    return q.answer


def read_caption(scene: Scene, text: str, q: Question) -> str:
    """As many things are said as there are, each noun phrase of the things it means."""
    of = list(range(len(scene.things)))
    if q.task == "list":
        of = named(scene, phrases(text)[-1])
        if not of:
            return f"There are no {phrases(text)[-1]}."
    numbers = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight")
    said = Counter()
    for lead, size, colour, noun in re.findall(
        rf'(\w+) (?:({"|".join(SIZE_NAMES)}) )?(?:({"|".join(COLOUR_NAMES)}) )?(word "\w+"|{_NOUN})(?!\w)',
        q.answer,
    ):
        count = numbers.index(lead.lower()) if lead.lower() in numbers else 1
        kind = "word" if noun.startswith("word") else _FORMS[noun]
        said[kind, colour or None] += count
        if size and not any((t.kind, t.size) == (kind, size) for t in scene.things):
            raise Wrong(f"no {size} {kind}")
    things = [scene.things[i] for i in of]
    truth = Counter((t.kind, None if t.kind == "word" else t.colour) for t in things)
    if said != truth:
        raise Wrong(f"{said} is said, {truth} is there")
    if (
        "background" in q.answer
        and {"texture": "texture"}.get(scene.background, scene.background) not in q.answer
    ):
        raise Wrong("another background")
    return q.answer


def read_absent(scene: Scene, text: str, q: Question) -> str:
    phrase = phrases(re.sub(" (small, medium or large)$", "", text))[-1]
    if named(scene, phrase):
        raise Wrong("it is there")
    return f"There is no {phrase}."


def read_describe(scene: Scene, text: str, q: Question) -> str:
    t = scene.things[at_box(scene, BOX.search(text)[1])]
    if t.kind == "word":
        return " ".join(filter(None, (t.colour, f'word "{str(t.text).lower()}"')))
    return " ".join(filter(None, (t.size, t.colour, t.kind)))


READERS: dict[str, Callable[[Scene, str, Question], str]] = {
    **dict.fromkeys(("caption", "list"), read_caption),
    "absent_asked": read_absent,
    "count": read_count,
    "presence": read_presence,
    **dict.fromkeys(("colour", "size", "attribute"), read_attribute),
    **dict.fromkeys(("kind", "naming", "extreme", "relation_what"), read_kind),
    "describe": read_describe,
    "reading": read_word,
    "relation_yes_no": read_relation,
    "side": read_side,
    **dict.fromkeys(("larger", "front"), read_pair),
    **dict.fromkeys(("ground", "absent"), read_ground),
}
