import LFModels
package import LFTorch

extension GenerationEngine {
    /// Continues each prompt `samplesPerPrompt` times and returns when all answers are written.
    ///
    /// - Parameters:
    ///   - prompts: Token ids, at least one each.
    ///   - samplesPerPrompt: Answers per prompt; with beam search the best ones, at most as many as beams.
    ///   - generator: The random stream that all tokens are drawn from.
    ///   - onToken: Receives each token with the index of its sequence, as it is chosen; false ends that sequence. A beam search calls it
    ///     at its end.
    ///   - isCancelled: Asked before each step; true ends all sequences.
    /// - Returns: Sequence `p · samplesPerPrompt + s` is sample s of prompt p.
    /// - Throws: `UserErrors` for options that cannot be meant, `UserError` for a prompt that is empty, too long or holds ids beyond the
    ///   vocabulary.
    package func generate(
        _ prompts: [[Int32]], samplesPerPrompt: Int = 1, options: GenerationOptions, generator: Generator,
        onToken: (_ sequence: Int, _ token: Int32) throws -> Bool = { _, _ in true },
        isCancelled: () -> Bool = { false }
    ) throws -> [GeneratedSequence] {
        precondition(!isBusy, "others' requests would run without their receivers")
        let requests = prompts.map {
            GenerationRequest($0, samples: samplesPerPrompt, options: options, random: .stream(generator))
        }
        for (index, request) in requests.enumerated() {
            try request.check(vocabSize: model.config.vocabSize, name: "Prompt \(index + 1)")
        }
        var results = Array(repeating: GeneratedSequence(), count: prompts.count * samplesPerPrompt)
        do {
            var first: [RequestID: Int] = [:]
            for (index, request) in requests.enumerated() {
                let id = try submit(request, name: "Prompt \(index + 1)")
                first[id] = index * samplesPerPrompt
            }
            while isBusy {
                if isCancelled() { cancelAll() }
                for event in try step() {
                    switch event {
                    case .began: break
                    case .token(let id, let sample, let token):
                        let goesOn = try onToken((first[id] ?? 0) + sample, token.id)
                        if !goesOn { cancel(id, sample: sample) }
                    case .finished(let id, let sample, let result):
                        results[(first[id] ?? 0) + sample] = result
                    case .failed(_, let error): throw error
                    }
                }
            }
        } catch {
            abandon()
            throw error
        }
        return results
    }
}
