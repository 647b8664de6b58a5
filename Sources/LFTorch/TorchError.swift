internal import CTorch

/// libtorch refused an operation.
public struct TorchError: Error, Sendable, Equatable, CustomStringConvertible {
    public enum Kind: Sendable, Equatable {
        case invalidArgument, outOfMemory, internalError
        /// Another process cannot be reached, or is gone.
        case communication
        /// Another process has said why it failed, or gives no sign of life; the message is a whole sentence.
        case peerFailure
    }

    public var kind: Kind
    /// The operation that was asked for.
    public var operation: String
    /// libtorch's own words, without its C++ backtrace.
    public var message: String

    public init(kind: Kind, operation: String, message: String) {
        self.kind = kind
        self.operation = operation
        self.message = message
    }

    public var description: String { "\(operation): \(message)" }
}

/// Turns a status of the shim into an error that carries this thread's last message.
func check(_ operation: String, _ status: lf_status) throws(TorchError) {
    guard status != LF_OK else { return }
    let kind: TorchError.Kind =
        switch status {
        case LF_OUT_OF_MEMORY: .outOfMemory
        case LF_INVALID: .invalidArgument
        default: .internalError
        }
    throw TorchError(kind: kind, operation: operation, message: String(cString: lf_last_error()))
}
