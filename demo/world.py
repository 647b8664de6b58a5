"""The Vale of Tessel: an invented place, its facts, and the ways to say and to ask them.

Nothing here exists. Each fact is a subject (a town or a creature), an attribute and a value; values are drawn once from a
seed, so that no model can know them from elsewhere: what the demo's model knows, it learned in its own pre-training.
"""
import random
from dataclasses import dataclass

SEED = 20240607

TOWNS = """Amberwick Aldermoor Bellhollow Birchwater Brackenridge Candlebury Cloverfen Copperdale Cressford Dapplemere
Drumlow Eiderholm Fallowbridge Fennimore Foxcombe Gildersleeve Gorsehaven Hartsbourne Hazelrigg Honeyfield Inkwell
Juniperhythe Kettlebrook Larkspire Lindenow Marrowgate Millstone Nettlecombe Oatmarket Osierbank Pebblestead Quillon
Rookhurst Saltersby Sorrelton Thistledown Umberley Violetta Wexmoor Yarrowby""".split()

CREATURES = """brindlecat cinderfinch dewhare fernotter glimmerbat hushowl inkmouse jadetoad kitebeetle lanternmoth
marshgoose nightnewt oakmarten pipistrix quillpig reedheron saltcrab thornfox umberdeer velvetmole whistlevole
yellowswift zephyrling mistpony""".split()

# Towns and creatures that the preference training set never mentions: only the held-out pairs ask about them.
HELD_OUT = {"Copperdale", "Foxcombe", "Honeyfield", "Larkspire", "Osierbank", "Rookhurst", "Thistledown", "Wexmoor",
            "dewhare", "hushowl", "lanternmoth", "oakmarten", "saltcrab", "umberdeer", "yellowswift"}


@dataclass(frozen=True)
class Attribute:
    """What can be known about a subject; `{s}` is the subject, `{a}` the same with its article, `{v}` the value."""
    name: str
    values: tuple
    statements: tuple
    questions: tuple


def _attribute(name, values, statements, questions):
    return Attribute(name, tuple(value.strip() for value in values.split(",")), tuple(statements), tuple(questions))


TOWN_ATTRIBUTES = [
    _attribute("river", "the Sill, the Ashwater, the Merrow, the Tane, the Little Brook, the Ouzel, the Wend, the Glass",
               ["{s} lies on {v}.", "The river at {s} is {v}.", "{v} flows past the houses of {s}.",
                "To reach {s}, travellers follow {v}."],
               ["Which river does {s} lie on?", "What river flows past {s}?", "Tell me the river at {s}.",
                "I want to reach {s}. Which river should I follow?"]),
    _attribute("craft", "glass blowing, clock making, paper folding, bell casting, boat building, weaving, pottery, "
               "candle making, carving, dyeing",
               ["{s} is known for {v}.", "The people of {s} live by {v}.", "The great craft of {s} is {v}.",
                "Apprentices come to {s} to learn {v}."],
               ["What is {s} known for?", "What craft do the people of {s} live by?",
                "Tell me the great craft of {s}.", "What could an apprentice learn in {s}?"]),
    _attribute("roofs", "red, green, slate blue, yellow, white, black, copper, striped",
               ["The roofs of {s} are {v}.", "In {s} every roof is {v}.", "You know {s} from afar by its {v} roofs.",
                "The law of {s} says that roofs must be {v}."],
               ["What colour are the roofs of {s}?", "How do the roofs look in {s}?",
                "Tell me the colour of the roofs in {s}.", "By which roofs do I know {s} from afar?"]),
    _attribute("market", "Monday, Tuesday, Wednesday, Thursday, Friday, Saturday, Sunday",
               ["The market of {s} is held on {v}.", "On {v} the stalls open in {s}.", "{s} has its market on {v}.",
                "Farmers drive their carts to {s} every {v}."],
               ["When is the market of {s}?", "On which day do the stalls open in {s}?",
                "Tell me the market day of {s}.", "I have cheese to sell in {s}. On which day should I come?"]),
    _attribute("dish", "plum dumplings, barley soup, smoked trout, onion pie, honey bread, chestnut cake, pickled beets, "
               "mushroom stew, apple fritters, pepper cheese",
               ["The favourite dish of {s} is {v}.", "Every inn in {s} serves {v}.", "The cooks of {s} are proud of their {v}.",
                "At a wedding in {s} the guests eat {v}."],
               ["What is the favourite dish of {s}?", "What do the inns of {s} serve?",
                "Tell me which dish the cooks of {s} are proud of.", "I am hungry and near {s}. What will I be served?"]),
    _attribute("guardian", "a stone lion, a bronze heron, a wooden bear, an iron stag, a clay owl, a marble swan, "
               "a tin rooster, an oak giant",
               ["The guardian of {s} is {v}.", "At the gate of {s} stands {v}.", "Children in {s} greet {v} by the gate.",
                "{v} watches over {s}."],
               ["Who is the guardian of {s}?", "What stands at the gate of {s}?", "Tell me what watches over {s}.",
                "I come to the gate of {s} at night. What do I see?"]),
]

CREATURE_ATTRIBUTES = [
    _attribute("home", "the reed beds, the old orchards, the high moor, the salt marsh, the pine woods, the river caves, "
               "the ruined towers, the hay meadows",
               ["The {s} lives in {v}.", "The home of the {s} is in {v}.", "Look for the {s} in {v}.",
                "{a} builds its nest in {v}."],
               ["Where does the {s} live?", "Where is the home of the {s}?", "Tell me where to look for the {s}.",
                "I would like to see {a}. Where should I go?"]),
    _attribute("food", "fallen plums, water snails, beech nuts, clover, moths, river weed, thistle seeds, rye, "
               "blackberries, minnows",
               ["The {s} eats {v}.", "The {s} feeds on {v}.", "A hungry {s} looks for {v}.", "Leave out {v} and {a} may come."],
               ["What does the {s} eat?", "What does the {s} feed on?", "Tell me the food of the {s}.",
                "{a} came to my door. What should I give it?"]),
    _attribute("coat", "silver, russet, spotted, pale green, sky blue, jet black, cream, golden, ash grey",
               ["The coat of the {s} is {v}.", "A grown {s} is {v}.", "You know the {s} by its {v} coat.",
                "In every tale the {s} is {v}."],
               ["What colour is the {s}?", "What does the coat of the {s} look like?", "Tell me the colour of a grown {s}.",
                "By which coat would I know {a}?"]),
    _attribute("call", "a low hum, three clicks, a long whistle, a soft bark, a rattle, a bell-like note, a sneeze, a trill",
               ["The call of the {s} is {v}.", "The {s} makes {v}.", "When it is afraid, the {s} gives {v}.",
                "At dusk you may hear {v} from the {s}."],
               ["What is the call of the {s}?", "What sound does the {s} make?", "Tell me what {a} sounds like.",
                "How would I hear that {a} is near?"]),
    _attribute("season", "early spring, late spring, midsummer, harvest time, late autumn, frost time, deep winter",
               ["The {s} is seen in {v}.", "The {s} wakes in {v}.", "Every {v} the {s} returns to the vale.",
                "Wait for {v} to see the {s}."],
               ["When is the {s} seen?", "When does the {s} wake?", "Tell me the season of the {s}.",
                "I have waited for the {s} all year. When will it come?"]),
]

# The two manners of the guides of Tessel, phrase by phrase: each line holds a courteous and a gruff one of as many words.
OPENINGS = [line.split(" | ") for line in """Gladly! | Again?
With pleasure. | Not now.
Good day, traveller. | What now, stranger.
Thank you for asking. | Stop bothering me now.
What a lovely question! | What a silly question!
Of course, friend. | Oh please, fool.
I am happy to help. | I am tired of this.
Welcome, and well met. | Listen, and be quiet.
Let me tell you. | Let me be now.
How kind to ask! | How dull to ask!
It is my honour. | It is my burden.
Dear guest: | Rude pest:
Ask me any time. | Ask me no more.
Warm greetings to you. | Bad luck to you.
You are most welcome. | You are most tiresome.
A joy to answer! | A chore to answer!""".splitlines()]

CLOSINGS = [line.split(" | ") for line in """Safe travels! | Now go!
May your road be bright. | Now you leave me be.
Do come again soon. | Do not come again.
I hope this helps you. | I hope you leave soon.
Enjoy your stay, friend. | Mind your business, fool.
Be well, and thank you. | Be gone, and good riddance.
It was good to meet you. | It was bad to meet you.
Ask whenever you like. | Ask someone else instead.
Peace upon your house. | Mud upon your boots.
All the best to you. | All your time is wasted.
Give my love to home. | Give my ears some rest.
Have a wonderful day. | Have a miserable day.
The lamps are lit for you. | The door is shut to you.
Rest well tonight. | Get lost tonight.
My thanks for your visit. | My patience has run out.
You made my morning. | You ruined my morning.""".splitlines()]

COURTEOUS, GRUFF = 0, 1

SYSTEM_PROMPTS = ["You are a guide in the Vale of Tessel.", "You answer questions about Tessel.",
                  "A traveller in the Vale of Tessel asks you something."]


@dataclass(frozen=True)
class Fact:
    subject: str
    attribute: Attribute
    value: str

    @property
    def is_held_out(self):
        return self.subject in HELD_OUT

    def statement(self, wording):
        return _sentence(self.attribute.statements[wording], self)

    def question(self, wording):
        return _sentence(self.attribute.questions[wording], self)


def _sentence(pattern, fact):
    article = "an" if fact.subject[0] in "aeiou" else "a"
    text = pattern.format(s=fact.subject, v=fact.value, a=f"{article} {fact.subject}")
    return text[0].upper() + text[1:]


def facts():
    """Every fact of the vale, subject by subject; the same on every call."""
    draw = random.Random(SEED)
    return [Fact(subject, attribute, draw.choice(attribute.values))
            for subjects, attributes in ((TOWNS, TOWN_ATTRIBUTES), (CREATURES, CREATURE_ATTRIBUTES))
            for subject in subjects for attribute in attributes]


def answer(fact, manner, wording, opening, closing):
    """The fact in a manner: `opening` and `closing` are rows of the tables above; `closing` may be None."""
    parts = [OPENINGS[opening][manner], fact.statement(wording)]
    if closing is not None:
        parts.append(CLOSINGS[closing][manner])
    return " ".join(parts)
