package import LFDiagnostics
import LFModelConfig

extension GGUFModel {
    /// The file's tensors: the model's under their names in GGUF, with the experts of a layer in one.
    ///
    /// - Throws: `UserError` naming a tensor for which llama.cpp has no place, or an expert that is missing.
    package func tensors(from sources: [SourceTensor], format: GGUFFormat) throws(UserError) -> [GGUFTensor] {
        let sharesHead = !sources.contains { $0.name == "lm_head.weight" }
        if family.isAlwaysTied, !sharesHead {
            throw UserError(
                .failedRun,
                "llama.cpp has no \(type) model whose head differs from its embedding, as this one's does.",
                at: config.path,
                remedy: "Remove `export_gguf`, or export without the adapter that parted them.")
        }
        let facts = mixture(sharesHead: sharesHead && !family.needsHead)
        var tensors = rotaryTensors()
        var stacks: [String: [Int: SourceTensor]] = [:]
        var stackNames: [String] = []
        for source in sources {
            let place = try place(of: source.name)
            if let expert = place.expert {
                if stacks[place.name] == nil { stackNames.append(place.name) }
                stacks[place.name, default: [:]][expert] = source
                continue
            }
            tensors.append(try tensor(place.name, source.shape, [source], facts, format))
            if place.name == "token_embd.weight", sharesHead, family.needsHead {
                tensors.append(try tensor("output.weight", source.shape, [source], facts, format))
            }
        }
        for name in stackNames {
            let members = (0..<experts).compactMap { stacks[name]?[$0] }
            guard members.count == experts, stacks[name]?.count == experts else {
                throw UserError(
                    .failedRun,
                    "\(name) needs \(experts) experts, but the model has \(stacks[name]?.count ?? 0).",
                    at: config.path, remedy: "Check `num_local_experts` or `num_experts` in config.json.")
            }
            tensors.append(try tensor(name, [experts] + members[0].shape, members, facts, format))
        }
        return tensors
    }

    private func tensor(
        _ name: String, _ shape: [Int], _ sources: [SourceTensor], _ facts: MixtureFacts, _ format: GGUFFormat
    ) throws(UserError) -> GGUFTensor {
        GGUFTensor(
            name: name, shape: shape, type: format.type(of: name, shape: shape, in: facts), sources: sources,
            change: try change(of: name))
    }

    func change(of name: String) throws(UserError) -> WeightChange {
        var change = WeightChange()
        let part = name.split(separator: ".").dropLast().last.map(String.init) ?? ""
        if family.shiftsNorms, part.hasSuffix("norm") { change.shift = 1 }
        if family.turnsNeighbours, ["attn_q", "attn_k"].contains(part) { change.headRows = sizes.headDim }
        // The last of what forms the queries takes up where llama.cpp's scale of scores is not the model's.
        if part == (family.names["self_attn.q_norm"] ?? "attn_q"), ["gemma2", "gemma3_text"].contains(type) {
            let own = try config.number("query_pre_attn_scalar", default: 256)
            change.factor = Float((Double(assumedScoreDim) / own).squareRoot())
        }
        return change
    }

    /// llama.cpp divides scores by the root of this: the width of a head, but in the largest Gemma the model's width by its heads.
    private var assumedScoreDim: Int {
        sizes.layers == (type == "gemma2" ? 46 : 62) ? sizes.hidden / sizes.heads : sizes.headDim
    }

    /// A tensor's name in GGUF, and which expert it is.
    func place(of source: String) throws(UserError) -> (name: String, expert: Int?) {
        switch source {
        case "model.embed_tokens.weight": return ("token_embd.weight", nil)
        case "model.norm.weight": return ("output_norm.weight", nil)
        case "lm_head.weight": return ("output.weight", nil)
        default: break
        }
        var parts = source.split(separator: ".")
        guard parts.count > 4, parts[0] == "model", parts[1] == "layers", let layer = Int(parts[2]),
            let end = parts.popLast(), end == "weight" || end == "bias"
        else { throw homeless(source) }
        parts.removeFirst(3)
        var expert: Int?
        if let index = parts.firstIndex(of: "experts"), index + 1 < parts.count {
            expert = Int(parts.remove(at: index + 1))
        }
        guard let name = family.names[parts.joined(separator: ".")],
            end == "weight" || family.biases.contains(name)
        else { throw homeless(source) }
        return ("blk.\(layer).\(name).\(end)", expert)
    }

    func homeless(_ tensor: String) -> UserError {
        UserError(
            .failedRun,
            "llama.cpp's \(family.architecture) models have no place for the tensor \"\(tensor)\".",
            at: config.path,
            remedy: "Remove `export_gguf`: this model can only be written as a Hugging Face folder.")
    }
}
