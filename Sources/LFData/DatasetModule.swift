public import LFStream

/// The processed datasets of a run.
public struct DatasetModule: Sendable, Equatable {
    /// One evaluation set; named when each dataset is evaluated by itself.
    public struct Evaluation: Sendable, Equatable {
        public var name: String?
        public var examples: [Example]

        public init(name: String? = nil, examples: [Example]) {
            self.name = name
            self.examples = examples
        }
    }

    public var train: [Example]?
    /// Takes the place of `train` with `streaming: true`.
    public var stream: ExampleStream?
    public var eval: [Evaluation] = []
    /// The first example of each set as upstream prints it, line by line.
    public var firstExampleText: [String] = []
    /// Dropped rows and other things that a user should look at.
    public var warnings: [String] = []
    /// Where the data was taken from or kept, for the log.
    public var notes: [String] = []

    public init() {}
}
