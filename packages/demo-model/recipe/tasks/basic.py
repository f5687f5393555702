"""Counting, presence, attributes, reading."""

from __future__ import annotations

from random import Random

from ..kinds import COLOUR_NAMES, SHAPES, WORDS
from ..world import SIZE_NAMES
from .phrases import absent_noun, mention, one
from .question import Question, article, short, vary
from .view import GENERIC, GROUPS_OF, Noun, View

COUNT = (
    "How many {} are there?",
    "How many {} are there?",
    "How many {} are in the image?",
    "How many {} are there in the image?",
    "How many {} do you see?",
    "How many {} can you see in the image?",
    "Count the {}.",
    "Please count the {}.",
    "Can you count the {}?",
    "What is the number of {}?",
    "What is the number of {} in the image?",
    "Tell me how many {} there are.",
    "Please tell me how many {} you see.",
    "How many {} does the image show?",
)
IS_THERE = (
    "Is there {} in the image?",
    "Is there {} in the image?",
    "Is there {}?",
    "Is there {} here?",
    "Do you see {}?",
    "Do you see {} in the image?",
    "Can you see {} in the image?",
    "Does the image show {}?",
    "Does the image contain {}?",
    "Does {} appear in the image?",
    "Please tell me whether there is {}.",
)
ARE_THERE = (
    "Are there any {}?",
    "Are there any {} in the image?",
    "Do you see any {}?",
    "Can you see any {} in the image?",
    "Does the image show any {}?",
    "Are any {} in the image?",
)
COLOUR = (
    "What colour is the {}?",
    "What color is the {}?",
    "What is the colour of the {}?",
    "What is the color of the {}?",
    "Which colour is the {}?",
    "Which color does the {} have?",
    "What colour does the {} have?",
    "Tell me the colour of the {}.",
    "Please name the color of the {}.",
    "What colour is the {} in the image?",
)
SIZE = (
    "What size is the {}?",
    "What is the size of the {}?",
    "How big is the {}?",
    "How large is the {}?",
    "Is the {} small, medium or large?",
    "Tell me the size of the {}.",
    "Which size does the {} have?",
    "What size does the {} in the image have?",
)
WHAT = (
    "What is the {}?",
    "What is the {} in the image?",
    "Tell me what the {} is.",
    "Name the {}.",
    "Please name the {}.",
    "Can you name the {}?",
    "What is the {} called?",
)
WHICH = (
    "Which {} is in the image?",
    "What {} is this?",
    "Which {} do you see?",
    "What {} is in the image?",
    "Which {} is there?",
    "What {} can you see in the image?",
)
READ = (
    "What word is written in the image?",
    "What does the text say?",
    "What does the image say?",
    "What is written in the image?",
    "Read the text.",
    "Please read the word in the image.",
    "What text do you see?",
    "Which word is written here?",
    "What does it say?",
    "Can you read the text?",
    "What word can you read in the image?",
    "Read the word in the image.",
)
ANY_TEXT = (
    "Is there any text in the image?",
    "Is there a word in the image?",
    "Does the image contain text?",
    "Is anything written in the image?",
    "Is there any writing in the image?",
    "Do you see a word?",
)
SAYS = (
    'Does the text say "{}"?',
    'Does the image say "{}"?',
    'Is the word "{}" written in the image?',
    'Is there the word "{}" in the image?',
    'Do you see the word "{}"?',
)
NO_TEXT = "There is no text."
MANY = 3


def some_noun(draw: Random, view: View) -> Noun | None:
    """A noun phrase of one, several or all things."""
    index = draw.randrange(len(view.things))
    t = view.things[index]
    if t.kind == "word":
        return None
    chance = draw.random()
    colour = t.colour if draw.random() < 0.5 else None
    if chance < 0.5:
        return Noun(None, colour, t.kind)
    if chance < 0.75 and GROUPS_OF[t.kind]:
        return Noun(None, colour if t.kind in SHAPES else None, draw.choice(GROUPS_OF[t.kind]))
    if chance < 0.84:
        return Noun(t.size, colour if draw.random() < 0.4 else None, draw.choice((t.kind, t.kind, *GENERIC)))
    return Noun(None, colour, draw.choice(GENERIC))


def ask_count(draw: Random, view: View) -> Question | None:
    if draw.random() < 0.12:
        found = absent_noun(draw, view)
        noun = found[0] if found else None
    else:
        noun = some_noun(draw, view)
        for _ in range(2):  # one is the commonest count, and the least to learn from
            if noun and len(view.meaning(noun) or ()) == 1 and draw.random() < 0.75:
                noun = some_noun(draw, view)
    members = view.meaning(noun) if noun else None
    if noun is None or members is None:
        return None
    many = noun.plural()
    prompt, answer = short(draw, draw.choice(COUNT).format(many), str(len(members)))
    return Question("count", prompt, answer, members, mentions=((many, members),))


def ask_many(draw: Random, view: View) -> Question | None:
    """A count of at least MANY: all of so many have to be told from the rest, so these are what is learned last."""
    if len(view.things) < MANY:
        return None
    question = ask_count(draw, view)
    return question if question and len(question.refers) >= MANY else None


def ask_presence(draw: Random, view: View, how: str | None = None) -> Question | None:
    """Yes and no alike often; negatives in POPE's kinds, and by attribute."""
    yes = draw.random() < 0.5
    if yes:
        found = [
            n
            for n in (some_noun(draw, view) for _ in range(4))
            if n and not (n.noun in GENERIC and (n.size or not n.colour))
        ]
        noun, how = next((n for n in found if view.meaning(n)), None), "yes"
    else:
        found = absent_noun(draw, view, how)
        noun, how = found if found else (None, "")
    members = view.meaning(noun) if noun else None
    if noun is None or members is None:
        return None
    if draw.random() < 0.75:
        words = noun.text()
        prompt = draw.choice(IS_THERE).format(article(words))
    else:
        words = noun.plural()
        prompt = draw.choice(ARE_THERE).format(words)
    prompt, answer = short(draw, prompt, "Yes" if members else "No")
    return Question("presence", prompt, answer, members, mentions=((words, members),), kind=how)


def ask_colour(draw: Random, view: View) -> Question | None:
    index = draw.randrange(len(view.things))
    t = view.things[index]
    noun = one(draw, view, index, [n for n in view.names(index) if n.colour is None])
    if t.colour is None or noun is None:
        return None
    words, form = noun.text(), draw.random()
    mentions = (mention(view, noun),)
    if form < 0.6:
        prompt, answer = short(draw, draw.choice(COLOUR).format(words), t.colour)
    elif form < 0.8:
        pair = [t.colour, draw.choice([c for c in COLOUR_NAMES if c != t.colour])]
        draw.shuffle(pair)
        prompt, answer = short(draw, f"Is the {words} {pair[0]} or {pair[1]}?", t.colour)
    else:
        yes = draw.random() < 0.5
        others = [o.colour for o in view.things if o.colour and o.colour != t.colour] or COLOUR_NAMES
        colour = t.colour if yes else draw.choice([c for c in others if c != t.colour])
        prompt, answer = short(draw, f"Is the {words} {colour}?", "Yes" if yes else "No")
        return Question("attribute_yes_no", prompt, answer, (index,), mentions=mentions)
    return Question("colour", prompt, answer, (index,), mentions=mentions)


def ask_size(draw: Random, view: View) -> Question | None:
    if not view.objects:
        return None
    index = draw.choice(view.objects)
    noun = one(draw, view, index, [n for n in view.names(index) if n.size is None])
    if noun is None:
        return None
    words, mentions = noun.text(), (mention(view, noun),)
    size = view.things[index].size
    if draw.random() < 0.8:
        prompt, answer = short(draw, draw.choice(SIZE).format(words), size)
        return Question("size", prompt, answer, (index,), mentions=mentions)
    yes = draw.random() < 0.5
    asked = size if yes else draw.choice([z for z in SIZE_NAMES if z != size])
    prompt, answer = short(draw, f"Is the {words} {asked}?", "Yes" if yes else "No")
    return Question("attribute_yes_no", prompt, answer, (index,), mentions=mentions)


def ask_kind(draw: Random, view: View) -> Question | None:
    """What a thing is that is named by colour, size or group alone."""
    if not view.objects:
        return None
    index = draw.choice(view.objects)
    kind = view.things[index].kind
    noun = one(draw, view, index, [n for n in view.names(index) if n.noun != kind])
    if noun is None:
        return None
    group = noun.noun not in GENERIC and not noun.size and not noun.colour
    forms = WHICH if group and draw.random() < 0.6 and not noun.noun.startswith("piece") else WHAT
    prompt, answer = short(draw, draw.choice(forms).format(noun.text()), article(kind))
    return Question("kind", prompt, answer, (index,), mentions=(mention(view, noun),))


def ask_reading(draw: Random, view: View) -> Question | None:
    """The word, or that there is none; whether it says this."""
    form = draw.random()
    if view.word is None:
        if form > 0.04:
            return None  # most scenes have no word: that is learnt from few of them
        if form < 0.025:
            return Question("reading_absent", vary(draw, draw.choice(READ)), NO_TEXT)
        prompt, answer = short(draw, draw.choice(ANY_TEXT), "No")
        return Question("reading_yes_no", prompt, answer)
    refers = (view.word,)
    text = str(view.things[view.word].text).lower()
    if form < 0.65:
        prompt, answer = short(draw, draw.choice(READ), text)
        return Question("reading", prompt, answer, refers)
    if form < 0.75:
        prompt, answer = short(draw, draw.choice(ANY_TEXT), "Yes")
        return Question("reading_yes_no", prompt, answer, refers)
    yes = draw.random() < 0.5
    said = text if yes else draw.choice([w for w in WORDS if w != text])
    prompt, answer = short(draw, draw.choice(SAYS).format(said), "Yes" if yes else "No")
    return Question("reading_yes_no", prompt, answer, refers)
