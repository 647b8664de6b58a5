import LFData
import LFStream
import Testing

@Suite struct ExampleDigestTests {
    private static func sequence(_ ids: [Int32], _ labels: [Int32]? = nil) -> LabeledSequence {
        LabeledSequence(inputIDs: ids, labels: labels ?? ids)
    }

    /// Everything that a step learns from shows in the digest, and so does the order.
    @Test func tellsExamplesApart() {
        let (a, b) = (Self.sequence([1, 2, 3]), Self.sequence([4, 5]))
        let all: [[Example]] = [
            [], [.supervised([a])], [.supervised([a]), .supervised([b])],
            [.supervised([b]), .supervised([a])],
            [.supervised([a, b])], [.supervised([Self.sequence([1, 2, 3, 4, 5])])],
            [.supervised([Self.sequence([1, 2, 3], [ignoreIndex, 2, 3])])],
            [.pairwise(chosen: a, rejected: b)], [.pairwise(chosen: b, rejected: a)],
            [.feedback(answer: a, unrelated: b, isDesirable: true)],
            [.feedback(answer: a, unrelated: b, isDesirable: false)],
            [.prompted(prompt: [1, 2], answer: [3])], [.prompted(prompt: [1], answer: [2, 3])],
        ]
        #expect(Set(all.map { contentDigest(of: $0) }).count == all.count)
        for examples in all { #expect(contentDigest(of: examples) == contentDigest(of: examples)) }
    }
}
