import Foundation
public import LFConfig

/// How many steps a run takes and when it logs, evaluates and saves (Hugging Face `Trainer`'s rules).
public struct TrainingPlan: Sendable, Equatable {
    /// Batches of one process.
    public var batchesPerEpoch: Int
    public var stepsPerEpoch: Int
    public var totalSteps: Int
    public var epochs: Int
    public var accumulation: Int
    /// Of a whole step, over all processes.
    public var examplesPerStep: Int
    public var loggingSteps: Int
    public var evalSteps: Int
    public var saveSteps: Int

    /// - Parameters:
    ///   - exampleCount: Of an epoch; nil for a stream, which counts all steps of the run (`max_steps`) as one epoch, and may
    ///     begin many.
    ///   - bufferedUpdates: How many times the configured accumulation a step's examples are.
    ///   - processes: How many share the examples.
    public init(
        _ arguments: TrainingArguments, exampleCount: Int?, bufferedUpdates: Int = 1, processes: Int = 1
    ) {
        let size = arguments.perDeviceTrainBatchSize * processes
        accumulation = arguments.gradientAccumulationSteps * bufferedUpdates
        examplesPerStep = size * accumulation
        batchesPerEpoch =
            if let exampleCount {
                arguments.dataloaderDropLast ? exampleCount / size : (exampleCount + size - 1) / size
            } else {
                arguments.maxSteps * accumulation
            }
        stepsPerEpoch = max(1, (batchesPerEpoch + accumulation - 1) / accumulation)
        if arguments.maxSteps > 0 {
            totalSteps = arguments.maxSteps
            epochs = exampleCount == nil ? .max : (totalSteps + stepsPerEpoch - 1) / stepsPerEpoch
        } else {
            totalSteps = Int((arguments.numTrainEpochs * Double(stepsPerEpoch)).rounded(.up))
            epochs = Int(arguments.numTrainEpochs.rounded(.up))
        }
        let total = totalSteps
        func resolved(_ steps: Double) -> Int {
            steps < 1 ? Int((steps * Double(total)).rounded(.up)) : Int(steps)
        }
        loggingSteps = max(1, resolved(arguments.loggingSteps))
        evalSteps = max(1, resolved(arguments.evalSteps ?? arguments.loggingSteps))
        saveSteps = max(1, resolved(arguments.saveSteps))
    }

    /// Batches of step `index` of an epoch: the last step may have fewer.
    public func batches(ofStep index: Int) -> Range<Int> {
        index * accumulation..<min((index + 1) * accumulation, batchesPerEpoch)
    }
}
