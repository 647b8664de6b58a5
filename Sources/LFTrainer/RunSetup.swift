public import LFAdapters
public import LFData
public import LFModels
public import LFReport
public import LFTorch

/// What is trained and by which loss.
public struct TrainingSubject {
    var model: LanguageModel
    var objective: any Objective
    var trainable: TrainableWeights
    /// Probability with which adapters' inputs are dropped in training; 0 for preference learning.
    var loraDropout: Double
    /// Dropout's random stream, part of every checkpoint.
    var dropoutGenerator: Generator
    /// Whether activations are kept whatever memory says (`disable_gradient_checkpointing`).
    var keepsActivations: Bool

    public init(
        model: LanguageModel, objective: any Objective, trainable: TrainableWeights, loraDropout: Double,
        dropoutGenerator: Generator, keepsActivations: Bool = false
    ) {
        self.model = model
        self.objective = objective
        self.trainable = trainable
        self.loraDropout = loraDropout
        self.dropoutGenerator = dropoutGenerator
        self.keepsActivations = keepsActivations
    }
}

/// What a run learns from and is measured by.
public struct RunData {
    var trainSet: TrainingSet
    var evalSets: [DatasetModule.Evaluation]
    /// Whether every epoch has an order of its own.
    var shuffles: Bool

    public init(
        trainSet: TrainingSet, evalSets: [DatasetModule.Evaluation] = [], shuffles: Bool
    ) {
        self.trainSet = trainSet
        self.evalSets = evalSets
        self.shuffles = shuffles
    }
}

/// The world around a run: the other processes, and who follows it.
public struct RunWorld {
    /// The processes that train together; the run's only one by default.
    var communicator: any Communicator
    /// How many of the processes share this machine's memory.
    var processesOnHost: Int
    /// Told of every event, in the process that writes files.
    var observers: [any RunObserver]
    /// Writes what a later run loads into a folder: weights or adapter, tokenizer, configuration.
    var saveModel: (_ folder: String) throws -> Void

    public init(
        communicator: any Communicator = SingleProcess(), processesOnHost: Int = 1,
        observers: [any RunObserver] = [], saveModel: @escaping (_ folder: String) throws -> Void
    ) {
        self.communicator = communicator
        self.processesOnHost = max(1, processesOnHost)
        self.observers = observers
        self.saveModel = saveModel
    }
}
