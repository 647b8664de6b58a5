import Foundation
import LFDiagnostics
import LFTokenizer
import Testing

/// Broken files end in one sentence that names the file, never in a crash.
@Suite struct MalformedTokenizerTests {
    private func message(_ json: String, config: String? = nil) throws -> String {
        try withTemporaryFolder { folder in
            try write(json, folder + "/tokenizer.json")
            if let config { try write(config, folder + "/tokenizer_config.json") }
            do {
                _ = try Tokenizer.load(directory: folder)
                return "loaded"
            } catch let error as UserError {
                return error.description.replacingOccurrences(of: folder, with: "")
            }
        }
    }

    private func model(_ fields: String) -> String { #"{"model": {"type": "BPE", \#(fields)}}"# }

    @Test func saysWhatIsWrong() throws {
        let cases = [
            (
                #"{"model": {"type": "BPE""#,
                "invalid JSON: the text ends inside the object that starts at 1:11."
            ),
            ("[]", "/tokenizer.json: the file holds no object."),
            ("{}", "it has no \"model\"."),
            (#"{"version": "2.0"}"#, #"the version is "2.0", only "1.0" is known."#),
            (#"{"model": {"type": "Magic", "vocab": {}}}"#, #"the model "Magic" is not supported."#),
            (model(#""vocab": {"a": 0, "b": 1}, "merges": ["a c"]"#), #"merge 0 joins "a" and "c""#),
            (model(#""vocab": {"a": 0, "b": 1}, "merges": [["a", "b"]]"#), #"merge 0 joins "a" and "b""#),
            (model(#""vocab": {"a": 0, "b": 1}, "merges": ["a b c"]"#), "merge 0 is not a pair of tokens"),
            (model(#""vocab": {"a": 0, "b": 1}, "merges": [7]"#), "merge 0 is neither a string nor a pair"),
            (model(#""vocab": {"a": 0, "b": 0}, "merges": []"#), #"gives id 0 to both "a" and "b""#),
            (model(#""vocab": {"a": -1}, "merges": []"#), #"the token "a" has the id -1"#),
            (model(#""vocab": {"a": 99999999999}, "merges": []"#), #"the token "a" has the id 99999999999"#),
            (model(#""vocab": {"a": "x"}, "merges": []"#), #"the token "a" has the id "x""#),
            (model(#""vocab": [], "merges": []"#), "the model's vocab must be an object"),
            (model(#""vocab": {}, "merges": [], "dropout": 0.1"#), "the model has dropout 0.1"),
            (
                #"{"model": {"type": "Unigram", "unk_id": 3, "vocab": [["a", -1.0]]}}"#,
                "unk_id is 3, but the vocabulary has 1 tokens"
            ),
            (
                #"{"pre_tokenizer": {"type": "Split", "pattern": {"Regex": "("}, "behavior": "Isolated", "invert": false}, "model": {"type": "WordLevel", "vocab": {}}}"#,
                "the regular expression \"(\" is invalid"
            ),
            (
                #"{"normalizer": {"type": "Precompiled", "precompiled_charsmap": "AAAA////"}, "model": {"type": "WordLevel", "vocab": {}}}"#,
                "precompiled_charsmap is not a valid map"
            ),
            (
                #"{"model": {"type": "WordLevel", "vocab": {}}, "decoder": {"type": "Nothing"}}"#,
                #"the decoder "Nothing" is not supported."#
            ),
            (
                #"{"added_tokens": [{"id": 0}], "model": {"type": "WordLevel", "vocab": {}}}"#,
                "an added token has no content"
            ),
            (
                #"{"added_tokens": [{"id": "x", "content": "<s>"}], "model": {"type": "WordLevel", "vocab": {}}}"#,
                #"the id of the added token "<s>" is not a whole number from 0 on"#
            ),
        ]
        for (json, expected) in cases {
            let found = try message(json)
            #expect(found.contains(expected), "\(found)")
            #expect(found.hasPrefix("/tokenizer.json"), "\(found)")
        }
        let nested = String(repeating: "[", count: 5_000_000)
        #expect(try message(#"{"model": "# + nested).contains("values nest deeper than 1000 levels"))
        #expect(
            try message(model(#""vocab": {}, "merges": []"#), config: #"{"eos_token": 7}"#)
                .hasPrefix("/tokenizer_config.json: eos_token must be a string or an object with content"))
    }

    /// A charsmap whose trie leads in circles or out of itself only fails to match.
    @Test func survivesAnyCharsMap() throws {
        var generator = SplitMix(state: 3)
        for _ in 0..<200 {
            var bytes: [UInt8] = [64, 0, 0, 0]
            for _ in 0..<64 { bytes.append(UInt8(truncatingIfNeeded: generator.next())) }
            bytes += Array("abc\0def\0".utf8)
            let map = Data(bytes).base64EncodedString()
            try withTemporaryFolder { folder in
                try write(
                    #"{"normalizer": {"type": "Precompiled", "precompiled_charsmap": "\#(map)"}, "model": {"type": "WordLevel", "unk_token": "u", "vocab": {"u": 0}}}"#,
                    folder + "/tokenizer.json")
                let tokenizer = try Tokenizer.load(directory: folder)
                #expect(try tokenizer.encode("hello wörld 日本").count <= 1)
            }
        }
    }

    /// Counts below zero are refused, and huge ones take no time.
    @Test func countsAreChecked() throws {
        let body = #""model": {"type": "WordLevel", "unk_token": "a", "vocab": {"a": 0, " b ": 1}}}"#
        func strip(_ count: String) -> String {
            #"{"decoder": {"type": "Strip", "content": " ", "start": \#(count), "stop": 0}, "# + body
        }
        #expect(try message(strip("-1")).contains("start must be a whole number of at least 0"))
        #expect(
            try message(#"{"pre_tokenizer": {"type": "FixedLength", "length": -3}, "# + body)
                .contains("length must be a whole number of at least 0"))
        try withTemporaryFolder { folder in
            try write(strip("9223372036854775807"), folder + "/tokenizer.json")
            #expect(try Tokenizer.load(directory: folder).decode([1]) == "b ")
        }
    }

    @Test func saysWhenAnUnknownTokenIsMissing() throws {
        try withTemporaryFolder { folder in
            try write(
                #"{"model": {"type": "WordLevel", "unk_token": "u", "vocab": {"a": 0}}}"#,
                folder + "/tokenizer.json")
            let tokenizer = try Tokenizer.load(directory: folder)
            #expect(try tokenizer.encode("a") == [0])
            for _ in 0..<2 {
                #expect {
                    try tokenizer.encode("b")
                } throws: { error in
                    "\(error)".contains("the text has characters beyond the vocabulary")
                }
            }
        }
    }
}
