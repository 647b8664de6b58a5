/// What an export writes weights as (`export_gguf`): one type throughout, or a mixture of types.
package enum GGUFFormat: String, CaseIterable, Sendable {
    case float32 = "f32"
    case float16 = "f16"
    case bfloat16 = "bf16"
    case q80 = "q8_0"
    case q40 = "q4_0"
    case q41 = "q4_1"
    case q4KMedium = "q4_k_m"
    case q6K = "q6_k"

    /// The part of file names that says which it is, as published files have it.
    package var label: String { rawValue.uppercased() }

    /// `general.file_type`.
    var fileType: UInt32 {
        switch self {
        case .float32: 0
        case .float16: 1
        case .q40: 2
        case .q41: 3
        case .q80: 7
        case .q4KMedium: 15
        case .q6K: 18
        case .bfloat16: 32
        }
    }

    /// The type of what nothing else is said about.
    private var common: TensorType {
        switch self {
        case .float32: .float32
        case .float16: .float16
        case .bfloat16: .bfloat16
        case .q80: .q80
        case .q40: .q40
        case .q41: .q41
        case .q4KMedium: .q4K
        case .q6K: .q6K
        }
    }

    private var isMixture: Bool { [.q40, .q41, .q4KMedium, .q6K].contains(self) }

    /// The type of one tensor, as llama.cpp's own quantizer chooses it (`llama-quant.cpp`).
    ///
    /// Vectors, norms and routers stay float32. In the formats of few bits the head gets six, or eight where its rows are not whole
    /// superblocks, and so does an embedding that is the head too; `q4_k_m` gives six bits to the values and to the feed-forward outputs
    /// of the first and last eighth of the layers and of every third between.
    ///
    /// - Parameters:
    ///   - name: The tensor's name in GGUF, such as `blk.3.attn_v.weight`.
    ///   - shape: Its sizes, the row's length last.
    package func type(of name: String, shape: [Int], in model: MixtureFacts) -> TensorType {
        guard shape.count > 1, name.hasSuffix("weight"), !name.hasSuffix("_norm.weight"),
            !name.contains("ffn_gate_inp"), let width = shape.last
        else { return .float32 }
        return fitting(isMixture ? mixed(name, width, model) : common, width)
    }

    private func mixed(_ name: String, _ width: Int, _ model: MixtureFacts) -> TensorType {
        if name == "output.weight" || (name == "token_embd.weight" && model.sharesHead) {
            return width % common.blockWeights == 0 ? .q6K : .q80
        }
        let parts = name.split(separator: ".")
        guard parts.count > 2, parts[0] == "blk", let layer = Int(parts[1]) else { return common }
        let isMedium = self == .q4KMedium
        let deservesMore = isMedium && model.deservesMoreBits(layer)
        switch parts[2] {
        case "attn_v", "attn_qkv":
            if model.experts == 8 { return .q80 }
            if deservesMore { return .q6K }
            return isMedium && model.is70B ? .q5K : common
        case "attn_k": return model.experts == 8 ? .q80 : common
        case "attn_output": return isMedium && model.experts == 8 ? .q5K : common
        case "ffn_down", "ffn_down_exps", "ffn_down_shexp": return deservesMore ? .q6K : common
        default: return common
        }
    }

    /// A type whose blocks fill the rows: superblocks give way to blocks of 32, and those to float16.
    private func fitting(_ type: TensorType, _ width: Int) -> TensorType {
        guard width % type.blockWeights != 0 else { return type }
        let smaller: TensorType =
            switch type {
            case .q4K: .q50
            case .q5K: .q51
            case .q6K: .q80
            default: .float16
            }
        return width % smaller.blockWeights == 0 ? smaller : .float16
    }
}

/// What the choice of types depends on beside a tensor's name and shape.
package struct MixtureFacts {
    let layers: Int
    let experts: Int
    /// Whether the embedding is the head too.
    let sharesHead: Bool
    /// Whether llama.cpp takes the model for one of 70 billion weights, whose values eight heads share.
    let is70B: Bool

    package init(layers: Int, experts: Int, sharesHead: Bool, is70B: Bool) {
        (self.layers, self.experts) = (layers, experts)
        (self.sharesHead, self.is70B) = (sharesHead, is70B)
    }

    func deservesMoreBits(_ layer: Int) -> Bool {
        layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2
    }
}
