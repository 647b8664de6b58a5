import LFConfig
import LFTemplate
import LFTorch
import LFWorkflows
import Testing

extension StandInTests {
    /// Greedy answers, drawn ones, penalised ones and the best of several beams: the CPU's tokens, over two turns.
    @Test(
        arguments: [
            [("do_sample", .bool(false))],
            [
                ("do_sample", .bool(true)), ("temperature", .double(1.3)), ("top_p", .double(0.9)),
                ("top_k", .int(40)),
            ],
            [("do_sample", .bool(false)), ("repetition_penalty", .double(1.3))],
            [("do_sample", .bool(false)), ("num_beams", .int(3))],
        ] as [[(String, ArgumentValue)]])
    func answersAreThoseOfTheCPU(_ settings: [(String, ArgumentValue)]) throws {
        let answers = try [true, false].map { isStandIn in
            try Device.$usesStandIn.withValue(isStandIn) {
                let model = try ChatModel(
                    resolveConfig(
                        values: [
                            ("model_name_or_path", .string(Golden.training + "/models/tiny_llama")),
                            ("template", .string("llama3")), ("max_new_tokens", .int(12)), ("seed", .int(3)),
                            ("infer_dtype", .string("float32")),
                        ] + settings, for: .chat))
                let first = try model.answer([Message(.user, "Is the ferry full?")]) { _ in true }
                let second = try model.answer(
                    [
                        Message(.user, "Is the ferry full?"), Message(.assistant, first.text),
                        Message(.user, "And now?"),
                    ]
                ) { _ in true }
                return first.ids + second.ids
            }
        }
        #expect(answers[0] == answers[1] && answers[0].count > 4)
    }
}
