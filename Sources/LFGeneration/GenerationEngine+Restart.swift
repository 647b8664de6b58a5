import LFModels
import LFNN

extension GenerationEngine {
    /// Computes texts anew that are about to be longer than the family's short positions reach (`ModelConfig.restartLength`): what
    /// the cache holds of them was turned otherwise.
    ///
    /// So answers are those of whole forward passes. transformers drops the cache there too (`Phi3ForCausalLM`), but in 5.5.4 gives
    /// the model the last token alone, which then sees nothing of its text.
    func restartLongTexts() throws {
        guard let length = model.config.restartLength else { return }
        for live in writing {
            let texts = live.leave(length, cache)
            guard !texts.isEmpty else { continue }
            var sequences = texts.map { _ in KeyValueCache.Sequence() }
            // A pass that fails has changed sequences' blocks all the same.
            defer { live.settle(sequences) }
            let rows = [(live.request.adapter, texts.count * length)]
            try model.adapters.choice.choosing(rows) {
                _ = try model.extend(&sequences, by: texts.map { $0[...] }, cache, ofLength: length + 1)
            }
        }
    }

    /// How many more tokens a pass may add to a text, which it makes that long, before the text is computed anew.
    func roomBeforeRestart(_ length: Int) -> Int {
        guard let restart = model.config.restartLength, length <= restart else { return .max }
        return restart - length
    }
}

extension LiveRequest {
    /// The texts of which the cache holds that many tokens, which it gives up.
    fileprivate func leave(_ length: Int, _ cache: KeyValueCache) -> [[Int32]] {
        var texts: [[Int32]] = []
        for index in rows.indices where rows[index].ahead == nil && rows[index].sequence.length == length {
            texts.append(Array((request.prompt + rows[index].result.ids).prefix(length)))
            cache.release(rows[index].sequence)
            rows[index].sequence = KeyValueCache.Sequence()
        }
        for index in search?.beams.indices ?? 0..<0 {
            guard let beam = search?.beams[index], beam.cached.length == length else { continue }
            texts.append(Array((request.prompt + beam.ids).prefix(length)))
            cache.release(beam.cached)
            search?.beams[index].cached = KeyValueCache.Sequence()
        }
        return texts
    }

    /// Puts computed sequences where those were given up.
    fileprivate func settle(_ sequences: [KeyValueCache.Sequence]) {
        var rest = sequences[...]
        for index in rows.indices where rows[index].sequence.length == 0 {
            rows[index].sequence = rest.removeFirst()
        }
        for index in search?.beams.indices ?? 0..<0 where search?.beams[index].cached.length == 0 {
            search?.beams[index].cached = rest.removeFirst()
        }
    }
}
