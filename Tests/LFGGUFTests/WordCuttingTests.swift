import Foundation
import LFDiagnostics
import LFGGUF
import LFJSON
import LFTokenizer
import Testing

/// How text is cut into words under the names of `tokenizer.ggml.pre`, against what Python's tokenizers recorded (`Tools/golden/record_word_cutting.py`).
@Suite struct WordCuttingTests {
    private struct Record {
        let tokens: [String]
        let merges: [String]
        let texts: [String]
        let cuttings: [(names: [String], ids: [[Int32]])]

        init() throws {
            let file = try JSONValue.read(path: fixture("golden/gguf/words.json"))
            func strings(_ value: JSONValue?) -> [String] { value?.array?.compactMap(\.string) ?? [] }
            (tokens, merges) = (strings(file["tokens"]), strings(file["merges"]))
            texts = strings(file["texts"])
            cuttings = (file["cuttings"]?.array ?? []).map { cutting in
                (
                    strings(cutting["names"]),
                    (cutting["ids"]?.array ?? []).map {
                        $0.array?.compactMap { $0.int.map(Int32.init) } ?? []
                    }
                )
            }
        }

        /// What a GGUF file with these words and merges is as tokenizer.json.
        func tokenizer(_ name: String, _ more: GGUFMetadata = []) throws -> GGUFTokenizer {
            let metadata: GGUFMetadata = [
                ("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.pre", .string(name)),
                ("tokenizer.ggml.tokens", .strings(tokens)), ("tokenizer.ggml.merges", .strings(merges)),
            ]
            return try GGUFTokenizer(WordCuttingTests.written(metadata + more))
        }
    }

    @Test func namesCutTextAsThePublishedTokenizersDo() throws {
        let record = try Record()
        #expect(record.cuttings.count >= 19 && record.texts.count > 100)
        for (names, expected) in record.cuttings {
            let first = try #require(names.first)
            let read = try record.tokenizer(first)
            let tokenizer = try loaded(read)
            for (text, ids) in zip(record.texts, expected) {
                #expect(try tokenizer.encode(text) == ids, "\(first): \(text.debugDescription)")
            }
            // What cuts alike is written under a name that is read in the same way.
            let name = try #require(PreTokenizerName.derived(from: read.tokenizer), "\(first)")
            let again = try record.tokenizer(name).tokenizer
            #expect(again["pre_tokenizer"] == read.tokenizer["pre_tokenizer"], "\(first), \(name)")
            #expect(again["model"]?["ignore_merges"] == read.tokenizer["model"]?["ignore_merges"], "\(first)")
            for other in names.dropFirst() {
                let tokenizer = try record.tokenizer(other).tokenizer
                for part in ["normalizer", "pre_tokenizer"] {
                    #expect(tokenizer[part] == read.tokenizer[part], "\(other)")
                }
            }
        }
    }

    /// Published files leave it to the name whether texts begin with a token.
    @Test func namesTellTheBeginning() throws {
        let record = try Record()
        let begins: Set = [
            "llama-bpe", "llama3", "llama-v3", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2",
            "jina-v5-nano", "tekken",
        ]
        for name in record.cuttings.flatMap(\.names) {
            let read = try record.tokenizer(name, [("tokenizer.ggml.bos_token_id", .uint32(7))])
            let processor = read.tokenizer["post_processor"]?["type"]?.string
            #expect(processor == (begins.contains(name) ? "Sequence" : "ByteLevel"), "\(name)")
        }
    }

    private func loaded(_ read: GGUFTokenizer) throws -> Tokenizer {
        let folder = NSTemporaryDirectory() + "lfgguf-\(UUID().uuidString)"
        try createDirectories(at: folder)
        defer { removeTree(folder) }
        try writeFileAtomically(read.tokenizer.serialized(), to: folder + "/tokenizer.json")
        try writeFileAtomically(read.config.serialized(), to: folder + "/tokenizer_config.json")
        return try Tokenizer.load(directory: folder)
    }

    fileprivate static func written(_ metadata: GGUFMetadata) throws -> GGUFContents {
        let tensor = GGUFTensor(
            name: "w", shape: [1], type: .float32,
            sources: [SourceTensor(name: "w", shape: [1]) { { _ in [1] } }], change: WeightChange())
        let path = NSTemporaryDirectory() + "lfgguf-\(UUID().uuidString).gguf"
        defer { removeTree(path) }
        _ = try writeGGUF([tensor], metadata: metadata, to: path) {}
        return try Data(contentsOf: URL(fileURLWithPath: path)).withUnsafeBytes {
            try GGUFContents($0, path: "m.gguf")
        }
    }
}
