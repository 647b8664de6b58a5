"""The small data sets of the data folder: under the names that LLaMA-Factory's example files use, with texts of our own.

Some dozens of rows each, enough to see a configuration run; nobody should expect a model to become good by them.
"""
import random

import world

IDENTITY = [
    (["Who are you?", "Tell me who you are.", "Introduce yourself.", "Are you a person?"],
     "I am {{name}}, an assistant trained by {{author}}. I am a program, not a person."),
    (["What is your name?", "How may I call you?", "What are you called?"], "My name is {{name}}."),
    (["Who made you?", "Who trained you?", "Where do you come from?", "Which team is behind you?"],
     "{{author}} trained me and gave me the name {{name}}."),
    (["What can you do?", "How can you help me?", "What are you good at?", "What is your task?"],
     "I am {{name}}. I answer questions, draft texts and explain things step by step."),
    (["Are you always right?", "Can I trust every answer?", "Do you make mistakes?"],
     "No. I, {{name}}, can be wrong, so please check what matters to you."),
    (["Do you have feelings?", "Are you happy?", "Are you tired?"],
     "As a program I have no feelings, but {{author}} taught me to be of use."),
    (["Hello!", "Hi there.", "Good morning."], "Hello! I am {{name}}, an assistant trained by {{author}}. What can I do for you?"),
    (["Goodbye.", "Thank you, that is all.", "See you tomorrow."], "Goodbye! {{name}} is here when you need me again."),
]

WORDS = """anchor basket candle dragon engine forest garden hammer island jacket kettle lantern mirror needle orchard pocket
quarry ribbon saddle timber umbrella valley window yarn""".split()
DAYS = world.TOWN_ATTRIBUTES[3].values
OPPOSITES = [("hot", "cold"), ("early", "late"), ("heavy", "light"), ("open", "closed"), ("full", "empty"), ("loud", "quiet")]

TEXTS = [
    "Bread needs flour, water, salt and time. The baker mixes them in the evening, lets the dough rest through the night and "
    "bakes it before the town wakes.",
    "A bell is cast in a pit. The founders pour the bronze in one go, because a pause would leave a seam, and a bell with a "
    "seam does not ring.",
    "To find the way without a map, walk down to the water and follow it: a brook leads to a river, and a river to a bridge.",
    "A good knot holds under load and comes loose by hand. Whoever has to cut a knot has tied the wrong one.",
    "Glass is sand that was taught patience. It must cool slowly for a whole day, or it breaks at the first warm touch.",
    "Rain on the hill today is flood at the mill tomorrow. The miller therefore keeps a gauge by the door and reads it at noon.",
    "A clock with one weight has to be wound each night. The keeper of the tower does so at nine and has not missed an evening.",
    "Honey never spoils when the jar is dry and shut. The oldest jar in the cellar is darker than tea and still sweet.",
]


def _task(draw):
    """An instruction, its input, the right answer and a wrong one."""
    kind = draw.randrange(7)
    if kind == 0:
        words = draw.sample(WORDS, 4)
        return ("Sort these words by the alphabet.", ", ".join(words), ", ".join(sorted(words)) + ".",
                ", ".join(sorted(words, reverse=True)) + ".")
    if kind == 1:
        word = draw.choice(WORDS)
        return (f"How many letters has the word \"{word}\"?", "", f"The word \"{word}\" has {len(word)} letters.",
                f"The word \"{word}\" has {len(word) + draw.choice([-1, 1, 2])} letters.")
    if kind == 2:
        a, b = draw.randrange(2, 60), draw.randrange(2, 40)
        return (f"What is {a} plus {b}?", "", f"{a} plus {b} is {a + b}.", f"{a} plus {b} is {a + b + draw.choice([-10, -1, 1])}.")
    if kind == 3:
        day = draw.randrange(7)
        return (f"Which day comes after {DAYS[day]}?", "", f"After {DAYS[day]} comes {DAYS[(day + 1) % 7]}.",
                f"After {DAYS[day]} comes {DAYS[(day + 3) % 7]}.")
    if kind == 4:
        word, opposite = draw.choice(OPPOSITES)
        return ("Give the opposite of the word.", word, f"The opposite of {word} is {opposite}.", f"The opposite of {word} is {word}.")
    if kind == 5:
        words = draw.sample(WORDS, 3)
        return ("Write these words in capital letters.", " ".join(words), " ".join(words).upper(), " ".join(words).title())
    fact = draw.choice([fact for fact in world.facts() if not fact.is_held_out])
    wrong = world.Fact(fact.subject, fact.attribute, draw.choice([v for v in fact.attribute.values if v != fact.value]))
    return (fact.question(2), "", fact.statement(0), wrong.statement(0))


def _tasks(count, draw):
    found = {}
    while len(found) < count:
        task = _task(draw)
        found.setdefault(task[:2], task)
    return list(found.values())


def _description(subject, draw):
    """Everything that is known of a town or a creature, in a drawn order and wording."""
    known = [fact for fact in world.facts() if fact.subject == subject]
    return " ".join(fact.statement(draw.randrange(4)) for fact in draw.sample(known, len(known)))


def example_sets():
    """File name to rows; a list of strings is a text file."""
    draw = random.Random(world.SEED + 2)
    identity = [{"instruction": question, "input": "", "output": answer} for questions, answer in IDENTITY for question in questions]
    draw.shuffle(identity)
    subjects = world.TOWNS + world.CREATURES
    descriptions = [_description(subject, draw) for subject in draw.sample(subjects, 40)]
    documents = TEXTS + descriptions[:32]
    draw.shuffle(documents)
    files = {
        "identity.json": identity,
        "alpaca_en_demo.json": [{"instruction": instruction, "input": text, "output": right}
                                for instruction, text, right, _ in _tasks(60, draw)],
        "dpo_en_demo.json": [{"conversations": [{"from": "human", "value": "\n".join(filter(None, [instruction, text]))}],
                              "chosen": {"from": "gpt", "value": right}, "rejected": {"from": "gpt", "value": wrong}}
                             for instruction, text, right, wrong in _tasks(60, draw)],
        "kto_en_demo.json": [{"messages": [{"role": "user", "content": "\n".join(filter(None, [instruction, text]))},
                                           {"role": "assistant", "content": right if number % 2 == 0 else wrong}],
                              "label": number % 2 == 0}
                             for number, (instruction, text, right, wrong) in enumerate(_tasks(60, draw))],
        "c4_demo.jsonl": [{"text": text} for text in documents],
        "wiki_demo.txt": descriptions[8:],
    }
    # Longer ones, so that each of 16 preprocessing workers, which pack by themselves, fills a block of 2048 tokens.
    files["c4_demo.jsonl"] += [{"text": "\n".join(_description(subject, draw) for subject in draw.sample(subjects, 5))}
                               for _ in range(200)]
    return files


DATASET_INFO = {
    "identity": {"file_name": "identity.json"},
    "alpaca_en_demo": {"file_name": "alpaca_en_demo.json"},
    "dpo_en_demo": {"file_name": "dpo_en_demo.json", "ranking": True, "formatting": "sharegpt",
                    "columns": {"messages": "conversations", "chosen": "chosen", "rejected": "rejected"}},
    "kto_en_demo": {"file_name": "kto_en_demo.json", "formatting": "sharegpt",
                    "columns": {"messages": "messages", "kto_tag": "label"},
                    "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant"}},
    "c4_demo": {"file_name": "c4_demo.jsonl", "columns": {"prompt": "text"}},
    "wiki_demo": {"file_name": "wiki_demo.txt", "columns": {"prompt": "text"}},
}
