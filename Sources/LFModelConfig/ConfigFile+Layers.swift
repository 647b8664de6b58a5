package import LFDiagnostics
import LFJSON

extension ConfigFile {
    /// The windows of a model whose upper layers have one where `use_sliding_window` says so.
    package func upperWindows(_ layers: Int) throws(UserError) -> [Int?] {
        let first = try optionalCount("max_window_layers", default: 28, from: 0) ?? 28
        return try windows(layers, switchedWindow()) { $0 >= first }
    }

    /// `sliding_window` where `use_sliding_window` says that there is one.
    package func switchedWindow() throws(UserError) -> Int? {
        try flag("use_sliding_window", default: false)
            ? optionalCount("sliding_window", default: 4096) : nil
    }

    /// The window of each layer that has one.
    ///
    /// - Parameter hasOne: Which layers do where the file has no `layer_types`.
    package func windows(
        _ layers: Int, _ window: Int?, _ hasOne: (Int) -> Bool
    ) throws(UserError) -> [Int?] {
        if let types = try layerTypes(layers) {
            try requireWindow(window, of: types)
            return types.map { $0 == "sliding_attention" ? window : nil }
        }
        return (0..<layers).map { hasOne($0) ? window : nil }
    }

    /// Fails where layers are listed as windowed ones and the file gives no window.
    private func requireWindow(_ window: Int?, of types: [String]) throws(UserError) {
        guard window == nil, types.contains("sliding_attention") else { return }
        let isUnused = json["use_sliding_window"]?.bool == false
        throw UserError(
            .failedRun,
            "layer_types holds \"sliding_attention\", but \(isUnused ? "use_sliding_window is false" : "there is no window").",
            at: path,
            remedy:
                "Give the window as sliding_window\(isUnused ? " and set use_sliding_window: true" : ""), or list the layers as full_attention."
        )
    }

    /// The windows of a model in which every n-th layer sees all and the others have a window.
    package func alternatingWindows(
        _ layers: Int, default window: Int?, fullEvery period: Int
    ) throws(UserError) -> [Int?] {
        let window = try optionalCount("sliding_window", default: window)
        let types = try layerTypes(layers)
        try requireWindow(window, of: types ?? [])
        return (0..<layers).map { index in
            let isFull = types.map { $0[index] == "full_attention" } ?? ((index + 1) % period == 0)
            return isFull ? nil : window
        }
    }

    /// Every how many layers one sees all (Gemma 3).
    package func slidingPattern(default fallback: Int) throws(UserError) -> Int {
        try count("sliding_window_pattern", default: fallback)
    }

    /// How many experts there are, and how many of them a token goes to; parameters are the architecture's defaults, nil where
    /// the file must say it.
    package func experts(
        _ keys: String..., default fallback: Int?, chosen: Int?
    ) throws(UserError) -> (count: Int, chosen: Int) {
        func found(_ keys: [String], _ fallback: Int?) throws(UserError) -> Int {
            let key = keys.first { json[$0] != nil } ?? keys[0]
            guard let value = try optionalCount(key, default: nil) ?? fallback else {
                throw refused(key, "a positive integer")
            }
            return value
        }
        let count = try found(keys, fallback)
        let perToken = try found(["num_experts_per_tok"], chosen)
        guard perToken <= count else {
            throw refused("num_experts_per_tok", "at most \(count), the number of experts")
        }
        return (count, perToken)
    }

    /// How many experts there are, and how many of them a token goes to.
    package func experts(_ defaults: ModelDefaults.Mixture) throws(UserError) -> (count: Int, chosen: Int) {
        try experts(defaults.keys.0, defaults.keys.1, default: defaults.experts, chosen: defaults.chosen)
    }

    /// The width of an expert.
    package func expertInner(_ defaults: ModelDefaults.Mixture) throws(UserError) -> Int {
        guard let inner = defaults.inner else { return try count("intermediate_size", default: 1) }
        return try count("moe_intermediate_size", default: inner)
    }
}
