import Foundation
import LFData
import LFJSON
import LFStream
import LFTokenizer
import Testing

/// `loading.json` holds the rows that LLaMA-Factory's loader chose, in its order (`Tools/golden/record_loading.py`).
@Suite struct LoadingGoldenTests {
    @Test func samplesMixesAndSplitsAsRecorded() throws {
        let recorded = try JSONValue.read(path: TrainingGolden.folder + "/../loading.json")
        let folder = try DataFolder(info: recorded["dataset_info"]?.serialized(), files: [:])
        for (name, count) in try #require(recorded["lengths"]?.object) {
            let rows = (0..<(count.int ?? 0)).map {
                #"{"instruction": "\#(name).\#($0)", "input": "", "output": "x"}"#
            }
            try folder.write("\(name).json", Data("[\(rows.joined(separator: ", "))]".utf8))
        }
        let tokenizer = try Tokenizer.load(directory: TrainingGolden.folder + "/models/tiny_llama")
        /// The question of each example, which is its row's name.
        func names(_ examples: [Example]?) -> [String] {
            (examples ?? []).map { example in
                let text = tokenizer.decode(example.sequences[0].inputIDs)
                return text.firstMatch(of: /([a-z]\.[0-9]+)<\|eot_id\|>/).map { String($0.1) } ?? text
            }
        }
        func texts(_ value: JSONValue?) -> [String] { (value?.array ?? []).compactMap(\.string) }

        let cases = try #require(recorded["cases"]?.array)
        #expect(cases.count == 20)
        for given in cases {
            let arguments = try #require(given["arguments"]?.object).map {
                "\($0.key)=\($0.value.string ?? "")"
            }
            let module = try folder.load(arguments)
            #expect(names(module.train) == texts(given["train"]), "\(arguments)")
            let expected = given["eval"]?.object ?? [:]
            #expect(
                module.eval.map { set in set.name.map { "validation_\($0)" } ?? "validation" }
                    == expected.keys.map { $0 })
            for (set, recorded) in zip(module.eval, expected) {
                #expect(names(set.examples) == texts(recorded.value), "\(arguments)")
            }
        }
    }
}
