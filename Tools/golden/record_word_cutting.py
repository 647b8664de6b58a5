"""Writes Fixtures/golden/gguf/words.json: how published byte-level tokenizers cut texts into words, by the names of `tokenizer.ggml.pre`.

Each entry of CUTTINGS is a normalizer and a pre-tokenizer as the published tokenizer.json files have them. Python's `tokenizers` 0.22.2 encodes the
texts with each, all with one vocabulary that was trained without any cut: a whole text is one token of it, so that a border in another place gives
other ids.
"""

import json
import pathlib
import random

import tokenizers
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

assert tokenizers.__version__ == "0.22.2", tokenizers.__version__
END = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
LINES = r"|\s*[\r\n]+|\s+(?!\S)|\s+"
CL100K = END + r"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}%s| ?[^\s\p{L}\p{N}]+[\r\n]*" + LINES
U, L = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
START = r"[^\r\n\p{L}\p{N}]?"
O200K = f"{START}{U}*{L}+{END}?|{START}{U}+{L}*{END}?" + r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + LINES
TEKKEN = f"{START}{U}*{L}+|{START}{U}+{L}*" + r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*" + LINES
QWEN35 = END + r"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*" + LINES
SEED = END + "|[^\r\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1}| ?[^\\s\\p{L}\\p{N}\r\n]+|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
LING = r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"
KANA = "[\u4E00-\u9FA5\u3040-\u309F\u30A0-\u30FF]+"
MARKED = r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"""
V3 = MARKED + "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+"
SPARK = MARKED + "|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+|[\r\n]|\\s+(?!\\S)|\\s+"
ASIAN = "[\u4E00-\u9FA5\u0800-\u4E00\uAC00-\uD7FF]+"
CASED = (
    "A-Za-z\u00B5\u00C0-\u00D6\u00D8-\u00F6\u00F8-\u01BA\u01BC-\u01BF\u01C4-\u0293\u0295-\u02AF\u0370-\u0373\u0376\u0377\u037B-\u037D"
    "\u037F\u0386\u0388-\u038A\u038C\u038E-\u03A1\u03A3-\u03F5\u03F7-\u0481\u048A-\u052F\u0531-\u0556\u10A0-\u10C5\u13A0-\u13F5"
    "\u13F8-\u13FD\u1C90-\u1CBA\u1CBD-\u1CBF\u1D00-\u1D2B\u1D6B-\u1D77\u1D79-\u1D9A\u1E00-\u1F15\u1F18-\u1F1D\u1F20-\u1F45\u1F48-\u1F4D"
    "\u1F50-\u1F57\u1F59\u1F5B\u1F5D\u1F5F-\u1F7D\u1F80-\u1FB4\u1FB6-\u1FBC\u1FBE\u1FC2-\u1FC4\u1FC6-\u1FCC\u1FD0-\u1FD3\u1FD6-\u1FDB"
    "\u1FE0-\u1FEC\u1FF2-\u1FF4\u1FF6-\u1FFC\u2102\u2107\u210A-\u2113\u2115\u2119-\u211D\u2124\u2126\u2128\u212A-\u212D\u212F-\u2134"
    "\u2139\u213C-\u213F\u2145-\u2149\u214E\u2183\u2184\u2C00-\u2C7B\u2C7E-\u2CE4\u2CEB-\u2CEE\u2CF2\u2CF3\uA640-\uA66D\uA680-\uA69B"
    "\uA722-\uA76F\uA771-\uA787\uA78B-\uA78E\uAB70-\uABBF\uFB00-\uFB06\uFB13-\uFB17\uFF21-\uFF3A\uFF41-\uFF5A\U00010400-\U0001044F"
    "\U000104B0-\U000104D3\U000104D8-\U000104FB\U00010C80-\U00010CB2\U00010CC0-\U00010CF2\U000118A0-\U000118DF\U0001E900-\U0001E943"
)
SYMBOLS = "!-/:-~\uFF01-\uFF0F\uFF1A-\uFF5E\u2018-\u201F\u3000-\u3002"


def split(pattern):
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def level(cuts):
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=cuts)


def digits(one):
    return pre_tokenizers.Digits(individual_digits=one)


# Names, steps, whether NFC comes first, whether words that are tokens are taken whole.
CUTTINGS = [
    ("gpt-2 phi-2 gigachat a.x-4.0 mellum trillion granite-docling exaone4 jais", [level(True)], False, False),
    ("olmo mpt", [level(True)], True, False),
    ("smollm starcoder refact codeshell exaone minerva-7b mellum2", [digits(True), level(True)], False, False),
    ("command-r", [digits(True), level(True)], True, False),
    ("dbrx smaug-bpe", [split(CL100K % "{1,3}"), level(False)], False, False),
    ("llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano", [split(CL100K % "{1,3}"), level(False)], False, True),
    ("qwen2 deepseek-r1-qwen", [split(CL100K % ""), level(False)], True, False),
    ("megrez stablelm2 hunyuan kormo f2llmv2 grok-2 solar-open", [split(CL100K % ""), level(False)], False, False),
    ("qwen35", [split(QWEN35), level(False)], True, False),
    ("seed-coder", [split(SEED), level(False)], False, False),
    ("bailingmoe bailingmoe2 llada-moe", [split(LING), level(False)], False, False),
    ("minicpm5", [split(r"\p{N}{1,3}"), split(CL100K % "+"), level(False)], False, True),
    ("gpt-4o llama4 kanana2 talkie minimax-m2", [split(O200K), level(False)], False, False),
    ("tekken", [split(TEKKEN), level(False)], False, True),
    (
        "deepseek-llm",
        [split("[\r\n]"), split(rf"\s?[{CASED}]+"), split(rf"\s?[{SYMBOLS}]+"), split(r"\s+$"), split(ASIAN), digits(True), level(False)], False, False),
    ("deepseek-coder", [split("[\r\n]"), split(r"\s?\p{L}+"), split(r"\s?\p{P}+"), split(ASIAN), digits(True), level(False)], False, False),
    ("deepseek-v3 hunyuan-dense joyai-llm hy_v4", [split(r"\p{N}{1,3}"), split(KANA), split(V3), level(False)], False, False),
    ("spark2_5", [split(r"\p{N}{1,3}"), split(KANA), split(SPARK), digits(True), level(False)], False, False),
    ("falcon", [pre_tokenizers.Punctuation("contiguous"), level(True), digits(False), split("[0-9][0-9][0-9]")], False, False),
]

TEXTS = [
    "Hello world", "  two  spaces ", "line\nend\r\n\r\n next", "\t\ttabs \t x", "trailing   ", "I've 'told he's, 'RE you sure? WE'LL go",
    "camelCaseHTTPServer XMLHttp", "snake_case_name(x)", "x = a[i]/b;//end\n/", "3 33 333 3333 33333333", "1,234.56e-7", "a1b22c333d4444",
    "½ ² ٣٤٥ Ⅷ 12½", "我想在apple工作1314151天", "こんにちはカタカナ・ー。", "한국어 텍스트 ㄱㄴ", "हिन्दी भाषा", "ไทย ភាសាខ្មែរ", "café e\u0301tude \u2126m",
    "Ünïcödé ǅungla ʰaspirated", "\u01bb \u01c0\u0561\u0570 \u1c90ab", "“quoted” ‘text’ — dash…", "！？：全角，。「」", "😀👩‍🚀🏳️‍🌈!", "$100 + €20 = <ok>^2 `q`|~",
    "\u00a0nbsp\u3000wide\u2003em", "\u200bzero\u200dwidth\u00ad", "a.b@c.de https://x.y/z?q=1#f", "don't don’t DON'T 'tis", "... --- ===\n\n\n***", "'''\"\"\"```",
    "Привет, МИР! нещо", "αβγ ΑΒΓ ὈΔΥΣΣΕΎΣ", "عربي ١٢٣ עברית", "\u0378\ue000\U0001f9ff", "end \n \n", "\r\r\n x\n", " ", "\n", "", "x\u0301\u0302y", "ﬁn Ａｂｃ１２",
]
GLUE = [
    " ", "  ", "\n", "\r\n", "\t", "'s", "'LL", "'", "ab", "AB", "aB", "Z", "7", "42", "123", "4567", "½", "é", "e\u0301", "\u0301", "日", "カ", "한", "ǅ", "ʰ", "!", "..",
    "/", "_", "$", "😀", "\u00a0", "。", "“",
]


def build(vocab, merges, steps, composes, whole):
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges, ignore_merges=whole))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(steps)
    if composes:
        tokenizer.normalizer = normalizers.NFC()
    return tokenizer


def main():
    generator = random.Random(5)
    texts = TEXTS + ["".join(generator.choice(GLUE) for _ in range(generator.randint(3, 9))) for _ in range(70)]
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = level(False)
    trainer = trainers.BpeTrainer(vocab_size=6000, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    trained.train_from_iterator(texts, trainer)
    assert all(len(trained.encode(text).ids) == 1 for text in texts if text)
    model = json.loads(trained.to_str())["model"]
    # No merges lead to these: only who takes words whole finds them.
    words = [word for text in TEXTS for word, _ in level(True).pre_tokenize_str(text) if word not in model["vocab"]]
    for word in dict.fromkeys(words[:8]):
        model["vocab"][word] = len(model["vocab"])
    merges = [tuple(pair) for pair in model["merges"]]
    cuttings = []
    for names, steps, composes, whole in CUTTINGS:
        tokenizer = build(model["vocab"], merges, steps, composes, whole)
        cuttings.append({"names": names.split(), "ids": [tokenizer.encode(text).ids for text in texts]})
    record = {
        "tokens": sorted(model["vocab"], key=model["vocab"].get), "merges": [" ".join(pair) for pair in merges], "texts": texts, "cuttings": cuttings,
    }
    target = pathlib.Path(__file__).parents[2] / "Fixtures/golden/gguf/words.json"
    with target.open("w", encoding="utf-8") as file:
        json.dump(record, file, ensure_ascii=False, separators=(",", ":"))
        file.write("\n")


if __name__ == "__main__":
    main()
