import LFData
import LFStream
import Testing

@Suite struct CollatorTests {
    /// Shares the shortest beginnings too, so that cases can be small.
    static let collator = Collator(leastShared: 1)

    /// A sequence whose tokens from `learned` on have labels.
    static func sequence(_ ids: [Int32], learnedFrom learned: Int) -> LabeledSequence {
        LabeledSequence(inputIDs: ids, labels: ids.enumerated().map { $0 < learned ? ignoreIndex : $1 })
    }

    @Test func aPairSharesItsPrompt() {
        let pair = Example.pairwise(
            chosen: Self.sequence([1, 2, 3, 7, 8], learnedFrom: 3),
            rejected: Self.sequence([1, 2, 3, 9], learnedFrom: 3))
        let stream = Self.collator.stream(of: [pair])
        #expect(stream.inputIDs == [1, 2, 3, 7, 8, 9])
        #expect(stream.positions == [0, 1, 2, 3, 4, 3])
        #expect(
            stream.segments == [
                TokenStream.Segment(range: 0..<3, sequences: [0, 1]),
                TokenStream.Segment(range: 3..<5, prefix: 0, sequences: [0]),
                TokenStream.Segment(range: 5..<6, prefix: 0, sequences: [1]),
            ])
        #expect(stream.targetRows == [2, 3, 2])
        #expect(stream.targetIDs == [7, 8, 9])
        #expect(stream.targetSequences == [0, 0, 1])
        #expect(stream.sequenceCount == 2)
        #expect(stream.targetCounts == [2, 1])
        #expect(stream.labelCount == 3)
    }

    /// Answers that begin alike: the shared rows score for both.
    @Test func answersMayShareTheirBeginning() {
        let pair = Example.pairwise(
            chosen: Self.sequence([1, 5, 6, 7], learnedFrom: 1),
            rejected: Self.sequence([1, 5, 6, 8, 9], learnedFrom: 1))
        let stream = Self.collator.stream(of: [pair])
        #expect(stream.inputIDs == [1, 5, 6, 7, 8, 9])
        #expect(stream.targetCounts == [3, 4])
        let chosen = zip(stream.targetSequences, zip(stream.targetRows, stream.targetIDs)).filter {
            $0.0 == 0
        }
        #expect(chosen.map { $0.1.0 } == [0, 1, 2])
        #expect(chosen.map { $0.1.1 } == [5, 6, 7])
        let rejected = zip(stream.targetSequences, zip(stream.targetRows, stream.targetIDs)).filter {
            $0.0 == 1
        }
        #expect(rejected.map { $0.1.0 } == [0, 1, 2, 4])
        #expect(rejected.map { $0.1.1 } == [5, 6, 8, 9])
    }

    @Test func oneAnswerMayBeginTheOther() {
        let pair = Example.pairwise(
            chosen: Self.sequence([1, 5], learnedFrom: 1), rejected: Self.sequence([1, 5, 6], learnedFrom: 1))
        let stream = Self.collator.stream(of: [pair])
        #expect(stream.segments == [TokenStream.Segment(range: 0..<3, sequences: [0, 1])])
        #expect(stream.lastRows == [1, 2])
        #expect(stream.targetCounts == [1, 2])
        #expect(stream.useCounts() == [2, 2, 1] && stream.useCounts { $0 == 1 } == [1, 1, 1])
        let equal = Self.collator.stream(of: [
            .pairwise(
                chosen: Self.sequence([1, 5], learnedFrom: 1),
                rejected: Self.sequence([1, 5], learnedFrom: 1))
        ])
        #expect(equal.segments.count == 1)
        #expect(equal.targetCounts == [1, 1])
        #expect(equal.useCounts() == [2, 2])
    }

    @Test func pairsWithoutCommonBeginningAreTwoSequences() {
        let pair = Example.pairwise(
            chosen: Self.sequence([1, 5], learnedFrom: 1), rejected: Self.sequence([2, 6], learnedFrom: 1))
        let stream = Self.collator.stream(of: [pair])
        #expect(
            stream.segments == [
                TokenStream.Segment(range: 0..<2, sequences: [0]),
                TokenStream.Segment(range: 2..<4, sequences: [1]),
            ])
        #expect(stream.targetRows == [0, 2])
        #expect(stream.positions == [0, 1, 0, 1])
    }

    @Test func chosenComeBeforeRejected() {
        let pairs = (0..<3).map { i -> Example in
            .pairwise(
                chosen: Self.sequence([1, Int32(10 + i)], learnedFrom: 1),
                rejected: Self.sequence([1, Int32(20 + i)], learnedFrom: 1))
        }
        let stream = Self.collator.stream(of: pairs)
        #expect(stream.sequenceCount == 6)
        #expect(stream.targetIDs == [10, 20, 11, 21, 12, 22])
        #expect(stream.targetSequences == [0, 3, 1, 4, 2, 5])
    }

    /// Shared or not, each sequence scores the same tokens at the same positions behind the same context.
    @Test func sharingChangesNothingButTheCost() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<200 {
            let pairs = (0..<Int.random(in: 0...3, using: &generator)).map { _ -> Example in
                .pairwise(chosen: Self.randomSequence(&generator), rejected: Self.randomSequence(&generator))
            }
            let least = Int.random(in: 1...3, using: &generator)
            let shared = Collator(leastShared: least).stream(of: pairs)
            let plain = Collator(sharesPrefixes: false).stream(of: pairs)
            #expect(Self.scores(shared) == Self.scores(plain))
            #expect(shared.tokenCount <= plain.tokenCount)
            #expect(shared.labelCount == plain.labelCount)
            #expect(plain.tokenCount == pairs.reduce(0) { $0 + $1.tokenCount })
        }
    }

    static func randomSequence(_ generator: inout SystemRandomNumberGenerator) -> LabeledSequence {
        let ids = (0..<Int.random(in: 0...6, using: &generator)).map { _ in
            Int32.random(in: 0...1, using: &generator)
        }
        return LabeledSequence(
            inputIDs: ids, labels: ids.map { Bool.random(using: &generator) ? $0 : ignoreIndex })
    }

    /// Per sequence, what each target sees and what it scores.
    static func scores(_ stream: TokenStream) -> [[[Int32]]] {
        var scores: [[[Int32]]] = Array(repeating: [], count: stream.sequenceCount)
        for i in 0..<stream.targetCount {
            let row = Int(stream.targetRows[i])
            var context: [Int32] = []
            var segment = stream.segments.firstIndex { $0.range.contains(row) }
            var end = row + 1
            while let index = segment {
                let range = stream.segments[index].range
                context = stream.inputIDs[range.lowerBound..<min(end, range.upperBound)] + context
                segment = stream.segments[index].prefix
                end = .max
            }
            #expect(Int(stream.positions[row]) == context.count - 1)
            scores[Int(stream.targetSequences[i])].append(context + [stream.targetIDs[i]])
        }
        return scores.map { $0.sorted { $0.lexicographicallyPrecedes($1) } }
    }

    /// Answers of one conversation, each behind its own prompt: 1 2 | 7 8 and 1 2 9 3 | 4 and 1 2 9 3 5 | 6.
    private static let answers = [
        LabeledSequence(inputIDs: [1, 2, 7, 8], labels: [-100, -100, 7, 8]),
        LabeledSequence(
            inputIDs: [1, 2, 9, 3, 4], labels: [-100, -100, -100, -100, 4], sharesBeginning: true),
        LabeledSequence(
            inputIDs: [1, 2, 9, 3, 5, 6], labels: [-100, -100, -100, -100, -100, 6], sharesBeginning: true),
    ]

    @Test func answersOfAConversationShareTheirBeginnings() {
        let example = Example.supervised(Self.answers)
        let stream = Self.collator.stream(of: [example])
        #expect(stream.inputIDs == [1, 2, 7, 8, 9, 3, 4, 5, 6])
        #expect(stream.positions == [0, 1, 2, 3, 2, 3, 4, 4, 5])
        #expect(
            stream.segments == [
                TokenStream.Segment(range: 0..<2, sequences: [0, 1, 2]),
                TokenStream.Segment(range: 2..<4, prefix: 0, sequences: [0]),
                TokenStream.Segment(range: 4..<6, prefix: 0, sequences: [1, 2]),
                TokenStream.Segment(range: 6..<7, prefix: 2, sequences: [1]),
                TokenStream.Segment(range: 7..<9, prefix: 2, sequences: [2]),
            ])
        #expect(stream.targetRows == [1, 2, 5, 7])
        #expect(stream.targetIDs == [7, 8, 4, 6])
        #expect(stream.targetSequences == [0, 0, 1, 2])
        #expect(stream.lastRows == [3, 6, 8])
        #expect(stream.labelCount == 4 && stream.sequenceCount == 3)
        #expect(example.tokenCount == 15 && stream.sequenceTokenCount == 15)
        // Whether sequences are of one example, or say that they are of one conversation, does not matter.
        let others = Self.answers.map { answer in
            Example.supervised([LabeledSequence(inputIDs: answer.inputIDs, labels: answer.labels)])
        }
        var apart = Self.collator.stream(of: others)
        #expect(apart == stream)
        apart = Self.collator.stream(of: [example] + others)
        #expect(apart.inputIDs == stream.inputIDs && apart.sequenceCount == 6)
        #expect(apart.segments[0].sequences == [0, 1, 2, 3, 4, 5])
        #expect(Self.scores(apart).map(\.count) == [2, 1, 1, 2, 1, 1])
        // What is too short for a segment is repeated: the answers go on from 1 2 with 9 3 twice.
        #expect(Collator(leastShared: 2).stream(of: [example]).tokenCount == 9)
        #expect(Collator(leastShared: 3).stream(of: [example]).tokenCount == 11)
        #expect(Collator(leastShared: 5).stream(of: [example]).tokenCount == 15)
        #expect(example.computedTokenCount == 15)
    }

    /// Equal sequences, one that begins the other, empty ones, several conversations in one example: each scores the same.
    @Test func sharingWithinABatchChangesNothingButTheCost() {
        var generator = SystemRandomNumberGenerator()
        for _ in 0..<300 {
            let examples = (0..<Int.random(in: 0...3, using: &generator)).map { _ -> Example in
                .supervised(
                    (0..<Int.random(in: 0...6, using: &generator)).map { _ in
                        var sequence = Self.randomSequence(&generator)
                        sequence.sharesBeginning = Int.random(in: 0...3, using: &generator) > 0
                        return sequence
                    })
            }
            let least = Int.random(in: 1...3, using: &generator)
            let shared = Collator(leastShared: least).stream(of: examples)
            let plain = Collator(sharesPrefixes: false).stream(of: examples)
            #expect(Self.scores(shared) == Self.scores(plain))
            #expect(shared.labelCount == plain.labelCount && shared.sequenceCount == plain.sequenceCount)
            #expect(plain.tokenCount == examples.reduce(0) { $0 + $1.tokenCount })
            #expect(shared.tokenCount <= plain.tokenCount)
            #expect(least > 1 || shared.tokenCount == Self.beginnings(of: examples).count)
            #expect(
                shared.sequenceTokenCount == plain.tokenCount && plain.sequenceTokenCount == plain.tokenCount)
            #expect(shared.useCounts().reduce(0, +) == plain.tokenCount)
            #expect(Self.scoresOnce(shared) && Self.scoresOnce(plain))
            for (sequence, row) in shared.lastRows.enumerated() where shared.targetCounts[sequence] > 0 {
                #expect(
                    shared.segments.contains {
                        $0.range.contains(Int(row)) && $0.sequences.contains(sequence)
                    })
            }
        }
    }

    /// All different beginnings of the examples' sequences: as many as a tree has tokens.
    static func beginnings(of examples: [Example]) -> Set<[Int32]> {
        Set(
            examples.flatMap(\.sequences).flatMap { sequence in
                sequence.inputIDs.indices.map { Array(sequence.inputIDs[...$0]) }
            })
    }

    /// Whether each row and token that is scored is scored once, and each target finds its own.
    static func scoresOnce(_ stream: TokenStream) -> Bool {
        func asked(_ target: Int) -> [Int32] { [stream.targetRows[target], stream.targetIDs[target]] }
        let (targets, kinds) = stream.distinctTargets()
        return kinds.indices.allSatisfy { asked(Int(targets[Int(kinds[$0])])) == asked($0) }
            && kinds.count == stream.targetCount
            && Set(targets.map { asked(Int($0)) }).count == targets.count
    }

    @Test func supervisedSequencesStandAlone() {
        let stream = Self.collator.stream(of: [
            .supervised([Self.sequence([1, 2, 3], learnedFrom: 0), Self.sequence([4, 5], learnedFrom: 1)]),
            .supervised([Self.sequence([6, 7], learnedFrom: 2)]),
        ])
        #expect(stream.inputIDs == [1, 2, 3, 4, 5, 6, 7])
        #expect(stream.positions == [0, 1, 2, 0, 1, 0, 1])
        #expect(stream.segments.map(\.range) == [0..<3, 3..<5, 5..<7])
        #expect(stream.targetIDs == [2, 3, 5])
        #expect(stream.targetCounts == [2, 1, 0])
        #expect(stream.labelCount == 4, "the first token's label counts although nothing predicts it")
    }

    /// Where a reward model reads its score: each sequence's own last token, also where one answer begins the other.
    @Test func everySequenceHasItsLastRow() {
        func pair(_ chosen: [Int32], _ rejected: [Int32]) -> Example {
            .pairwise(
                chosen: Self.sequence(chosen, learnedFrom: 1),
                rejected: Self.sequence(rejected, learnedFrom: 1))
        }
        let stream = Self.collator.stream(of: [
            pair([1, 5, 6], [1, 7]), pair([1, 5], [1, 5, 6]), pair([1, 5, 6], [1, 5]), pair([1, 5], [1, 5]),
            pair([2], [3, 4]),
        ])
        let ends = stream.lastRows.map { row in (stream.inputIDs[Int(row)], stream.positions[Int(row)]) }
        #expect(ends.map(\.0) == [6, 5, 6, 5, 2] + [7, 6, 5, 5, 4])
        #expect(ends.map(\.1) == [2, 1, 2, 1, 0] + [1, 2, 1, 1, 1])
        let supervised = Self.collator.stream(of: [
            .supervised([Self.sequence([1, 2], learnedFrom: 0), Self.sequence([3], learnedFrom: 0)])
        ])
        #expect(supervised.lastRows == [1, 2])
    }

    @Test func feedbackIsLaidOutAsAPair() {
        let examples: [Example] = [true, false].map { verdict in
            .feedback(
                answer: Self.sequence([1, 2, 5], learnedFrom: 2),
                unrelated: Self.sequence([1, 2, 6, 7], learnedFrom: 2), isDesirable: verdict)
        }
        let stream = Self.collator.stream(of: examples)
        #expect(stream.isDesirable == [true, false])
        #expect(stream.inputIDs == [1, 2, 5, 6, 7], "both examples are the same")
        #expect(stream.sequenceCount == 4)
        #expect(stream.targetIDs == [5, 5, 6, 7, 6, 7])
        #expect(stream.targetSequences == [0, 1, 2, 2, 3, 3])
        #expect(stream.learnedTokenCount == 3 && stream.learnedTargetCount == 2)
        #expect(examples[0].tokenCount == 7)
    }

    /// Rows of one system text, and a talk of which each row repeats the one before: 20 | 6, 20 | 4 and a chain of 30, 35, 50.
    @Test func aBatchSharesWhatItsExamplesBeginWith() {
        func ids(_ count: Int, from first: Int32) -> [Int32] { (0..<Int32(count)).map { first + $0 } }
        let system = ids(20, from: 100)
        let talk = ids(50, from: 500)
        let rows = [
            system + ids(6, from: 200), Array(talk[..<30]), system + ids(4, from: 300), Array(talk[..<35]),
            talk,
        ]
        let examples = rows.map { Example.supervised([Self.sequence($0, learnedFrom: $0.count - 3)]) }
        let stream = Collator().stream(of: examples)
        #expect(
            stream.segments == [
                TokenStream.Segment(range: 0..<20, sequences: [0, 2]),
                TokenStream.Segment(range: 20..<26, prefix: 0, sequences: [0]),
                TokenStream.Segment(range: 26..<30, prefix: 0, sequences: [2]),
                TokenStream.Segment(range: 30..<80, sequences: [1, 3, 4]),
            ])
        #expect(stream.lastRows == [25, 59, 29, 64, 79])
        #expect(stream.targetRows == [22, 23, 24, 56, 57, 58, 26, 27, 28, 61, 62, 63, 76, 77, 78])
        #expect(stream.targetSequences == [0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4])
        #expect(stream.tokenCount == 80 && stream.sequenceTokenCount == 165)
        // Fifteen tokens are too few for a segment of their own, unless they are all of a sequence.
        let short = [ids(15, from: 1) + [90], ids(15, from: 1) + [91], ids(15, from: 1)]
        let repeated = Collator().stream(of: short.map { .supervised([Self.sequence($0, learnedFrom: 1)]) })
        #expect(repeated.segments.map(\.range) == [0..<16, 16..<32])
        #expect(repeated.targetCounts == [15, 15, 14])
        #expect(repeated.distinctTargets().targets.count == 30)
        #expect(commonBeginning(of: [examples[0], examples[2]]) == 20 && commonBeginning(of: examples) == 0)
        #expect(commonBeginning(of: [examples[1], examples[3], examples[4]]) == 30)
        #expect(commonBeginning(of: short.map { .supervised([Self.sequence($0, learnedFrom: 1)]) }) == 0)
        // Within an example they share as in a batch, and the example says how many are computed.
        let together = Example.supervised(examples.flatMap(\.sequences))
        #expect(Collator().stream(of: [together]) == stream && together.computedTokenCount == 80)
    }

    @Test func edgesGiveNoTargets() {
        let empty = Self.collator.stream(of: [])
        #expect(empty == TokenStream())
        let one = Self.collator.stream(of: [.supervised([Self.sequence([3], learnedFrom: 0)])])
        #expect(one.tokenCount == 1)
        #expect(one.targetCount == 0)
        #expect(one.sequenceCount == 1)
        let masked = Self.collator.stream(of: [.supervised([Self.sequence([3, 4, 5], learnedFrom: 3)])])
        #expect(masked.targetCount == 0)
        #expect(masked.labelCount == 0)
        let nothing = Self.collator.stream(of: [.supervised([LabeledSequence(inputIDs: [], labels: [])])])
        #expect(nothing.segments.isEmpty)
        #expect(nothing.sequenceCount == 1)
        #expect(nothing.targetCounts == [0])
    }
}
