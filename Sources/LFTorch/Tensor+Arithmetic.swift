internal import CTorch

extension Tensor {
    private static func binary(_ op: lf_binary_op, _ a: Tensor, _ b: Tensor) throws(TorchError) -> Tensor {
        try make("element-wise operation") { lf_binary(op, a.handle, b.handle, $0) }
    }
    private static func binary(_ op: lf_binary_op, _ a: Tensor, _ b: Double) throws(TorchError) -> Tensor {
        try make("element-wise operation") { lf_binary_scalar(op, a.handle, b, $0) }
    }

    public static func + (a: Tensor, b: Tensor) throws(TorchError) -> Tensor { try binary(LF_ADD, a, b) }
    public static func - (a: Tensor, b: Tensor) throws(TorchError) -> Tensor { try binary(LF_SUB, a, b) }
    public static func * (a: Tensor, b: Tensor) throws(TorchError) -> Tensor { try binary(LF_MUL, a, b) }
    public static func / (a: Tensor, b: Tensor) throws(TorchError) -> Tensor { try binary(LF_DIV, a, b) }
    public static func + (a: Tensor, b: Double) throws(TorchError) -> Tensor { try binary(LF_ADD, a, b) }
    public static func - (a: Tensor, b: Double) throws(TorchError) -> Tensor { try binary(LF_SUB, a, b) }
    public static func * (a: Tensor, b: Double) throws(TorchError) -> Tensor { try binary(LF_MUL, a, b) }
    public static func / (a: Tensor, b: Double) throws(TorchError) -> Tensor { try binary(LF_DIV, a, b) }
    public static func * (a: Double, b: Tensor) throws(TorchError) -> Tensor { try binary(LF_MUL, b, a) }
    public static func + (a: Double, b: Tensor) throws(TorchError) -> Tensor { try binary(LF_ADD, b, a) }
    public static func - (a: Double, b: Tensor) throws(TorchError) -> Tensor { try binary(LF_ADD, try -b, a) }
    public static prefix func - (a: Tensor) throws(TorchError) -> Tensor { try a.unary(LF_NEG) }

    public static func maximum(_ a: Tensor, _ b: Tensor) throws(TorchError) -> Tensor {
        try binary(LF_MAXIMUM, a, b)
    }
    public static func minimum(_ a: Tensor, _ b: Tensor) throws(TorchError) -> Tensor {
        try binary(LF_MINIMUM, a, b)
    }

    private func unary(_ op: lf_unary_op) throws(TorchError) -> Tensor {
        try Tensor.make("element-wise operation") { lf_unary(op, handle, $0) }
    }

    public func exp() throws(TorchError) -> Tensor { try unary(LF_EXP) }
    public func log() throws(TorchError) -> Tensor { try unary(LF_LOG) }
    public func log1p() throws(TorchError) -> Tensor { try unary(LF_LOG1P) }
    public func expm1() throws(TorchError) -> Tensor { try unary(LF_EXPM1) }
    public func sqrt() throws(TorchError) -> Tensor { try unary(LF_SQRT) }
    public func rsqrt() throws(TorchError) -> Tensor { try unary(LF_RSQRT) }
    public func abs() throws(TorchError) -> Tensor { try unary(LF_ABS) }
    public func sigmoid() throws(TorchError) -> Tensor { try unary(LF_SIGMOID) }
    public func logSigmoid() throws(TorchError) -> Tensor { try unary(LF_LOG_SIGMOID) }
    public func relu() throws(TorchError) -> Tensor { try unary(LF_RELU) }
    public func silu() throws(TorchError) -> Tensor { try unary(LF_SILU) }
    public func tanh() throws(TorchError) -> Tensor { try unary(LF_TANH) }
    public func gelu() throws(TorchError) -> Tensor { try unary(LF_GELU) }
    public func geluTanh() throws(TorchError) -> Tensor { try unary(LF_GELU_TANH) }
    public func squared() throws(TorchError) -> Tensor { try unary(LF_SQUARE) }
    public func cos() throws(TorchError) -> Tensor { try unary(LF_COS) }
    public func sin() throws(TorchError) -> Tensor { try unary(LF_SIN) }
    public func isFinite() throws(TorchError) -> Tensor { try unary(LF_IS_FINITE) }
    public func logicalNot() throws(TorchError) -> Tensor { try unary(LF_LOGICAL_NOT) }

    public func clamped(min low: Double) throws(TorchError) -> Tensor {
        var low = low
        return try Tensor.make("clamp") { lf_clamp(handle, &low, nil, $0) }
    }
    public func clamped(max high: Double) throws(TorchError) -> Tensor {
        var high = high
        return try Tensor.make("clamp") { lf_clamp(handle, nil, &high, $0) }
    }

    private static func compare(_ op: lf_compare_op, _ a: Tensor, _ b: Tensor) throws(TorchError) -> Tensor {
        try make("comparison") { lf_compare(op, a.handle, b.handle, $0) }
    }
    private static func compare(_ op: lf_compare_op, _ a: Tensor, _ b: Double) throws(TorchError) -> Tensor {
        try make("comparison") { lf_compare_scalar(op, a.handle, b, $0) }
    }
    /// Element-wise comparisons, bool.
    public static func .> (a: Tensor, b: Tensor) throws(TorchError) -> Tensor { try compare(LF_GT, a, b) }
    public static func .> (a: Tensor, b: Double) throws(TorchError) -> Tensor { try compare(LF_GT, a, b) }
    public static func .>= (a: Tensor, b: Double) throws(TorchError) -> Tensor { try compare(LF_GE, a, b) }
    public static func .< (a: Tensor, b: Tensor) throws(TorchError) -> Tensor { try compare(LF_LT, a, b) }
    public static func .< (a: Tensor, b: Double) throws(TorchError) -> Tensor { try compare(LF_LT, a, b) }
    public static func .== (a: Tensor, b: Tensor) throws(TorchError) -> Tensor { try compare(LF_EQ, a, b) }
    public static func .== (a: Tensor, b: Double) throws(TorchError) -> Tensor { try compare(LF_EQ, a, b) }

    /// `a` where `condition` holds, else `b`.
    public static func choose(_ condition: Tensor, _ a: Tensor, _ b: Tensor) throws(TorchError) -> Tensor {
        try make("choose") { lf_where(condition.handle, a.handle, b.handle, $0) }
    }
}

infix operator .> : ComparisonPrecedence
infix operator .>= : ComparisonPrecedence
infix operator .< : ComparisonPrecedence
infix operator .== : ComparisonPrecedence
