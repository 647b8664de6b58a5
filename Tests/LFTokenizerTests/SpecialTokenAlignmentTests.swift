import Foundation
import LFJSON
import LFTokenizer
import Testing

/// A model's configurations name the tokenizer's special tokens as transformers' Trainer makes them.
@Suite struct SpecialTokenAlignmentTests {
    private static let keys = ["bos_token_id", "eos_token_id", "pad_token_id"]

    /// Recorded by Tools/golden/record_special_tokens.py. A list of one id is that id, an id that stands twice counts once, and what is
    /// null in a generation configuration is not in its file.
    @Test func configurationsBecomeTheRecordedOnes() throws {
        let cases = try #require(try JSONValue.read(path: golden + "/special_tokens.json").array)
        #expect(cases.count == 84)
        for recorded in cases {
            var config = try #require(recorded["config"]?.object)
            var generation = JSONObject()
            for (key, value) in try #require(recorded["generation"]?.object) where !value.isNull {
                generation[key] = value
            }
            let id = { (key: String) in recorded["tokenizer"]?[key]?.int.map { Int32($0) } }
            SpecialTokenIDs(bos: id("bos_token_id"), eos: id("eos_token_id"), pad: id("pad_token_id"))
                .align(config: &config, generation: &generation)
            for key in Self.keys {
                let text = "\(key) of \(recorded.serialized())"
                #expect(ids(config[key]) == ids(recorded["aligned_config"]?[key]), "\(text)")
                #expect(ids(generation[key]) == ids(recorded["aligned_generation"]?[key]), "\(text)")
                #expect(generation[key]?.isNull != true)
            }
        }
    }

    private func ids(_ value: JSONValue?) -> [Int] {
        var found: [Int] = []
        for id in value?.int.map({ [$0] }) ?? value?.array?.compactMap(\.int) ?? [] where !found.contains(id)
        {
            found.append(id)
        }
        return found
    }

    @Test func otherSettingsStay() {
        var config: JSONObject = ["vocab_size": 9, "eos_token_id": 2, "pad_token_id": .null]
        var generation: JSONObject = ["eos_token_id": [2, 3], "temperature": 0.6]
        let before = (config, generation)
        SpecialTokenIDs(bos: nil, eos: 2, pad: nil).align(config: &config, generation: &generation)
        #expect(
            JSONValue.object(config) == .object(before.0) && JSONValue.object(generation) == .object(before.1)
        )
        SpecialTokenIDs(bos: nil, eos: 5, pad: 5).align(config: &config, generation: &generation)
        #expect(config["eos_token_id"] == 5 && config["pad_token_id"] == 5 && config["vocab_size"] == 9)
        #expect(generation["eos_token_id"] == [5, 2, 3] && generation["temperature"] == 0.6)
        SpecialTokenIDs(bos: nil, eos: 5, pad: 5).align(config: &config, generation: &generation)
        #expect(generation["eos_token_id"] == [5, 2, 3])
    }
}
