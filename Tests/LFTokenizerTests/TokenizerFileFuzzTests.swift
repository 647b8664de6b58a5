import Foundation
import LFDiagnostics
import LFJSON
import LFTokenizer
import Testing

/// Tokenizer folders that are damaged at random: each loads or fails with a sentence, and none ends the process.
///
/// A few hundred are tried; `LF_FUZZ_SECONDS=600` goes on for ten minutes (`make fuzz-tokenizer-files`), `LF_FUZZ_SEED`
/// chooses others. The folder that is being tried stays where the process dies.
@Suite struct TokenizerFileFuzzTests {
    private struct Case {
        var name: String
        /// Contents by file name.
        var files: [String: [UInt8]]
    }

    private static func number(_ name: String) -> UInt64? {
        ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) }
    }

    /// Every component of `tokenizer.json`, and the older formats.
    private static func corpus() throws -> [Case] {
        func bytes(_ path: String) throws -> [UInt8] {
            Array(try Data(contentsOf: URL(fileURLWithPath: "\(golden)/\(path)")))
        }
        var cases: [Case] = []
        let components = try String(
            decoding: bytes("tokenizer_components.jsonl"), as: UTF8.self)
        for line in components.split(separator: "\n") {
            let row = try JSONValue.parse(Array(line.utf8), source: "components")
            guard let file = row["tokenizer"] else { continue }
            cases.append(
                Case(
                    name: row["name"]?.string ?? "",
                    files: ["tokenizer.json": Array(file.serialized().utf8)]))
        }
        for kind in ["llama3", "qwen2", "llama2", "gemma"] {
            var files: [String: [UInt8]] = [:]
            for name in ["tokenizer.json", "tokenizer_config.json"] {
                files[name] = try bytes("tokenizers/\(kind)/\(name)")
            }
            cases.append(Case(name: kind, files: files))
        }
        for kind in ["llama2", "gemma"] {
            var files = ["tokenizer.model": try bytes("tokenizers/\(kind)/tokenizer.model")]
            files["tokenizer_config.json"] = try bytes("tokenizers/\(kind)/tokenizer_config.json")
            cases.append(Case(name: "\(kind) SentencePiece", files: files))
        }
        let letters = (0..<256).map { Data([UInt8($0)]).base64EncodedString() + " \($0)" }
        cases.append(
            Case(
                name: "tiktoken",
                files: [
                    "qwen.tiktoken": Array(
                        (letters + ["YWI= 256", "YWJj 257"]).joined(separator: "\n").utf8),
                    "tokenizer_config.json": Array(#"{"tokenizer_class": "QWenTokenizer"}"#.utf8),
                ]))
        cases.append(
            Case(
                name: "vocabulary and merges",
                files: [
                    "vocab.json": Array(#"{"a": 0, "b": 1, "ab": 2, "Ġ": 3, "Ġab": 4}"#.utf8),
                    "merges.txt": Array("#version: 0.2\na b\nĠ ab\n".utf8),
                    "tokenizer_config.json": Array(#"{"tokenizer_class": "GPT2Tokenizer"}"#.utf8),
                ]))
        return cases
    }

    private static let strangeValues: [JSONValue] = [
        .null, .bool(true), .int(-1), .int(0), .int(Int64.max), .int(Int64.min), .double(1e308), .double(0.5),
        .string(""), .string("\u{0}"), .string("(?"), .string("▁"), .array([]), .object([:]),
        .array([.string("a"), .string("b")]), .object(["type": "Sequence"]), .object(["id": -5]),
        .array([.array([.string("a")])]),
    ]

    /// The value with one place, found by a random walk, replaced, removed or doubled.
    private static func changed(_ value: JSONValue, _ generator: inout SplitMix, depth: Int = 0) -> JSONValue
    {
        let stops = depth > 1 && Int.random(in: 0..<4, using: &generator) == 0
        switch value {
        case .object(let object) where !stops && !object.isEmpty:
            var members = object.map { (key: $0.key, value: $0.value) }
            let place = Int.random(in: members.indices, using: &generator)
            switch Int.random(in: 0..<8, using: &generator) {
            case 0: members.remove(at: place)
            case 1: members[place].key = members[Int.random(in: members.indices, using: &generator)].key
            default:
                members[place].value = changed(members[place].value, &generator, depth: depth + 1)
            }
            var result: JSONObject = [:]
            for member in members { result[member.key] = member.value }
            return .object(result)
        case .array(var list) where !stops && !list.isEmpty:
            let place = Int.random(in: list.indices, using: &generator)
            switch Int.random(in: 0..<8, using: &generator) {
            case 0: list.remove(at: place)
            case 1: list.insert(list[place], at: Int.random(in: list.indices, using: &generator))
            default: list[place] = changed(list[place], &generator, depth: depth + 1)
            }
            return .array(list)
        default: return strangeValues[Int.random(in: strangeValues.indices, using: &generator)]
        }
    }

    private static func damage(_ bytes: [UInt8], isJSON: Bool, _ generator: inout SplitMix) -> [UInt8] {
        if isJSON, Int.random(in: 0..<4, using: &generator) > 0,
            var value = try? JSONValue.parse(bytes, source: "case")
        {
            for _ in 0...Int.random(in: 0..<3, using: &generator) { value = changed(value, &generator) }
            return Array(value.serialized().utf8)
        }
        var bytes = bytes
        for _ in 0...Int.random(in: 0..<8, using: &generator) where !bytes.isEmpty {
            let place = Int.random(in: bytes.indices, using: &generator)
            switch Int.random(in: 0..<6, using: &generator) {
            case 0: bytes.removeLast(place)
            case 1:
                let end = min(bytes.count, place + Int.random(in: 0..<64, using: &generator))
                bytes.insert(
                    contentsOf: bytes[place..<end], at: Int.random(in: bytes.indices, using: &generator))
            case 2: bytes[place] ^= 1 << UInt8.random(in: 0..<8, using: &generator)
            default: bytes[place] = UInt8.random(in: .min ... .max, using: &generator)
            }
        }
        return bytes
    }

    @Test func damagedFoldersLoadOrAreRefused() throws {
        let corpus = try Self.corpus()
        let seconds = Self.number("LF_FUZZ_SECONDS")
        let seed = Self.number("LF_FUZZ_SEED") ?? 11
        var generator = SplitMix(state: seed)
        let folder = NSTemporaryDirectory() + "tokenizer-file-fuzz-\(getpid())"
        try? FileManager.default.removeItem(atPath: folder)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let start = Date()
        var tried = 0, loaded = 0, slowest = 0.0
        while seconds.map({ Date().timeIntervalSince(start) < Double($0) }) ?? (tried < 300) {
            let chosen = corpus[Int.random(in: corpus.indices, using: &generator)]
            guard let damaged = chosen.files.keys.sorted().randomElement(using: &generator) else { continue }
            for (name, bytes) in chosen.files {
                let content =
                    name == damaged
                    ? Self.damage(bytes, isJSON: name.hasSuffix(".json"), &generator) : bytes
                try Data(content).write(to: URL(fileURLWithPath: "\(folder)/\(name)"))
            }
            let begin = Date()
            do {
                let tokenizer = try Tokenizer.load(directory: folder)
                loaded += 1
                let ids = try tokenizer.encode("Hello, wörld! <|im_start|> 123 日本 ▁<s>\u{0}\n\t e\u{301}")
                _ = tokenizer.decode(ids)
                _ = tokenizer.decode([0, 1, Int32.max, 3], skipSpecialTokens: true)
            } catch let error as UserError {
                #expect(!error.problem.isEmpty && !error.remedy.isEmpty)
            }
            slowest = max(slowest, Date().timeIntervalSince(begin))
            for name in chosen.files.keys { try FileManager.default.removeItem(atPath: "\(folder)/\(name)") }
            tried += 1
        }
        try FileManager.default.removeItem(atPath: folder)
        #expect(loaded > tried / 20 && loaded < tried, "\(loaded) of \(tried) loaded")
        #expect(slowest < 20, "one folder took \(slowest) s")
        if seconds != nil {
            print(
                "tokenizer files: seed \(seed), \(tried) damaged folders, \(loaded) loaded, \(tried - loaded) refused, slowest \(slowest) s"
            )
        }
    }
}
