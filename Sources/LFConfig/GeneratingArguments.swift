/// How text is generated (upstream `hparams/generating_args.py`).
public struct GeneratingArguments: Sendable, Equatable {
    public var doSample = true
    public var temperature = 0.95
    public var topP = 0.7
    public var topK = 50
    public var numBeams = 1
    public var maxLength = 1024
    public var maxNewTokens = 1024
    public var repetitionPenalty = 1.0
    public var lengthPenalty = 1.0
    public var skipSpecialTokens = true
    /// What a chat draws tokens from; nil draws other ones every time.
    public var seed: Int?

    public init() {}
}
