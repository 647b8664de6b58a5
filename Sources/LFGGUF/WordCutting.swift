import LFJSON

/// One step of a byte-level tokenizer's way from text to words.
enum WordCut: Equatable {
    /// What an expression matches, and what lies between, become words of their own.
    case expression(String)
    case digits(individually: Bool)
    /// Runs of punctuation become words of their own.
    case punctuation
    /// Bytes become printable characters, behind a cut by GPT-2's expression where `cutsWords`.
    case bytes(cutsWords: Bool)

    /// A step of tokenizer.json; nil for one that drops text or that no published tokenizer has.
    init?(_ step: JSONValue) {
        switch step["type"]?.string {
        case "ByteLevel": self = .bytes(cutsWords: step["use_regex"]?.bool != false)
        case "Digits": self = .digits(individually: step["individual_digits"]?.bool == true)
        case "Punctuation":
            guard step["behavior"]?.string == "Contiguous" else { return nil }
            self = .punctuation
        case "Split":
            // What is not matched is left out, or nothing is.
            let isInverted = step["invert"]?.bool == true
            guard step["behavior"]?.string == (isInverted ? "Removed" : "Isolated"),
                let pattern = step["pattern"]?["Regex"]?.string
            else { return nil }
            self = .expression(Self.escaped(pattern))
        default: return nil
        }
    }

    /// Some files have line ends as they are where others write escapes.
    private static func escaped(_ pattern: String) -> String {
        pattern.unicodeScalars.reduce(into: "") { text, scalar in
            text += scalar == "\r" ? #"\r"# : scalar == "\n" ? #"\n"# : String(scalar)
        }
    }

    /// The step as tokenizer.json says it.
    var json: JSONValue {
        switch self {
        case .expression(let pattern):
            [
                "type": "Split", "pattern": ["Regex": .string(pattern)], "behavior": "Isolated",
                "invert": false,
            ]
        case .digits(let individually): ["type": "Digits", "individual_digits": .bool(individually)]
        case .punctuation: ["type": "Punctuation", "behavior": "Contiguous"]
        case .bytes(let cutsWords):
            [
                "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
                "use_regex": .bool(cutsWords),
            ]
        }
    }
}

/// A published way to normalize text and to cut it into words, and the names that llama.cpp has for it.
///
/// Names, merging and beginnings are those of llama.cpp's `llama-vocab.cpp`; steps those of the published tokenizer.json, which llama.cpp follows.
struct WordCutting {
    /// Values of `tokenizer.ggml.pre`.
    let names: [String]
    let steps: [WordCut]
    var composes = false
    /// Whether a word that is a token is taken whole, whatever merges say.
    var ignoresMerges = false
    /// Whether the beginning-of-text token comes first where the file does not say.
    var beginsTexts = false

    private init(
        _ names: String, _ steps: WordCut..., composes: Bool = false, ignoresMerges: Bool = false,
        beginsTexts: Bool = false
    ) {
        self.names = names.split(separator: " ").map(String.init)
        (self.steps, self.composes) = (steps, composes)
        (self.ignoresMerges, self.beginsTexts) = (ignoresMerges, beginsTexts)
    }

    /// The normalizer of tokenizer.json: NFC, or none.
    var normalizer: JSONValue { composes ? ["type": "NFC"] : .null }

    /// The pre-tokenizer of tokenizer.json.
    var preTokenizer: JSONValue {
        if steps.count == 1, let step = steps.first { return step.json }
        return ["type": "Sequence", "pretokenizers": .array(steps.map(\.json))]
    }

    static func named(_ name: String) -> WordCutting? { all.first { $0.names.contains(name) } }

    /// The first ones of those that cut alike give tokenizers that are not published their names.
    static let all: [WordCutting] = {
        let bytes = WordCut.bytes(cutsWords: false)
        let (words, digit) = (WordCut.bytes(cutsWords: true), WordCut.digits(individually: true))
        let lineEnds = WordCut.expression(#"[\r\n]"#)
        let asian = WordCut.expression("[\u{4E00}-\u{9FA5}\u{800}-\u{4E00}\u{AC00}-\u{D7FF}]+")
        let kana = WordCut.expression("[\u{4E00}-\u{9FA5}\u{3040}-\u{309F}\u{30A0}-\u{30FF}]+")
        let threeDigits = WordCut.expression(#"\p{N}{1,3}"#)
        let wide = "\u{FF01}-\u{FF0F}\u{FF1A}-\u{FF5E}\u{2018}-\u{201F}\u{3000}-\u{3002}"
        let oldLetters = WordCut.expression(#"\s?["# + casedLetters + "]+")
        let oldSymbols = WordCut.expression(#"\s?[!-/:-~"# + wide + "]+")
        let withMarks = #"|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*"#
        let withoutLines = #"|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1}| ?[^\s\p{L}\p{N}\r\n]+"#
        return [
            .init("gpt-2 phi-2 gigachat a.x-4.0 mellum trillion granite-docling exaone4 jais", words),
            .init("olmo mpt", words, composes: true),
            .init("smollm starcoder refact codeshell exaone minerva-7b mellum2", digit, words),
            .init("command-r", digit, words, composes: true),
            .init("dbrx smaug-bpe", cl100k(digits: "{1,3}"), bytes),
            .init(
                "llama-bpe llama3 llama-v3 falcon3 falcon-h1 pixtral midm-2.0 lfm2 jina-v5-nano",
                cl100k(digits: "{1,3}"), bytes, ignoresMerges: true, beginsTexts: true),
            .init("qwen2 deepseek-r1-qwen", cl100k(digits: ""), bytes, composes: true),
            .init("megrez stablelm2 hunyuan kormo f2llmv2 grok-2 solar-open", cl100k(digits: ""), bytes),
            .init(
                "qwen35", .expression("\(contractions)\(withMarks)\(spaces)"), bytes, composes: true),
            .init("seed-coder", .expression("\(contractions)\(withoutLines)\(spaces)"), bytes),
            .init(
                "bailingmoe bailingmoe2 llada-moe",
                .expression(
                    #"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+"#
                ), bytes),
            .init("minicpm5", threeDigits, cl100k(digits: "+"), bytes, ignoresMerges: true),
            .init(
                "gpt-4o llama4 kanana2 talkie minimax-m2", cased(digits: "{1,3}", end: "\(contractions)?"),
                bytes),
            .init("tekken", cased(digits: "", end: ""), bytes, ignoresMerges: true, beginsTexts: true),
            .init(
                "deepseek-llm", lineEnds, oldLetters, oldSymbols, .expression(#"\s+$"#), asian, digit, bytes),
            .init(
                "deepseek-coder", lineEnds, .expression(#"\s?\p{L}+"#), .expression(#"\s?\p{P}+"#), asian,
                digit, bytes),
            .init(
                "deepseek-v3 hunyuan-dense joyai-llm hy_v4", threeDigits, kana,
                .expression(deepSeek(#"[\r\n]*|\s*[\r\n]+"#)), bytes),
            .init("spark2_5", threeDigits, kana, .expression(deepSeek(#"|[\r\n]"#)), digit, bytes),
            .init(
                "falcon", .punctuation, words, .digits(individually: false), .expression("[0-9][0-9][0-9]")),
        ]
    }()

    // MARK: Expressions

    private static let contractions = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
    private static let spaces = #"|\s*[\r\n]+|\s+(?!\S)|\s+"#

    /// Llama 3's expression, and with other numbers of digits in a word those of Qwen and others.
    private static func cl100k(digits: String) -> WordCut {
        .expression(
            #"\#(contractions)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}\#(digits)| ?[^\s\p{L}\p{N}]+[\r\n]*\#(spaces)"#)
    }

    /// GPT-4o's expression and Mistral's: words end where the case rises.
    ///
    /// - Parameter end: What may follow a word of letters, such as `'s`.
    private static func cased(digits: String, end: String) -> WordCut {
        let upper = #"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]"#
        let lower = #"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"#
        let start = #"[^\r\n\p{L}\p{N}]?"#
        let letters = "\(start)\(upper)*\(lower)+\(end)|\(start)\(upper)+\(lower)*\(end)"
        return .expression(#"\#(letters)|\p{N}\#(digits)| ?[^\s\p{L}\p{N}]+[\r\n/]*\#(spaces)"#)
    }

    /// The last expression of DeepSeek-V3 and of Spark.
    ///
    /// - Parameter lines: What follows a run of symbols, and what matches the ends of lines.
    private static func deepSeek(_ lines: String) -> String {
        let marked = ##"[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+"##
        return #"\#(marked)|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+\#(lines)|\s+(?!\S)|\s+"#
    }

    /// The letters with a case that DeepSeek's first tokenizers know, as ranges of a class of characters.
    private static let casedLetters: String = {
        let codes = """
            41-5A 61-7A B5 C0-D6 D8-F6 F8-1BA 1BC-1BF 1C4-293 295-2AF 370-373 376 377 37B-37D 37F 386 388-38A 38C \
            38E-3A1 3A3-3F5 3F7-481 48A-52F 531-556 10A0-10C5 13A0-13F5 13F8-13FD 1C90-1CBA 1CBD-1CBF 1D00-1D2B \
            1D6B-1D77 1D79-1D9A 1E00-1F15 1F18-1F1D 1F20-1F45 1F48-1F4D 1F50-1F57 1F59 1F5B 1F5D 1F5F-1F7D \
            1F80-1FB4 1FB6-1FBC 1FBE 1FC2-1FC4 1FC6-1FCC 1FD0-1FD3 1FD6-1FDB 1FE0-1FEC 1FF2-1FF4 1FF6-1FFC 2102 \
            2107 210A-2113 2115 2119-211D 2124 2126 2128 212A-212D 212F-2134 2139 213C-213F 2145-2149 214E 2183 \
            2184 2C00-2C7B 2C7E-2CE4 2CEB-2CEE 2CF2 2CF3 A640-A66D A680-A69B A722-A76F A771-A787 A78B-A78E \
            AB70-ABBF FB00-FB06 FB13-FB17 FF21-FF3A FF41-FF5A 10400-1044F 104B0-104D3 104D8-104FB 10C80-10CB2 \
            10CC0-10CF2 118A0-118DF 1E900-1E943
            """
        return codes.split(separator: " ").map { range in
            range.split(separator: "-").compactMap { UInt32($0, radix: 16).flatMap(Unicode.Scalar.init) }
                .map { String($0) }.joined(separator: "-")
        }.joined()
    }()
}
