"""Dialogues of two to four turns; later ones refer back: "What colour is it?", "And how many cats?"."""

from __future__ import annotations

from random import Random

from .basic import ask_count, ask_presence, some_noun
from .ground import there_is_no
from .phrases import absent_noun, absent_phrase, one, phrase
from .question import Question, article, box_text, short
from .relation import SIDES, ask_extreme, ask_what_is
from .view import RELATION_WORDS, RELATIONS, Noun, View

IT_COLOUR = ("What colour is it?", "What color is it?", "And its colour?", "Which colour does it have?")
IT_SIZE = ("What size is it?", "How big is it?", "And its size?", "Is it small, medium or large?")
IT_WHERE = (
    "Where is it?",
    "Where is it in the image?",
    "And where is it?",
    "Can you locate it?",
    "Show me where it is.",
)
IT_WHAT = ("What is it?", "What is that?", "And what is it?")
AND_MANY = ("And how many {}?", "And {}?", "How about {}?", "And how many {} are there?")
AND_ONE = ("And {}?", "What about {}?", "And is there {}?", "How about {}?")
AND_WHERE = ("And the {}?", "What about the {}?", "And where is the {}?", "How about the {}?")


def _it(words: str, index: int) -> tuple[tuple[str, tuple[int, ...]], ...]:
    return ((words, (index,)),)


def _about(draw: Random, view: View, index: int, known: set[str]) -> Question | None:
    """A question about the thing that was spoken of last, as "it"; `known` says what was asked already."""
    t = view.things[index]
    choices = [c for c in ("where", "size", "colour", "relation", "side") if c not in known]
    choices = [
        c
        for c in choices
        if not (c == "colour" and t.colour is None) and not (c == "size" and t.kind == "word")
    ]
    if not choices:
        return None
    choice = draw.choice(choices)
    known.add(choice)
    if choice == "where":
        prompt = draw.choice(IT_WHERE)
        return Question("ground_it", prompt, box_text(t.box), (index,), t.box, _it("it", index), kind="it")
    if choice in ("size", "colour"):
        prompt = draw.choice(IT_SIZE if choice == "size" else IT_COLOUR)
        word = "its" if "its" in prompt else "it"
        prompt, answer = short(draw, prompt, str(getattr(t, choice)))
        return Question(choice, prompt, answer, (index,), mentions=_it(word, index), kind="it")
    if choice == "side":
        axis = draw.randrange(2)
        offset = (view.x[index], view.y[index])[axis] - 0.5
        if abs(offset) < 0.12 * view.half[axis] + 0.03:
            return None
        pair = list(SIDES[axis])
        answer = pair[offset > 0]
        draw.shuffle(pair)
        prompt, answer = short(draw, f"Is it {pair[0]} or {pair[1]}?", answer)
        return Question("side", prompt, answer, (index,), mentions=_it("it", index), kind="it")
    others = [i for i in range(len(view.things)) if i != index]
    other = draw.choice(others) if others else None
    noun = one(draw, view, other) if other is not None else None
    yes = draw.random() < 0.5
    relations = [r for r in RELATIONS if noun and view.holds(index, r, other) is yes]
    if not relations:
        return None
    words = draw.choice(RELATION_WORDS[draw.choice(relations)])
    prompt, answer = short(draw, f"Is it {words} the {noun.text()}?", "Yes" if yes else "No")
    mentions = (("it", (index,)), (noun.text(), (other,)))
    return Question("relation_yes_no", prompt, answer, (index, other), mentions=mentions, kind="it")


def _of_one(draw: Random, view: View) -> list[Question]:
    """One thing is found, then asked about."""
    form, known = draw.random(), set()
    first: Question | None
    if form < 0.3:
        first = ask_presence(draw, view)
        if first is None or len(first.refers) != 1:
            return [first] if first else []
    elif form < 0.55:
        first = ask_extreme(draw, view) or ask_what_is(draw, view)
    else:
        found = phrase(draw, view)
        if found is None or found.index is None:
            return []
        index, box = found.index, view.things[found.index].box
        prompt = draw.choice(
            ("Where is the {}?", "Find the {}.", "Do you see the {}?", "Is there a {}?")
        ).format(found.text)
        if prompt.startswith(("Do", "Is")):
            prompt = prompt.replace("Is there a ", "Do you see the ")
            first = Question("presence", prompt, "Yes", (index,), mentions=found.mentions, kind="yes")
        else:
            first = Question(
                f"ground_{found.kind}", prompt, box_text(box), (index,), box, found.mentions, kind="where"
            )
            known.add("where")
            if view.things[index].kind not in found.text and index != view.word and draw.random() < 0.5:
                prompt, answer = short(draw, draw.choice(IT_WHAT), article(view.things[index].kind))
                word = "it" if "it" in prompt else "that"
                return [
                    first,
                    Question("kind", prompt, answer, (index,), mentions=_it(word, index), kind="it"),
                ]
    if first is None:
        return []
    index = first.refers[0]
    later = [_about(draw, view, index, known) for _ in range(draw.randrange(1, 4))]
    return [first, *(q for q in later if q)]


def _counts(draw: Random, view: View) -> list[Question]:
    first = ask_count(draw, view)
    out = [first] if first else []
    for _ in range(draw.randrange(1, 4)):
        found = absent_noun(draw, view) if draw.random() < 0.2 else None
        noun = found[0] if found else some_noun(draw, view)
        members = view.meaning(noun) if noun else None
        if noun is None or members is None:
            continue
        many = noun.plural()
        prompt, answer = short(draw, draw.choice(AND_MANY).format(many), str(len(members)))
        out.append(Question("count", prompt, answer, members, mentions=((many, members),), kind="and"))
    return out


def _presences(draw: Random, view: View) -> list[Question]:
    absent = absent_phrase(draw, view) if draw.random() < 0.4 else None
    if absent:
        prompt = f"Do you see the {absent.text}?"
        first = Question("presence", prompt, "No", mentions=absent.mentions, kind=absent.kind)
    else:
        first = ask_presence(draw, view)
    if first is None:
        return []
    out = [first]
    for _ in range(draw.randrange(1, 4)):
        noun = absent_noun(draw, view) if draw.random() < 0.5 else None
        t = draw.choice(view.things)
        words = noun[0] if noun else Noun(None, t.colour if draw.random() < 0.5 else None, t.kind)
        members = view.meaning(words)
        if members is None:
            continue
        prompt = draw.choice(AND_ONE).format(article(words.text()))
        prompt, answer = short(draw, prompt, "Yes" if members else "No")
        out.append(
            Question("presence", prompt, answer, members, mentions=((words.text(), members),), kind="and")
        )
    return out


def _places(draw: Random, view: View) -> list[Question]:
    out: list[Question] = []
    for turn in range(draw.randrange(2, 5)):
        form = "Where is the {}?" if turn == 0 else draw.choice(AND_WHERE)
        if draw.random() < 0.25:
            absent = absent_noun(draw, view)
            if absent:
                words = absent[0].text()
                prompt = form.format(words)
                out.append(
                    Question(
                        "absent_where", prompt, there_is_no(words), mentions=((words, ()),), kind=absent[1]
                    )
                )
            continue
        found = phrase(draw, view)
        if found and found.index is not None:
            box = view.things[found.index].box
            prompt = form.format(found.text)
            task = f"ground_{found.kind}"
            out.append(Question(task, prompt, box_text(box), (found.index,), box, found.mentions, kind="and"))
    return out


def turns(draw: Random, view: View) -> list[Question]:
    """A dialogue, or [] where this draw gave none."""
    maker = draw.choices((_of_one, _counts, _presences, _places), (0.45, 0.2, 0.15, 0.2))[0]
    found = maker(draw, view)
    found = list({q.same(): q for q in found}.values())[:4]
    return found if len(found) > 1 else []
