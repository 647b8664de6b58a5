import LFNN

/// Qwen 2 and 2.5 (Yang et al. 2024, arXiv 2407.10671): Llama's layers with biases on queries, keys and values; windows in the
/// upper layers where they are switched on.
struct Qwen2: Architecture {
    static let modelTypes = ["qwen2"]
    let sizes: ModelSizes
    private let layers: LlamaLayers

    init(_ file: ConfigFile) throws {
        sizes = try file.sizes(
            vocab: 151_936, hidden: 4096, inner: 22_016, layers: 32, heads: 32, keyValueHeads: 32,
            positions: 32_768)
        var layers = try LlamaLayers(file, sizes, rotary: file.rotary(sizes))
        layers.bias.input = true
        layers.windows = try file.upperWindows(sizes.layers)
        self.layers = layers
    }

    func build(_ weights: WeightScope) throws -> ModelParts { try layers.build(weights) }
}

extension ConfigFile {
    /// The windows of a model whose upper layers have one where `use_sliding_window` says so.
    package func upperWindows(_ layers: Int) throws -> [Int?] {
        let first = try optionalCount("max_window_layers", default: 28, from: 0) ?? 28
        return try windows(layers, switchedWindow()) { $0 >= first }
    }

    /// `sliding_window` where `use_sliding_window` says that there is one.
    package func switchedWindow() throws -> Int? {
        try flag("use_sliding_window", default: false)
            ? optionalCount("sliding_window", default: 4096) : nil
    }

    /// The window of each layer that has one.
    ///
    /// - Parameter hasOne: Which layers do where the file has no `layer_types`.
    package func windows(
        _ layers: Int, _ window: Int?, _ hasOne: (Int) -> Bool
    ) throws -> [Int?] {
        if let types = try layerTypes(layers) {
            return types.map { $0 == "sliding_attention" ? window : nil }
        }
        return (0..<layers).map { hasOne($0) ? window : nil }
    }
}
