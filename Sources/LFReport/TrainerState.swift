public import LFDiagnostics
public import LFJSON

/// How far a run is and what it has logged: the content of `trainer_state.json` (Hugging Face `TrainerState`).
public struct TrainerState: Sendable, Equatable {
    public static let fileName = "trainer_state.json"

    /// What the loop was about to do when the state was saved (Hugging Face `TrainerControl`).
    public struct Control: Sendable, Equatable {
        public var shouldEpochStop = false
        public var shouldEvaluate = false
        public var shouldLog = false
        public var shouldSave = false
        public var shouldTrainingStop = false

        public init() {}
    }

    public var bestGlobalStep: Int?
    public var bestMetric: Double?
    public var bestModelCheckpoint: String?
    /// Epochs done, with the fraction of the current one.
    public var epoch = 0.0
    public var evalSteps = 500
    /// Optimizer steps done.
    public var globalStep = 0
    public var logHistory: [LogEntry] = []
    public var loggingSteps = 500
    /// Optimizer steps in all.
    public var maxSteps = 0
    public var numInputTokensSeen = 0
    public var numTrainEpochs = 0
    public var saveSteps = 500
    public var control = Control()
    /// The states of further callbacks by name, such as early stopping's patience.
    public var callbacks = JSONObject()
    public var totalFlos = 0.0
    public var trainBatchSize = 0

    public init() {}
}

extension TrainerState {
    /// Appends a log event at the current step and epoch.
    ///
    /// - Returns: The entry as it was appended, with `epoch` and `step`.
    @discardableResult
    public mutating func log(_ values: LogEntry) -> LogEntry {
        var entry = values
        entry["epoch"] = epoch
        entry.step = globalStep
        logHistory.append(entry)
        return entry
    }

    /// The state as Hugging Face writes it; keys sorted, `log_history` entries included.
    public var json: JSONValue {
        var stateful = callbacks
        stateful["TrainerControl"] = [
            "args": [
                "should_epoch_stop": .bool(control.shouldEpochStop),
                "should_evaluate": .bool(control.shouldEvaluate),
                "should_log": .bool(control.shouldLog),
                "should_save": .bool(control.shouldSave),
                "should_training_stop": .bool(control.shouldTrainingStop),
            ],
            "attributes": [:],
        ]
        return [
            "best_global_step": bestGlobalStep.map { .int(Int64($0)) } ?? .null,
            "best_metric": bestMetric.map { .double($0) } ?? .null,
            "best_model_checkpoint": bestModelCheckpoint.map { .string($0) } ?? .null,
            "epoch": .double(epoch),
            "eval_steps": .int(Int64(evalSteps)),
            "global_step": .int(Int64(globalStep)),
            "is_hyper_param_search": false,
            "is_local_process_zero": true,
            "is_world_process_zero": true,
            "log_history": .array(logHistory.map { .object($0.members) }),
            "logging_steps": .int(Int64(loggingSteps)),
            "max_steps": .int(Int64(maxSteps)),
            "num_input_tokens_seen": .int(Int64(numInputTokensSeen)),
            "num_train_epochs": .int(Int64(numTrainEpochs)),
            "save_steps": .int(Int64(saveSteps)),
            "stateful_callbacks": .object(stateful),
            "total_flos": .double(totalFlos),
            "train_batch_size": .int(Int64(trainBatchSize)),
            "trial_name": .null,
            "trial_params": .null,
        ]
    }

    /// Writes `trainer_state.json` into `folder`.
    ///
    /// - Throws: `UserError` naming the file.
    public func save(in folder: String) throws(UserError) {
        try writeFileAtomically(
            json.serialized(indent: 2, sortKeys: true) + "\n", to: folder + "/" + Self.fileName)
    }

    /// Reads `trainer_state.json` of `folder`, ours or Hugging Face's.
    ///
    /// - Throws: `UserError` naming the file and the key that is missing or of the wrong kind.
    public static func load(from folder: String) throws(UserError) -> TrainerState {
        let path = folder + "/" + fileName
        return try TrainerState(JSONValue.read(path: path), source: path)
    }

    /// - Parameter source: Names the document in errors.
    /// - Throws: `UserError` naming the key that is missing or of the wrong kind.
    public init(_ json: JSONValue, source: String) throws(UserError) {
        let fields = try StateFields(json, source: source)
        globalStep = try fields.integer("global_step")
        maxSteps = try fields.integer("max_steps")
        epoch = try fields.number("epoch")
        bestGlobalStep = try fields.optionalInteger("best_global_step")
        bestMetric = try fields.optionalNumber("best_metric")
        bestModelCheckpoint = try fields.optionalText("best_model_checkpoint")
        evalSteps = try fields.optionalInteger("eval_steps") ?? evalSteps
        loggingSteps = try fields.optionalInteger("logging_steps") ?? loggingSteps
        saveSteps = try fields.optionalInteger("save_steps") ?? saveSteps
        numInputTokensSeen = try fields.optionalInteger("num_input_tokens_seen") ?? 0
        numTrainEpochs = try fields.optionalInteger("num_train_epochs") ?? 0
        totalFlos = try fields.optionalNumber("total_flos") ?? 0
        trainBatchSize = try fields.optionalInteger("train_batch_size") ?? 0
        logHistory = try fields.entries("log_history")
        callbacks = json["stateful_callbacks"]?.object ?? JSONObject()
        let saved = callbacks.removeValue(forKey: "TrainerControl")?["args"]
        control.shouldEpochStop = saved?["should_epoch_stop"]?.bool ?? false
        control.shouldEvaluate = saved?["should_evaluate"]?.bool ?? false
        control.shouldLog = saved?["should_log"]?.bool ?? false
        control.shouldSave = saved?["should_save"]?.bool ?? false
        control.shouldTrainingStop = saved?["should_training_stop"]?.bool ?? false
    }
}

/// Typed access to the members of a state document, with errors that name the key.
private struct StateFields {
    let members: JSONObject
    let source: String

    init(_ json: JSONValue, source: String) throws(UserError) {
        guard let members = json.object else {
            throw UserError(
                .failedRun, "expected an object, found \(json.kind).", at: source, remedy: StateFields.remedy)
        }
        self.members = members
        self.source = source
    }

    func integer(_ key: String) throws(UserError) -> Int {
        guard let value = try optionalInteger(key) else { throw wrong(key, "a whole number of 0 or more") }
        return value
    }

    func number(_ key: String) throws(UserError) -> Double {
        guard let value = try optionalNumber(key) else { throw wrong(key, "a number") }
        return value
    }

    /// Python writes intervals that were given as ratios, and some counts, as `3.0`.
    func optionalInteger(_ key: String) throws(UserError) -> Int? {
        guard let value = members[key], !value.isNull else { return nil }
        guard let integer = value.int ?? value.double.flatMap(Int.init(exactly:)), integer >= 0 else {
            throw wrong(key, "a whole number of 0 or more")
        }
        return integer
    }

    func optionalNumber(_ key: String) throws(UserError) -> Double? {
        guard let value = members[key], !value.isNull else { return nil }
        guard let number = value.double else { throw wrong(key, "a number") }
        return number
    }

    func optionalText(_ key: String) throws(UserError) -> String? {
        guard let value = members[key], !value.isNull else { return nil }
        guard let text = value.string else { throw wrong(key, "a string") }
        return text
    }

    func entries(_ key: String) throws(UserError) -> [LogEntry] {
        guard let values = members[key]?.array else { throw wrong(key, "an array of objects") }
        return try values.map { value throws(UserError) in
            guard let members = value.object else { throw wrong(key, "an array of objects") }
            return LogEntry(members)
        }
    }

    private static let remedy = "Resume from another checkpoint."

    private func wrong(_ key: String, _ expected: String) -> UserError {
        let found = members[key].map(\.kind) ?? "nothing"
        return UserError(
            .failedRun, "\"\(key)\" must be \(expected), found \(found).", at: source, remedy: Self.remedy)
    }
}
