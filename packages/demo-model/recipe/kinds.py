"""The nouns of the world: everyday things by group, the icons that show each, and how each may be turned."""

from __future__ import annotations

from dataclasses import dataclass

SHAPES = ("circle", "square", "triangle", "star", "heart", "ring", "cross", "diamond")
COLOURS: dict[str, tuple[int, int, int]] = {
    "red": (214, 38, 38),
    "orange": (244, 135, 25),
    "yellow": (248, 214, 45),
    "green": (46, 158, 66),
    "blue": (42, 92, 212),
    "purple": (138, 56, 172),
    "black": (24, 24, 28),
    "white": (245, 245, 245),
}
COLOUR_NAMES = tuple(COLOURS)


@dataclass(frozen=True)
class Icon:
    """What shows a thing: icon names of the emoji sets, and whether it may lie at any angle."""

    names: tuple[str, ...]
    any_angle: bool = False


def _one(name: str) -> Icon:
    return Icon((name,))


def _free(*names: str) -> Icon:
    return Icon(names, any_angle=True)


THINGS: dict[str, dict[str, Icon]] = {
    "animals": {
        "dog": Icon(("dog", "dog-face")),
        "cat": Icon(("cat", "cat-face")),
        "rabbit": Icon(("rabbit", "rabbit-face")),
        "horse": Icon(("horse", "horse-face")),
        "cow": Icon(("cow", "cow-face")),
        "pig": Icon(("pig", "pig-face")),
        "lion": _one("lion"),
        "bear": _one("bear"),
        "panda": _one("panda"),
        "koala": _one("koala"),
        "fox": _one("fox"),
        "frog": _one("frog"),
        "monkey": Icon(("monkey", "monkey-face")),
        "elephant": _one("elephant"),
        "penguin": _one("penguin"),
        "owl": _one("owl"),
        "duck": _one("duck"),
        "chicken": _one("chicken"),
        "butterfly": _free("butterfly"),
        "bee": _free("honeybee"),
        "ladybug": _free("lady-beetle"),
        "snail": _one("snail"),
        "turtle": _one("turtle"),
        "snake": _one("snake"),
        "fish": Icon(("fish", "tropical-fish")),
        "dolphin": _one("dolphin"),
        "octopus": _one("octopus"),
        "crab": _free("crab"),
        "spider": _free("spider"),
    },
    "food": {
        "apple": _free("red-apple", "green-apple"),
        "banana": _free("banana"),
        "lemon": _free("lemon"),
        "pear": _free("pear"),
        "strawberry": _free("strawberry"),
        "peach": _free("peach"),
        "pineapple": _free("pineapple"),
        "watermelon": _free("watermelon"),
        "carrot": _free("carrot"),
        "tomato": _free("tomato"),
        "mushroom": _one("mushroom"),
        "croissant": _free("croissant"),
        "cheese": _one("cheese-wedge"),
        "hamburger": _one("hamburger"),
        "pizza": _free("pizza"),
        "ice cream": Icon(("ice-cream", "soft-ice-cream")),
        "doughnut": _free("doughnut"),
        "cookie": _free("cookie"),
        "cake": _one("birthday-cake"),
        "lollipop": _free("lollipop"),
    },
    "vehicles": {
        "car": Icon(("automobile", "oncoming-automobile")),
        "bus": Icon(("bus", "oncoming-bus")),
        "fire engine": _one("fire-engine"),
        "tractor": _one("tractor"),
        "motorcycle": _one("motorcycle"),
        "bicycle": _one("bicycle"),
        "train": Icon(("locomotive", "train")),
        "airplane": _free("airplane"),
        "helicopter": _one("helicopter"),
        "rocket": _free("rocket"),
        "sailboat": _one("sailboat"),
    },
    "tools": {
        "hammer": _free("hammer"),
        "wrench": _free("wrench"),
        "key": _free("key"),
        "lock": _one("locked"),
        "pencil": _free("pencil"),
        "paintbrush": _free("paintbrush"),
        "gear": _free("gear"),
        "anchor": _one("anchor"),
    },
    "household things": {
        "light bulb": _free("light-bulb"),
        "candle": _one("candle"),
        "camera": _one("camera"),
        "bell": _one("bell"),
        "clock": _one("alarm-clock"),
        "telephone": _one("telephone"),
        "laptop": _one("laptop"),
        "television": _one("television"),
        "umbrella": Icon(("umbrella", "umbrella-with-rain-drops")),
        "balloon": _one("balloon"),
        "present": _one("wrapped-gift"),
    },
    "clothes": {
        "shirt": _one("t-shirt"),
        "dress": _one("dress"),
        "hat": _one("top-hat"),
        "crown": _one("crown"),
        "shoe": Icon(("running-shoe", "high-heeled-shoe")),
        "tie": _one("necktie"),
        "handbag": _one("handbag"),
        "backpack": _one("backpack"),
    },
    "furniture": {
        "bed": _one("bed"),
        "couch": _one("couch-and-lamp"),
        "bathtub": _one("bathtub"),
        "toilet": _one("toilet"),
        "door": _one("door"),
        "chair": Icon(("chair", "seat")),
    },
    "plants": {
        "tree": _one("deciduous-tree"),
        "pine tree": _one("evergreen-tree"),
        "palm tree": _one("palm-tree"),
        "cactus": _one("cactus"),
        "sunflower": _one("sunflower"),
        "tulip": _one("tulip"),
        "rose": _one("rose"),
        "leaf": _free("maple-leaf"),
    },
    "weather": {
        "sun": Icon(("sun", "sun-with-face")),
        "moon": _one("crescent-moon"),
        "cloud": _one("cloud"),
        "rainbow": _one("rainbow"),
        "snowflake": _free("snowflake"),
        "snowman": Icon(("snowman", "snowman-without-snow")),
    },
    "sports": {
        "soccer ball": _free("soccer-ball"),
        "basketball": _free("basketball"),
        "football": _free("american-football"),
        "trophy": _one("trophy"),
        "boxing glove": _free("boxing-glove"),
    },
    "instruments": {
        "guitar": _free("guitar"),
        "violin": _free("violin"),
        "trumpet": _free("trumpet"),
        "drum": _one("drum"),
        "microphone": _free("microphone"),
    },
    "buildings": {
        "house": _one("house"),
        "castle": _one("castle"),
        "tent": _one("tent"),
    },
}
ICONS: dict[str, Icon] = {name: icon for group in THINGS.values() for name, icon in group.items()}
GROUPS: dict[str, tuple[str, ...]] = {name: tuple(group) for name, group in THINGS.items()} | {"shapes": SHAPES}
KINDS: tuple[str, ...] = (*ICONS, *SHAPES, "word")

# Short words, drawn as text.
WORDS: tuple[str, ...] = tuple(
    """
    stop open exit sale love hello home play taxi hotel menu push pull help free new wow yes cafe bar zoo park shop bank
    gift milk tea salt sugar rice soup fresh hot cold summer winter spring happy party music dance game team win goal race
    fast slow north south east west city town road river lake beach sea island sky wind rain snow storm light night day
    week month year time today name king queen hero magic dream peace hope luck smile baby mom dad boy girl kids friend
    photo film book story news post mail web code data robot space mars earth ocean forest garden farm food lunch pasta
    taco wine beer juice cola mint honey nuts corn bean gold iron wood glass paper red
    """.split()
)[:-1]  # fmt: skip
