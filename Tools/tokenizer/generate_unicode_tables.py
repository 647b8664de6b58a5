"""Writes Sources/LFTokenizer/UnicodeData.swift: the Unicode facts that tokenizers rest on.

Run it with Python 3.11 and tokenizers 0.22.2 installed. The Rust library draws its data from several versions of
Unicode: its regular expressions know version 16, its normalization forms version 9, and so on. So the library itself is
asked, character by character.
"""

import pathlib
import unicodedata

import tokenizers
from tokenizers import Regex, normalizers, pre_tokenizers

ASSIGNABLE = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
CATEGORIES = (
    "Cn Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co".split()
)
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcd"

assert unicodedata.unidata_version == "14.0.0", unicodedata.unidata_version
assert tokenizers.__version__ == "0.22.2", tokenizers.__version__


def runs(classes):
    """Run lengths, each followed by its class's letter."""
    text, start = [], 0
    for position in range(1, len(classes) + 1):
        if position == len(classes) or classes[position] != classes[start]:
            text.append(f"{position - start}{LETTERS[classes[start]]}")
            start = position
    return "".join(text)


def categories():
    """The general category per code point, as the library's regular expressions have it."""
    everything = "".join(map(chr, ASSIGNABLE))
    classes = [CATEGORIES.index("Cn")] * 0x110000
    for c in range(0xD800, 0xE000):
        classes[c] = CATEGORIES.index("Cs")
    for number, category in enumerate(CATEGORIES):
        if category in ("Cn", "Cs"):
            continue
        keep = normalizers.Replace(Regex(rf"\P{{{category}}}+"), "")
        for character in keep.normalize_str(everything):
            classes[ord(character)] = number
    return classes


def predicate_runs(predicate):
    flags = [0] * 0x110000
    for c in ASSIGNABLE:
        flags[c] = 1 if predicate(c) else 0
    return runs(flags)


def decompositions(form, known):
    normalize = form().normalize_str
    entries = []
    for c in ASSIGNABLE:
        if 0xAC00 <= c < 0xD7A4:
            continue
        text = normalize(chr(c))
        if text != chr(c) and known.get(c) != text:
            known[c] = text
            entries.append(f"{c:X}={'+'.join(f'{ord(x):X}' for x in text)}")
    return ",".join(entries)


def combining_classes():
    """Classes of the marks that the library's NFD reorders."""
    normalize = normalizers.NFD().normalize_str
    classes = [0] * 0x110000
    for c in ASSIGNABLE:
        ccc = unicodedata.combining(chr(c))
        if ccc == 0:
            continue
        # A mark that the library takes for a starter stays between two marks that would move around it.
        lower = "\u0334"  # class 1
        higher = "\u0345"  # class 240
        probe = "a" + higher + chr(c) + lower
        expected = unicodedata.normalize("NFD", probe)
        if normalize(probe) == expected:
            classes[c] = ccc
    return numbered_runs(classes)


def numbered_runs(classes):
    """Run lengths, each with its class's number."""
    text, start = [], 0
    for position in range(1, len(classes) + 1):
        if position == len(classes) or classes[position] != classes[start]:
            text.append(f"{position - start}:{classes[start]}")
            start = position
    return ",".join(text)


def scripts():
    """Numbers for the scripts that the UnicodeScripts pre-tokenizer tells apart; 0 for those it never splits at."""
    split = pre_tokenizers.UnicodeScripts().pre_tokenize_str
    representatives = []

    def is_same(a, b):
        return len(split(a + b)) == 1

    classes = [0] * 0x110000
    previous = 0
    for c in ASSIGNABLE:
        text = chr(c)
        if is_same("a", text) and is_same("\u044f", text):
            continue
        if previous and is_same(representatives[previous - 1], text):
            classes[c] = previous
            continue
        for number, representative in enumerate(representatives, 1):
            if is_same(representative, text):
                previous = number
                break
        else:
            representatives.append(text)
            previous = len(representatives)
        classes[c] = previous
    return numbered_runs(classes)


def compositions():
    normalize = normalizers.NFC().normalize_str
    entries = []
    for c in ASSIGNABLE:
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            first, second = (int(part, 16) for part in parts)
            if normalize(chr(first) + chr(second)) == chr(c):
                entries.append(f"{first:X}+{second:X}={c:X}")
    return ",".join(entries)


def composition_suspects():
    """Characters with NFC_Quick_Check not Yes, besides those of non-zero combining class."""
    normalize = normalizers.NFC().normalize_str
    seconds = set()
    for c in ASSIGNABLE:
        parts = unicodedata.decomposition(chr(c)).split()
        if len(parts) == 2 and not parts[0].startswith("<"):
            seconds.add(int(parts[1], 16))
    seconds.update(range(0x1161, 0x1176))
    seconds.update(range(0x11A8, 0x11C3))
    return predicate_runs(lambda c: c in seconds or normalize(chr(c)) != chr(c))


def lowercase():
    normalize = normalizers.Lowercase().normalize_str
    entries = []
    for c in ASSIGNABLE:
        text = normalize(chr(c))
        if text != chr(c):
            entries.append(f"{c:X}={'+'.join(f'{ord(x):X}' for x in text)}")
    return ",".join(entries)


def splits(pre_tokenizer, text):
    return [piece for piece, _ in pre_tokenizer.pre_tokenize_str(text)]


def main():
    punctuation = pre_tokenizers.Punctuation()
    digits = pre_tokenizers.Digits(individual_digits=True)
    whitespace = pre_tokenizers.Whitespace()
    strip_accents = normalizers.StripAccents()
    bert_clean = normalizers.BertNormalizer(
        clean_text=True, handle_chinese_chars=False, strip_accents=False, lowercase=False
    )
    bert_accents = normalizers.BertNormalizer(
        clean_text=False, handle_chinese_chars=False, strip_accents=True, lowercase=False
    )
    nfd = normalizers.NFD().normalize_str
    known = {}
    tables = [
        (
            "categories",
            "General categories, as the regular expressions have them: run lengths, each with its category's letter.",
            runs(categories()),
        ),
        ("combiningClasses", "Canonical combining classes: run lengths with the class.", combining_classes()),
        ("canonical", "Full canonical decompositions, Hangul syllables left out.", decompositions(normalizers.NFD, known)),
        ("compatibility", "Full compatibility decompositions where they differ.", decompositions(normalizers.NFKD, known)),
        ("compositions", "Primary composites.", compositions()),
        ("compositionSuspects", "Characters that text in NFC may not have, or not everywhere.", composition_suspects()),
        ("lowercase", "Lower-case mappings without context.", lowercase()),
        (
            "punctuation",
            "What the Punctuation and Bert pre-tokenizers split at.",
            predicate_runs(lambda c: splits(punctuation, "a" + chr(c) + "b") == ["a", chr(c), "b"]),
        ),
        (
            "numeric",
            "What the Digits pre-tokenizer splits at.",
            predicate_runs(lambda c: splits(digits, "a" + chr(c) + "b") == ["a", chr(c), "b"]),
        ),
        (
            "word",
            "`\\\\w` of the Whitespace pre-tokenizer and of `single_word`.",
            predicate_runs(lambda c: splits(whitespace, "a" + chr(c) + "b") == ["a" + chr(c) + "b"]),
        ),
        (
            "accents",
            "What StripAccents removes.",
            predicate_runs(lambda c: strip_accents.normalize_str("a" + chr(c)) == "a"),
        ),
        (
            "bertAccents",
            "What BertNormalizer removes after decomposing.",
            predicate_runs(lambda c: nfd(chr(c)) == chr(c) and bert_accents.normalize_str("a" + chr(c)) == "a"),
        ),
        (
            "bertControls",
            "What BertNormalizer removes as control characters.",
            predicate_runs(lambda c: bert_clean.normalize_str("a" + chr(c)) == "a"),
        ),
        ("scripts", "Scripts by number, 0 for what belongs to any: run lengths with the number.", scripts()),
    ]
    lines = [
        "// Generated by Tools/tokenizer/generate_unicode_tables.py: do not edit.",
        "// swift-format-ignore-file",
        "",
        "/// Unicode facts in compact text; `UnicodeTable` and `Normalization` unfold them on first use.",
        "enum UnicodeData {",
    ]
    for name, comment, text in tables:
        lines.append(f"    /// {comment}".replace("\\\\w", "\\w"))
        lines.append(f'    static let {name} = """')
        for start in range(0, len(text), 100):
            tail = "" if start + 100 >= len(text) else "\\"
            lines.append(f"        {text[start:start + 100]}{tail}")
        lines.append('        """')
        lines.append("")
    lines[-1] = "}"
    target = pathlib.Path(__file__).parents[2] / "Sources/LFTokenizer/UnicodeData.swift"
    target.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
