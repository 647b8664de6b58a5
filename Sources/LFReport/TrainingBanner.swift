/// The facts of a run that is about to start, as a block for the log.
public struct TrainingBanner: Sendable, Equatable {
    /// Where a resumed run takes up.
    public struct Resumption: Sendable, Equatable {
        public var globalStep: Int
        public var epochsDone: Int
        /// Micro-batches of the current epoch that are skipped.
        public var batchesDone: Int

        public init(globalStep: Int, epochsDone: Int, batchesDone: Int) {
            self.globalStep = globalStep
            self.epochsDone = epochsDone
            self.batchesDone = batchesDone
        }
    }

    public var exampleCount: Int
    public var epochCount: Int
    public var stepsPerEpoch: Int
    public var batchSizePerDevice: Int
    public var totalBatchSize: Int
    public var accumulationSteps: Int
    public var totalSteps: Int
    public var trainableParameterCount: Int
    public var resumption: Resumption?

    public init(
        exampleCount: Int, epochCount: Int, stepsPerEpoch: Int, batchSizePerDevice: Int, totalBatchSize: Int,
        accumulationSteps: Int, totalSteps: Int, trainableParameterCount: Int, resumption: Resumption? = nil
    ) {
        self.exampleCount = exampleCount
        self.epochCount = epochCount
        self.stepsPerEpoch = stepsPerEpoch
        self.batchSizePerDevice = batchSizePerDevice
        self.totalBatchSize = totalBatchSize
        self.accumulationSteps = accumulationSteps
        self.totalSteps = totalSteps
        self.trainableParameterCount = trainableParameterCount
        self.resumption = resumption
    }

    /// The block's lines, as upstream prints them.
    public var lines: [String] {
        var lines = [
            "***** Running training *****",
            "  Num examples = \(grouped(exampleCount))",
            "  Num Epochs = \(grouped(epochCount))",
            "  Num update steps per epoch = \(grouped(stepsPerEpoch))",
            "  Instantaneous batch size per device = \(grouped(batchSizePerDevice))",
            "  Total train batch size (w. parallel, distributed & accumulation) = \(grouped(totalBatchSize))",
            "  Gradient Accumulation steps = \(accumulationSteps)",
            "  Total optimization steps = \(grouped(totalSteps))",
            "  Number of trainable parameters = \(grouped(trainableParameterCount))",
        ]
        if let resumption {
            lines.append(
                "  Resuming at global step \(grouped(resumption.globalStep)): \(resumption.epochsDone) epochs and "
                    + "\(grouped(resumption.batchesDone)) batches of the next one are done")
        }
        return lines
    }

    /// The block before an evaluation or a prediction.
    ///
    /// - Parameter description: "Evaluation" or "Prediction".
    public static func evaluationLines(description: String, exampleCount: Int, batchSize: Int) -> [String] {
        [
            "***** Running \(description) *****", "  Num examples = \(exampleCount)",
            "  Batch size = \(batchSize)",
        ]
    }
}
