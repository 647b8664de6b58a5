import Foundation
import LFData
import LFStream
import LFTemplate
import LFTokenizer
import Testing

extension LabeledSequence {
    /// The text with what is learned between `⟦` and `⟧`, as `preview` shows it.
    func marked(_ tokenizer: Tokenizer) -> String {
        learnedRuns.map { run in
            let text = tokenizer.decode(run.ids, skipSpecialTokens: false)
            return run.isLearned ? "⟦\(text)⟧" : text
        }.joined()
    }
}

/// Which tokens are learned: of whole conversations, of the last turn alone, packed, streamed and cut.
@Suite struct AnswerMaskTests {
    /// Templates with one end token for the whole conversation, which is learned in place of the next turn's first token.
    static let endingOnce = TemplateCatalogue.all.filter { template in
        // The tokenizer of these tests lacks the tokens that ChatGLM's templates name.
        template.usesEfficientEOS
            && !template.prefix.pieces.contains { if case .token = $0 { true } else { false } }
    }.map(\.name)

    private static let info =
        #"{"d": {"file_name": "d.json", "formatting": "openai", "columns": {"messages": "m"}, "tags": {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system"}}}"#

    /// Three questions and answers; an answer may have a weight.
    private static func row(_ weights: [Int?] = [nil, nil, nil]) -> String {
        let turns = [("Name a river.", "Elbe."), ("A lake?", "Garda."), ("A sea?", "Baltic.")]
        let messages = zip(turns, weights).map { turn, weight in
            let key = weight.map { ", \"weight\": \($0)" } ?? ""
            return
                #"{"role": "user", "content": "\#(turn.0)"}, {"role": "assistant", "content": "\#(turn.1)"\#(key)}"#
        }
        return "{\"m\": [\(messages.joined(separator: ", "))]}"
    }

    /// The examples and the tokenizer of a template.
    private static func load(
        _ template: String, rows: [String], _ overrides: [String] = []
    ) throws -> (module: DatasetModule, tokenizer: Tokenizer) {
        let folder = try DataFolder(info: info, files: ["d.json": rows.joined(separator: "\n")])
        var module = try folder.load(["template=\(template)", "cutoff_len=512"] + overrides)
        if let stream = module.stream { module.train = try stream.firstExamples() }
        let tokenizer = try Template.named(template).fitting(
            Tokenizer.load(directory: TrainingGolden.folder + "/models/tiny_llama"))
        return (module, tokenizer)
    }

    private static func sequences(_ module: DatasetModule) -> [LabeledSequence] {
        (module.train ?? []).flatMap(\.sequences)
    }

    @Test func thereAreSuchTemplates() {
        #expect(Self.endingOnce.contains("bailing") && Self.endingOnce.count >= 10, "\(Self.endingOnce)")
    }

    @Test(arguments: endingOnce) func theLastTurnAloneIsLearnedWithItsEnd(_ template: String) throws {
        let (module, tokenizer) = try Self.load(template, rows: [Self.row()], ["mask_history=true"])
        let sequence = try #require(Self.sequences(module).first)
        let runs = sequence.learnedRuns
        #expect(
            runs.count { $0.isLearned } == 1 && runs.last?.isLearned == true, "\(sequence.marked(tokenizer))")
        let learned = tokenizer.decode(runs.last?.ids ?? [])
        #expect(learned.contains("Baltic.") && !learned.contains("Garda") && !learned.contains("sea"))
        #expect(sequence.labels.count { $0 == tokenizer.eosID } == 1)
        #expect(sequence.labels.last == tokenizer.eosID)
    }

    /// The end behind an answer is learned with that answer, and never without it.
    @Test(arguments: endingOnce) func anEndBelongsToItsAnswer(_ template: String) throws {
        let all = [[0, 1, 1], [1, 0, 1], [1, 1, 0], [0, 0, 1], [1, 0, 0], [0, 1, 0], [1, 1, 1]]
        let (module, tokenizer) = try Self.load(template, rows: all.map { Self.row($0) })
        let sequences = Self.sequences(module)
        #expect(sequences.count == all.count)
        let whole = try #require(sequences.last)
        let starts = whole.labels.indices.filter { whole.labels[$0] == tokenizer.eosID }
        #expect(starts.count == 3)
        for (weights, sequence) in zip(all, sequences) {
            #expect(sequence.inputIDs == whole.inputIDs, "weights leave the conversation as it is")
            let ends = starts.map { sequence.labels[$0] == tokenizer.eosID ? 1 : 0 }
            #expect(ends == weights, "\(sequence.marked(tokenizer))")
            for (position, label) in sequence.labels.enumerated() where label != ignoreIndex {
                #expect(label == whole.labels[position])
            }
        }
        // Masking what is earlier and weights of 0 there are the same; reasoning templates differ in their thoughts.
        if try !Template.named(template).isReasoning {
            let (masked, _) = try Self.load(template, rows: [Self.row()], ["mask_history=true"])
            #expect(Self.sequences(masked).first == sequences[3])
        }
    }

    @Test(arguments: [[], ["mask_history=true"]]) func previewsShowWhatIsLearned(_ mask: [String]) throws {
        let (module, tokenizer) = try Self.load("bailing", rows: [Self.row()], mask)
        let text = try #require(Self.sequences(module).first).marked(tokenizer)
        let eos = try #require(tokenizer.eosToken)
        let earlier = mask.isEmpty ? ["⟦Elbe.\(eos)⟧", "⟦Garda.\(eos)⟧"] : ["Elbe.", "Garda."]
        #expect(
            text == "<role>HUMAN</role>Name a river.<role>ASSISTANT</role>\(earlier[0])"
                + "<role>HUMAN</role>A lake?<role>ASSISTANT</role>\(earlier[1])"
                + "<role>HUMAN</role>A sea?<role>ASSISTANT</role>⟦Baltic.\(eos)⟧")
    }

    @Test(arguments: ["bailing", "gemma2", "llama3", "qwen3"], [[], ["mask_history=true"]])
    func packedAndStreamedExamplesHaveTheSameMasks(_ template: String, _ mask: [String]) throws {
        let rows = [Self.row(), Self.row([1, 0, 1]), Self.row([0, 0, 1]), Self.row([nil, nil, 0])]
        let (plain, _) = try Self.load(template, rows: rows, mask)
        let expected = Self.sequences(plain)
        #expect(expected.count == (mask.isEmpty ? 4 : 3))
        func key(_ sequence: LabeledSequence) -> String { "\(sequence.inputIDs) \(sequence.labels)" }
        let (packed, _) = try Self.load(template, rows: rows, mask + ["packing=true", "cutoff_len=2048"])
        #expect(packed.train?.count == 1)
        #expect(Self.sequences(packed).map(key).sorted() == expected.map(key).sorted())
        let (streamed, _) = try Self.load(
            template, rows: rows, mask + ["streaming=true", "max_steps=1", "buffer_size=1"])
        #expect(Self.sequences(streamed) == expected)
        #expect(streamed.warnings.count == plain.warnings.count)
    }

    /// At every `cutoff_len`: what is learned is part of what the whole conversation learns, and no end follows a cut answer.
    @Test(arguments: ["bailing", "gemma2", "llama3"], [[], ["mask_history=true"]])
    func cutConversationsLearnNoEndBehindACutAnswer(_ template: String, _ mask: [String]) throws {
        let (whole, tokenizer) = try Self.load(template, rows: [Self.row()], mask)
        let all = try #require(Self.sequences(whole).first)
        let eos = try #require(tokenizer.eosID)
        let answers = Set(["Elbe.", "Garda.", "Baltic."])
        for cutoff in stride(from: 4, to: all.inputIDs.count + 2, by: 3) {
            let folder = try DataFolder(info: Self.info, files: ["d.json": Self.row()])
            guard let module = try? folder.load(["template=\(template)", "cutoff_len=\(cutoff)"] + mask)
            else { continue }
            let sequence = try #require(Self.sequences(module).first)
            #expect(sequence.inputIDs.count <= cutoff)
            for run in sequence.learnedRuns where run.isLearned && run.ids.last == eos {
                let text = tokenizer.decode(run.ids.dropLast(), skipSpecialTokens: true)
                    .trimmingCharacters(in: .whitespacesAndNewlines)
                #expect(answers.contains(text), "cutoff_len \(cutoff): \(sequence.marked(tokenizer))")
            }
            #expect(module.warnings.isEmpty == (sequence.inputIDs.count == all.inputIDs.count))
        }
    }
}
