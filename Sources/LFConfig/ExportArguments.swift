/// Where an exported model goes (upstream `hparams/model_args.py`, `ExportArguments`).
public struct ExportArguments: Sendable, Equatable {
    /// The folder that the model is written to; nil outside of the command `export`.
    public var directory: String?
    /// Most bytes of one file of weights.
    public var shardSize = 5_000_000_000

    /// What the weights of a GGUF file are written as (`export_gguf`); nil where none is asked for.
    public var gguf: String?
    /// Whether a GGUF file of the adapter alone is written, and no model (`export_gguf_lora`).
    public var writesAdapter = false

    /// The hub's repository that receives the model too (`export_hub_model_id`).
    public var hubRepository: String?

    public init() {}
}
