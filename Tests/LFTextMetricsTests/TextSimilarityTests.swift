import Foundation
import LFDiagnostics
import LFJSON
import LFTextMetrics
import Testing

/// Words and scores as jieba 0.42.1, rouge_chinese and nltk give them (upstream's `ComputeSimilarity`).
@Suite struct TextSimilarityTests {
    static let root =
        #filePath.split(separator: "/", omittingEmptySubsequences: false).dropLast(3).joined(separator: "/")
        + "/Fixtures/golden/text_metrics"

    /// jieba's own dictionary, where one is at hand.
    static let packageFolder = ProcessInfo.processInfo.environment["JIEBA_HOME"].flatMap {
        $0.isEmpty ? nil : $0
    }

    struct Case {
        let prediction: String, label: String
        let smallWords: [String]
        let smallScores: [Double], scores: [Double]
    }

    static func cases() throws -> [Case] {
        try #require(JSONValue.read(path: root + "/cases.json").array).map { json in
            func numbers(_ key: String) throws -> [Double] {
                try #require(json[key]?.array).map { try #require($0.double) }
            }
            return Case(
                prediction: try #require(json["prediction"]?.string),
                label: try #require(json["label"]?.string),
                smallWords: try #require(json["small_words"]?.array).map { try #require($0.string) },
                smallScores: try numbers("small_scores"), scores: try numbers("scores"))
        }
    }

    @Test func wordsAndScoresWithADictionaryOfOurOwn() throws {
        let cutter = WordCutter(try WordDictionary(folder: Self.root + "/small_dictionary"))
        let cases = try Self.cases()
        #expect(cases.count == 40)
        for recorded in cases {
            #expect(cutter.cut(recorded.prediction) == recorded.smallWords)
            let similarity = TextSimilarity(
                prediction: recorded.prediction, label: recorded.label, cutter: cutter)
            for (got, wanted) in zip(similarity.values, recorded.smallScores) {
                #expect(
                    abs(got - wanted) <= 1e-4,
                    "\(recorded.prediction) | \(recorded.label): \(similarity), not \(recorded.smallScores)")
            }
        }
    }

    @Test(.enabled(if: packageFolder != nil, "JIEBA_HOME names the package's folder"))
    func scoresWithTheRealDictionary() throws {
        let cutter = WordCutter(try WordDictionary(folder: #require(Self.packageFolder)))
        for recorded in try Self.cases() {
            let similarity = TextSimilarity(
                prediction: recorded.prediction, label: recorded.label, cutter: cutter)
            for (got, wanted) in zip(similarity.values, recorded.scores) {
                #expect(
                    abs(got - wanted) <= 1e-4,
                    "\(recorded.prediction) | \(recorded.label): \(similarity), not \(recorded.scores)")
            }
        }
    }

    @Test func aMissingOrBrokenDictionaryIsNamed() throws {
        #expect(throws: UserError.self) { try WordDictionary(folder: "/nowhere") }
        let error = #expect(throws: UserError.self) {
            try JiebaPackage.folder(environment: ["JIEBA_HOME": "/nowhere"]) { _ in }
        }
        #expect(error?.remedy.contains("jieba") == true)
        let folder = NSTemporaryDirectory() + "jieba-\(UUID().uuidString)"
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.copyItem(atPath: Self.root + "/small_dictionary", toPath: folder)
        #expect(try JiebaPackage.folder(environment: ["JIEBA_HOME": folder]) { _ in } == folder)
        try Data("word x\n".utf8).write(to: URL(fileURLWithPath: folder + "/dict.txt"))
        let broken = #expect(throws: UserError.self) { try WordDictionary(folder: folder) }
        #expect(broken?.location?.hasSuffix("dict.txt:1") == true)
        try Data("P={'B': {'".utf8).write(to: URL(fileURLWithPath: folder + "/finalseg/prob_emit.py"))
        #expect(throws: UserError.self) { try WordDictionary(folder: folder) }
    }
}
