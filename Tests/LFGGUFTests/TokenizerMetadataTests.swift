import LFDiagnostics
import LFGGUF
import LFJSON
import LFTokenizer
import Testing

@Suite struct TokenizerMetadataTests {
    private func metadata(
        _ name: String, count: Int? = nil, ends: [Int32] = [], chatTemplate: String? = nil,
        model: JSONObject = [:]
    ) throws -> (values: [String: GGUFValue], tokenizer: Tokenizer) {
        let folder = fixture("golden/tokenizers/\(name)")
        let tokenizer = try Tokenizer.load(directory: folder)
        let metadata = try TokenizerMetadata(
            tokenizer, folder: folder, model: model, count: count ?? tokenizer.idEnd,
            chatTemplate: chatTemplate, ends: ends)
        let values = Dictionary(uniqueKeysWithValues: metadata.entries.map { ($0.key, $0.value) })
        return (values, tokenizer)
    }

    @Test func byteLevelTokenizersHaveMerges() throws {
        for (name, pre) in [("llama3", "llama-bpe"), ("qwen2", "qwen2")] {
            let (values, tokenizer) = try metadata(name, count: nil, chatTemplate: "{{ x }}")
            #expect(values["tokenizer.ggml.model"] == .string("gpt2"))
            #expect(values["tokenizer.ggml.pre"] == .string(pre), "\(name)")
            #expect(values["tokenizer.chat_template"] == .string("{{ x }}"))
            guard case .strings(let tokens) = values["tokenizer.ggml.tokens"],
                case .int32s(let types) = values["tokenizer.ggml.token_type"],
                case .strings(let merges) = values["tokenizer.ggml.merges"]
            else {
                Issue.record("no tokens, types or merges")
                continue
            }
            #expect(tokens.count == tokenizer.idEnd && types.count == tokens.count)
            #expect(merges.allSatisfy { $0.split(separator: " ").count == 2 })
            for id in tokenizer.specialIDs { #expect(types[Int(id)] == 3) }
            #expect(values["tokenizer.ggml.add_bos_token"] == .bool(tokenizer.addsBOS))
        }
    }

    /// What merges first has the highest score, and a longer piece's score tells when it was merged.
    @Test func piecesHaveScores() throws {
        let (values, tokenizer) = try metadata("llama2", count: nil)
        #expect(values["tokenizer.ggml.model"] == .string("llama"))
        #expect(values["tokenizer.ggml.add_space_prefix"] == .bool(true))
        guard case .float32s(let scores) = values["tokenizer.ggml.scores"],
            case .int32s(let types) = values["tokenizer.ggml.token_type"]
        else { throw UserError(.failedRun, "no scores", remedy: "") }
        let merges = try JSONValue.read(path: fixture("golden/tokenizers/llama2/tokenizer.json"))["model"]?[
            "merges"]?
            .array
        let first = try #require(merges?.first)
        let piece =
            first.string?.split(separator: " ").joined() ?? (first.array ?? []).compactMap(\.string).joined()
        let id = try #require(tokenizer.id(of: piece))
        #expect(scores[Int(id)] == 0)
        #expect(scores.filter { $0 > -1000 }.max() == 0)
        #expect(types[Int(try #require(tokenizer.id(of: "<0x0A>")))] == 6)
        #expect(types[Int(try #require(tokenizer.bosID))] == 3)
        let gemma = try metadata("gemma").values
        #expect(gemma["tokenizer.ggml.add_space_prefix"] == .bool(false))
    }

    @Test func rowsWithoutATokenAreUnused() throws {
        let count = try metadata("qwen2").tokenizer.idEnd
        let (values, _) = try metadata("qwen2", count: count + 2)
        guard case .strings(let tokens) = values["tokenizer.ggml.tokens"],
            case .int32s(let types) = values["tokenizer.ggml.token_type"]
        else { throw UserError(.failedRun, "no tokens", remedy: "") }
        #expect(tokens.suffix(2) == ["[PAD\(count)]", "[PAD\(count + 1)]"])
        #expect(types.suffix(2) == [5, 5])
        #expect(throws: UserError.self) { _ = try metadata("qwen2", count: count - 1) }
    }

    @Test func endsOfAnAnswerAreNamed() throws {
        let (values, tokenizer) = try metadata("qwen2")
        let end = try #require(tokenizer.eosID)
        #expect(values["tokenizer.ggml.eos_token_id"] == .uint32(UInt32(end)))
        #expect(values["tokenizer.ggml.eot_token_id"] == nil)
        let other = try metadata("qwen2", ends: [end, 5]).values
        #expect(other["tokenizer.ggml.eot_token_id"] == .uint32(5))
    }

    /// Qwen's tokenizer names no beginning of a sequence, its model does.
    @Test func tokensThatOnlyTheModelNamesAreWritten() throws {
        #expect(try metadata("qwen2").values["tokenizer.ggml.bos_token_id"] == nil)
        let named = try metadata("qwen2", model: ["bos_token_id": 3, "eos_token_id": 1_000_000]).values
        #expect(named["tokenizer.ggml.bos_token_id"] == .uint32(3))
        #expect(named["tokenizer.ggml.add_bos_token"] == .bool(false))
    }

    // MARK: Names of pre-tokenizers

    private func derived(_ preTokenizer: String, ignoresMerges: Bool = false) throws -> String? {
        let text =
            #"{"pre_tokenizer": \#(preTokenizer), "model": {"ignore_merges": \#(ignoresMerges)}}"#
        return PreTokenizerName.derived(from: try JSONValue.parse(text, source: "tokenizer.json"))
    }

    @Test func waysToCutTextAreKnownByTheirParts() throws {
        let bytes = #"{"type": "ByteLevel", "use_regex": true}"#
        let digits = #"{"type": "Digits", "individual_digits": true}"#
        func sequence(_ parts: String...) -> String {
            #"{"type": "Sequence", "pretokenizers": [\#(parts.joined(separator: ", "))]}"#
        }
        #expect(try derived(bytes) == "gpt-2")
        #expect(try derived(sequence(digits, bytes)) == "smollm")
        #expect(try derived(sequence(bytes, digits)) == nil)
        #expect(try derived(#"{"type": "Whitespace"}"#) == nil)
        // What is cut away is not what is kept.
        let removed = try #require(try cutting(behavior: "Removed", isInverted: false))
        #expect(try derived(removed) == nil)
        #expect(try derived(#require(try cutting(behavior: "Removed", isInverted: true))) == "dbrx")
        let llama = try JSONValue.read(path: fixture("golden/tokenizers/llama3/tokenizer.json"))[
            "pre_tokenizer"]
        let text = try #require(llama?.serialized())
        #expect(try derived(text, ignoresMerges: true) == "llama-bpe")
        #expect(try derived(text) == "dbrx")
    }

    /// Llama 3's pre-tokenizer with another behavior of its pattern.
    private func cutting(behavior: String, isInverted: Bool) throws -> String? {
        let file = try JSONValue.read(path: fixture("golden/tokenizers/llama3/tokenizer.json"))
        return file["pre_tokenizer"]?.serialized().replacing(
            #""behavior": "Isolated", "invert": false"#,
            with: #""behavior": "\#(behavior)", "invert": \#(isInverted)"#)
    }

    /// llama.cpp normalizes nothing, but who reads the file again does.
    @Test func normalizersTellNamesApart() throws {
        func name(_ normalizer: String, _ preTokenizer: String, ignoresMerges: Bool = false) throws -> String?
        {
            let text =
                #"{"normalizer": \#(normalizer), "pre_tokenizer": \#(preTokenizer), "model": {"ignore_merges": \#(ignoresMerges)}}"#
            return PreTokenizerName.derived(from: try JSONValue.parse(text, source: "tokenizer.json"))
        }
        let bytes = #"{"type": "ByteLevel"}"#
        #expect(try name(#"{"type": "NFC"}"#, bytes) == "olmo")
        #expect(try name(#"{"type": "Sequence", "normalizers": []}"#, bytes) == "gpt-2")
        // Nobody else merges so: the nearest name is taken.
        #expect(try name("null", bytes, ignoresMerges: true) == "gpt-2")
        #expect(try name("null", #"{"type": "Punctuation", "behavior": "Isolated"}"#) == nil)
    }

    /// A made-up list of ids has no name.
    @Test func unknownIDsHaveNoName() {
        #expect(PreTokenizerName.published(for: [1, 2, 3]) == nil)
        #expect(PreTokenizerName.probe.unicodeScalars.count == 350)
    }
}
