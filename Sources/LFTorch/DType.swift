internal import CTorch

/// The type of a tensor's elements.
public enum DType: String, Sendable, CaseIterable {
    case float32, float64, float16, bfloat16, int8, uint8, int16, int32, int64, bool
    /// Four bits of exponent, three of mantissa; stored only, never computed with.
    case float8

    /// Bytes per element.
    public var size: Int {
        switch self {
        case .float64, .int64: 8
        case .float32, .int32: 4
        case .float16, .bfloat16, .int16: 2
        case .int8, .uint8, .bool, .float8: 1
        }
    }

    public var isFloatingPoint: Bool {
        switch self {
        case .float32, .float64, .float16, .bfloat16: true
        default: false
        }
    }

    var raw: lf_dtype {
        switch self {
        case .float32: LF_FLOAT32
        case .float64: LF_FLOAT64
        case .float16: LF_FLOAT16
        case .bfloat16: LF_BFLOAT16
        case .int8: LF_INT8
        case .uint8: LF_UINT8
        case .int16: LF_INT16
        case .int32: LF_INT32
        case .int64: LF_INT64
        case .bool: LF_BOOL
        case .float8: LF_FLOAT8
        }
    }

    init(_ raw: lf_dtype) {
        self =
            switch raw {
            case LF_FLOAT32: .float32
            case LF_FLOAT64: .float64
            case LF_FLOAT16: .float16
            case LF_BFLOAT16: .bfloat16
            case LF_INT8: .int8
            case LF_UINT8: .uint8
            case LF_INT16: .int16
            case LF_INT32: .int32
            case LF_INT64: .int64
            case LF_FLOAT8: .float8
            default: .bool
            }
    }
}
