"""Compares our tokenizer with Python's `tokenizers` on random text: ids, ids with special tokens, offsets, decoding.

Trains tokenizers on the spot that together use every component of the format, writes each as a model folder, sends the
same random strings through both, and stops with status 1 at the first folder with a difference.

    fuzz_tokenizers.py --command "llamafactory-cli tokenize" --strings 200000 --seed 1
"""

import argparse
import io
import json
import pathlib
import random
import re
import shlex
import subprocess
import sys
import tempfile

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
CL100K = (
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
)
O200K = "|".join(
    [
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n/]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    ]
)
DEEPSEEK = [
    r"\p{N}{1,3}",
    "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
    r"[!\"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+",
]

# What vocabulary sizes are multiplied by.
SCALE = [1.0]

WORDS = (
    "the The THE of and hello world tokenizer don't I'LL we've they're naïve café 123 3.14 1,000,000 x=y+z "
    "def return import self.value != == -> // <html> &amp; https://example.com/a?b=c user@mail.org "
    "你好 世界 日本語 カタカナ ひらがな 한국어 привет мир Ελλάδα العربية עברית हिन्दी ไทย 😀 👩‍👩‍👧 🇩🇪 ﬁ ß İ ŉ ﷺ ½ ² Ⅷ ㈱ "
    "don\u2019t e\u0301 A\u030a \u0344 \u1100\u1161\u11a8 \uac00 \u200d \u00ad \u3000 \u00a0 \t \n \r\n"
).split(" ")


def corpus(seed):
    generator = random.Random(seed)
    for path in sorted(pathlib.Path(json.__file__).parent.glob("*.py")):
        yield from path.read_text().splitlines()
    for _ in range(3000):
        yield " ".join(generator.choice(WORDS) for _ in range(generator.randint(3, 15)))


def random_scalar(generator):
    kind = generator.random()
    if kind < 0.35:
        return generator.randint(0x20, 0x7E)
    if kind < 0.40:
        return generator.choice([0x09, 0x0A, 0x0D, 0x0B, 0x0C, 0x20, 0x20, 0x20, 0x85, 0xA0, 0x2003, 0x2028, 0x3000])
    if kind < 0.50:
        return generator.randint(0xA0, 0x2FF)
    if kind < 0.58:
        return generator.choice([generator.randint(0x300, 0x36F), generator.randint(0x483, 0x487), 0x94D, 0x3099])
    if kind < 0.68:
        return generator.randint(0x370, 0x1FFF)
    if kind < 0.76:
        return generator.randint(0x2000, 0x2FFF)
    if kind < 0.86:
        return generator.randint(0x3000, 0x9FFF)
    if kind < 0.90:
        return generator.randint(0xAC00, 0xD7FF)
    if kind < 0.94:
        return generator.randint(0xE000, 0xFFFF)
    if kind < 0.98:
        return generator.randint(0x10000, 0x1FFFF)
    return generator.randint(0x20000, 0x10FFFF)


def random_text(generator, glue):
    parts = []
    for _ in range(generator.randint(1, generator.choice([2, 4, 12, 30]))):
        kind = generator.random()
        if kind < 0.40:
            parts.append(generator.choice(WORDS))
        elif kind < 0.55:
            parts.append("".join(chr(random_scalar(generator)) for _ in range(generator.randint(1, 8))))
        elif kind < 0.67:
            parts.append(generator.choice(glue))
        elif kind < 0.75:
            parts.append(generator.choice([" ", "\n", "\t", "\r\n", "\u00a0", "  "]) * generator.randint(1, 6))
        elif kind < 0.80:
            parts.append(chr(random_scalar(generator)) * generator.choice([2, 3, 7, 40, 120]))
        elif kind < 0.85:
            parts.append(generator.choice(["'s", "'S", "'\u017f", "'ll", "'LL", "'re", "'vE", "'d", "'"]))
        elif kind < 0.90:
            parts.append(str(generator.randint(0, 10 ** generator.randint(1, 12))))
        else:
            parts.append(" ")
    if generator.random() < 0.03:
        parts.insert(generator.randrange(len(parts) + 1), chr(generator.randint(0xD800, 0xDBFF)))
    return "".join(parts)


def whole(text):
    """The text as Python's tokenizers can take it: U+FFFD for lone surrogates, which ours makes of them itself."""
    return re.sub("[\ud800-\udbff]", "\ufffd", text)


def byte_level(pattern=None, prefix=False, behavior="isolated"):
    if pattern is None:
        return pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=True)
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior=behavior),
            pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=False),
        ]
    )


def train_bpe(normalizer, pre_tokenizer, decoder, lines, vocab=None, alphabet=True, limit=None, tokens=(), **options):
    tokenizer = Tokenizer(models.BPE(**options))
    set_parts(tokenizer, normalizer, pre_tokenizer, decoder)
    extra = {key: options[key] for key in ("continuing_subword_prefix", "end_of_word_suffix") if key in options}
    trainer = trainers.BpeTrainer(
        vocab_size=int((vocab or 1500) * SCALE[0]),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [],
        special_tokens=list(tokens),
        show_progress=False,
        **({"limit_alphabet": limit} if limit else {}),
        **extra,
    )
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def set_parts(tokenizer, normalizer, pre_tokenizer, decoder):
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    if decoder is not None:
        tokenizer.decoder = decoder


def train_other(model, trainer, normalizer, pre_tokenizer, decoder, lines):
    tokenizer = Tokenizer(model)
    set_parts(tokenizer, normalizer, pre_tokenizer, decoder)
    tokenizer.train_from_iterator(lines, trainer)
    return tokenizer


def with_model(tokenizer, **fields):
    """The tokenizer with other fields in its model."""
    description = json.loads(tokenizer.to_str())
    description["model"].update(fields)
    return Tokenizer.from_str(json.dumps(description))


def llama2_decoder():
    return decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )


def template(tokenizer, single, names):
    tokenizer.post_processor = processors.TemplateProcessing(
        single=single, pair=f"{single} $B:1", special_tokens=[(name, tokenizer.token_to_id(name)) for name in names]
    )


# Normalization rules of our own: code points, and what becomes of them.
RULES = """41 30A\tC5
AD\t
A0\t20
BD\t31 2F 32
E9\t65
3231\t28 682A 29
FB01\t66 69
FF21\t41
1F600\t3A 29
"""


def charsmap(rules):
    """Normalization rules as SentencePiece compiles them: the given ones, or for None those that it has by default."""
    import sentencepiece
    from sentencepiece import sentencepiece_model_pb2

    model = io.BytesIO()
    with tempfile.NamedTemporaryFile("w", suffix=".tsv") as file:
        file.write(rules or "")
        file.flush()
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(["a b c d e f g h i j k"] * 50),
            model_writer=model,
            vocab_size=20,
            minloglevel=2,
            hard_vocab_limit=False,
            **({"normalization_rule_tsv": file.name} if rules else {}),
        )
    proto = sentencepiece_model_pb2.ModelProto()
    proto.ParseFromString(model.getvalue())
    return proto.normalizer_spec.precompiled_charsmap


def add_awkward_tokens(tokenizer):
    tokenizer.add_special_tokens(["<s>", "</s>", "<|im_start|>", AddedToken("<mask>", lstrip=True, special=True)])
    tokenizer.add_tokens(
        [
            AddedToken("<tool>", rstrip=True, normalized=False),
            AddedToken("Word", single_word=True, normalized=False),
            AddedToken("NORM", normalized=True),
            AddedToken("both", lstrip=True, rstrip=True, single_word=True, normalized=True),
            AddedToken("<|im", normalized=False),
            AddedToken("日本", normalized=True),
            AddedToken("é", normalized=True),
            AddedToken("  ", normalized=False),
        ]
    )


GLUE = (
    "<s>|</s>|<|im_start|>|<mask>| <mask> |<tool>|<tool>  x|Word|aWord|Word1|Word |NORM|norm| NORM|both| both |<|im|<|im_"
    "|日本|é|e\u0301|  |  ||"
).split("|") + ["<|im_start|>", "<|im", "<|im_end|>"]


def build(seed, scale=1.0, rules=None):
    """Tokenizers by name; `scale` makes their vocabularies smaller, `rules` are those of Precompiled."""
    SCALE[0] = scale
    lines = list(corpus(seed))
    unigram_tokens = ["<unk>", "<s>", "</s>"]
    pre = pre_tokenizers
    norm = normalizers
    made = {}
    made["gpt2"] = train_bpe(None, byte_level(), decoders.ByteLevel(), lines)
    made["gpt2"].post_processor = processors.ByteLevel(trim_offsets=True)
    made["gpt2_prefix"] = train_bpe(None, byte_level(prefix=True), decoders.ByteLevel(), lines)
    made["roberta"] = train_bpe(
        None, byte_level(prefix=True), decoders.ByteLevel(), lines, tokens=["<s>", "<pad>", "</s>"]
    )
    made["roberta"].post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    made["llama3"] = with_model(
        train_bpe(None, byte_level(GPT4 % "{1,3}"), decoders.ByteLevel(), lines), ignore_merges=True
    )
    made["qwen2"] = train_bpe(norm.NFC(), byte_level(GPT4 % ""), decoders.ByteLevel(), lines)
    made["cl100k"] = train_bpe(None, byte_level(CL100K), decoders.ByteLevel(), lines)
    made["o200k"] = train_bpe(None, byte_level(O200K), decoders.ByteLevel(), lines)
    made["deepseek"] = train_bpe(
        None,
        pre.Sequence(
            [pre.Split(Regex(pattern), behavior="isolated") for pattern in DEEPSEEK]
            + [pre.ByteLevel(add_prefix_space=False, use_regex=False)]
        ),
        decoders.ByteLevel(),
        lines,
    )
    made["byte_gaps"] = train_bpe(
        None, byte_level(), decoders.ByteLevel(), lines, alphabet=False, limit=40, unk_token="<u>", tokens=["<u>"]
    )
    made["byte_gaps_silent"] = train_bpe(None, byte_level(), decoders.ByteLevel(), lines, alphabet=False, limit=40)
    made["byte_normalizer"] = train_bpe(
        norm.Sequence([norm.NFKC(), norm.ByteLevel()]), pre.Digits(individual_digits=True), decoders.ByteLevel(), lines
    )
    spaces = norm.Sequence([norm.Prepend("▁"), norm.Replace(" ", "▁")])
    fallback = [f"<0x{byte:02X}>" for byte in range(256)]
    for fuse in (True, False):
        made[f"llama2_fuse_{fuse}"] = with_model(
            train_bpe(
                spaces, None, llama2_decoder(), lines, vocab=2500, alphabet=False, limit=60,
                tokens=["<unk>", "<s>", "</s>"] + fallback, unk_token="<unk>",
            ),
            byte_fallback=True,
            fuse_unk=fuse,
        )
        template(made[f"llama2_fuse_{fuse}"], "<s> $A", ["<s>"])
        made[f"spm_unknown_fuse_{fuse}"] = with_model(
            train_bpe(
                spaces, None, llama2_decoder(), lines, alphabet=False, limit=50, tokens=["<unk>"], unk_token="<unk>"
            ),
            fuse_unk=fuse,
        )
    made["gemma"] = with_model(
        train_bpe(
            norm.Replace(" ", "▁"), pre.Split(" ", "merged_with_previous"),
            decoders.Sequence([decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]),
            lines, vocab=2500, alphabet=False, tokens=["<pad>", "<eos>", "<bos>", "<unk>"] + fallback,
            unk_token="<unk>",
        ),
        byte_fallback=True,
        fuse_unk=True,
    )
    for scheme in ("always", "first", "never"):
        for split in (True, False):
            made[f"metaspace_{scheme}_{split}"] = with_model(
                train_bpe(
                    None, pre.Metaspace(prepend_scheme=scheme, split=split),
                    decoders.Metaspace(prepend_scheme=scheme), lines, alphabet=False, tokens=["<unk>"],
                    unk_token="<unk>",
                ),
                fuse_unk=split,
            )
    made["end_of_word"] = train_bpe(
        norm.Lowercase(), pre.Whitespace(), decoders.BPEDecoder(suffix="</w>"), lines, alphabet=False,
        end_of_word_suffix="</w>", unk_token="<unk>", tokens=["<unk>"],
    )
    made["continuing"] = train_bpe(
        norm.NFD(), pre.WhitespaceSplit(), decoders.WordPiece(prefix="@@"), lines, alphabet=False,
        continuing_subword_prefix="@@", unk_token="<unk>", tokens=["<unk>"],
    )

    def unigram(normalizer, pre_tokenizer, decoder, byte_fallback=False, tokens=unigram_tokens):
        trained = train_other(
            models.Unigram(),
            trainers.UnigramTrainer(
                vocab_size=int(1200 * SCALE[0]), special_tokens=list(tokens), unk_token="<unk>", show_progress=False
            ),
            normalizer, pre_tokenizer, decoder, lines,
        )
        return with_model(trained, byte_fallback=byte_fallback)

    made["t5"] = unigram(
        norm.Sequence([norm.Precompiled(charsmap(rules)), norm.Strip(left=False), norm.Replace(Regex(" {2,}"), "▁")]),
        pre.Metaspace(), decoders.Metaspace(),
    )
    template(made["t5"], "$A </s>", ["</s>"])
    made["albert"] = unigram(
        norm.Sequence([norm.Replace("``", '"'), norm.NFKD(), norm.StripAccents(), norm.Lowercase()]),
        pre.Sequence([pre.WhitespaceSplit(), pre.Metaspace()]), decoders.Metaspace(), byte_fallback=True,
        tokens=unigram_tokens + fallback,
    )
    made["unigram_scripts"] = unigram(
        norm.Nmt(), pre.Sequence([pre.UnicodeScripts(), pre.Digits(individual_digits=False)]), None
    )

    def wordpiece(normalizer, pre_tokenizer, decoder):
        return train_other(
            models.WordPiece(unk_token="[UNK]"),
            trainers.WordPieceTrainer(
                vocab_size=int(1500 * SCALE[0]), special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]"], show_progress=False
            ),
            normalizer, pre_tokenizer, decoder, lines,
        )

    made["bert_uncased"] = wordpiece(norm.BertNormalizer(), pre.BertPreTokenizer(), decoders.WordPiece())
    made["bert_uncased"].post_processor = processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    made["bert_cased"] = wordpiece(
        norm.BertNormalizer(lowercase=False, strip_accents=True), pre.BertPreTokenizer(), decoders.WordPiece(cleanup=False)
    )
    made["bert_plain"] = wordpiece(
        norm.BertNormalizer(clean_text=False, handle_chinese_chars=False, strip_accents=False, lowercase=True),
        pre.Sequence([pre.Whitespace(), pre.Punctuation(behavior="contiguous")]), decoders.WordPiece(),
    )

    def wordlevel(normalizer, pre_tokenizer, decoder):
        return train_other(
            models.WordLevel(unk_token="<unk>"),
            trainers.WordLevelTrainer(vocab_size=int(1500 * SCALE[0]), special_tokens=["<unk>"], show_progress=False),
            normalizer, pre_tokenizer, decoder, lines,
        )

    made["wordlevel"] = wordlevel(norm.NFKC(), pre.Whitespace(), None)
    made["ctc"] = wordlevel(
        norm.Sequence([norm.Strip(), norm.Lowercase(), norm.Replace(" ", "|")]), pre.FixedLength(1), decoders.CTC()
    )
    for behavior in ("removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"):
        for invert in (False, True):
            made[f"split_{behavior}_{invert}"] = wordlevel(
                norm.Strip(right=False), pre.Split(Regex(r"[\s\p{P}]"), behavior=behavior, invert=invert), None
            )
        made[f"punctuation_{behavior}"] = wordlevel(None, pre.Punctuation(behavior=behavior), decoders.Fuse())
    made["delimiter"] = wordlevel(
        norm.Replace(Regex(r"[0-9]+"), "#"), pre.Sequence([pre.CharDelimiterSplit(" "), pre.FixedLength(3)]), None
    )
    for tokenizer in made.values():
        add_awkward_tokens(tokenizer)
    return made


def run(command, folder, lines, *options):
    process = subprocess.run(
        [*command, str(folder), *options], input="\n".join(lines) + "\n", capture_output=True, text=True, encoding="utf-8"
    )
    if process.returncode != 0:
        sys.exit(f"{folder.name}: {process.stderr or process.stdout}")
    return [json.loads(line) for line in process.stdout.splitlines()]


def compare(name, tokenizer, folder, command, texts, generator):
    differences = 0

    def differ(what, text, expected, found):
        nonlocal differences
        differences += 1
        if differences <= 5:
            print(f"{name}: {what} of {text!r}:\n  expected {expected}\n  found    {found}")

    answers = run(command, folder, [json.dumps(text) for text in texts], "--offsets")
    sequences = []
    for text, answer, plain, special in zip(
        texts,
        answers,
        tokenizer.encode_batch([whole(text) for text in texts], add_special_tokens=False),
        tokenizer.encode_batch([whole(text) for text in texts], add_special_tokens=True),
        strict=True,
    ):
        if answer["ids"] != plain.ids:
            differ("ids", text, plain.tokens, [tokenizer.id_to_token(id) for id in answer["ids"]])
        elif [tuple(offset) for offset in answer["offsets"]] != plain.offsets:
            differ("offsets", text, list(zip(plain.tokens, plain.offsets)), answer["offsets"])
        if answer["ids_with_special"] != special.ids:
            differ("ids with special tokens", text, special.ids, answer["ids_with_special"])
        sequences.append(special.ids)
    size = tokenizer.get_vocab_size()
    for _ in range(len(texts) // 10):
        sequences.append([generator.randrange(size + 3) for _ in range(generator.randint(1, 20))])
    answers = run(command, folder, [json.dumps(ids) for ids in sequences], "--decode")
    for ids, answer in zip(sequences, answers, strict=True):
        for key, skips in (("text", False), ("text_skip_special", True)):
            try:
                expected = tokenizer.decode(ids, skip_special_tokens=skips)
            except BaseException as error:
                # The Rust decoders of BPE panic when there is nothing to decode.
                if "overflow" in str(error) or "subtract" in str(error):
                    continue
                raise
            if answer[key] != expected:
                differ(f"decode {key}", ids, repr(expected), repr(answer[key]))
    return differences


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", default="llamafactory-cli tokenize", help="what is run with a model folder")
    parser.add_argument("--strings", type=int, default=200_000, help="how many strings in all")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", help="a part of the names of the tokenizers to test")
    parser.add_argument("--keep", help="a folder to write the tokenizers to")
    arguments = parser.parse_args()
    command = shlex.split(arguments.command)
    made = build(arguments.seed)
    names = [name for name in made if not arguments.only or arguments.only in name]
    share = -(-arguments.strings // len(names))
    generator = random.Random(arguments.seed)
    total = 0
    failures = 0
    with tempfile.TemporaryDirectory() as temporary:
        root = pathlib.Path(arguments.keep or temporary)
        for name in names:
            folder = root / name
            folder.mkdir(parents=True, exist_ok=True)
            made[name].save(str(folder / "tokenizer.json"))
            (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "PreTrainedTokenizerFast"}\n')
            texts = ["", " ", "  a", "a  "] + [random_text(generator, GLUE) for _ in range(share)]
            differences = compare(name, made[name], folder, command, texts, generator)
            total += len(texts)
            failures += differences > 0
            print(f"{name}: {len(texts)} strings, {differences} differences", flush=True)
    print(f"seed {arguments.seed}: {total} strings, {len(names)} tokenizers, {failures} of them differ")
    sys.exit(failures > 0)


if __name__ == "__main__":
    main()
