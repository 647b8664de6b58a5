import LFDiagnostics

/// The settings that each schedule of transformers knows.
private let optionsOfScheduler: [String: [String]] = [
    "cosine": ["num_cycles"],
    "cosine_with_restarts": ["num_cycles"],
    "polynomial": ["lr_end", "power"],
    "inverse_sqrt": ["timescale"],
    "cosine_with_min_lr": ["num_cycles", "min_lr", "min_lr_rate"],
    "cosine_warmup_with_min_lr": ["num_cycles", "min_lr", "min_lr_rate", "warmup_lr_rate"],
    "warmup_stable_decay": [
        "num_decay_steps", "num_stable_steps", "warmup_type", "decay_type", "min_lr_ratio", "num_cycles",
    ],
]

/// Checks `lr_scheduler_kwargs` against the schedule that will read it.
func checkSchedulerOptions(_ arguments: inout ArgumentValues) {
    let names = ["lr_scheduler_kwargs", "lr_scheduler_type"]
    guard names.allSatisfy(arguments.isUsable) else { return }
    let scheduler = arguments.string("lr_scheduler_type")
    let known = optionsOfScheduler[scheduler] ?? []
    var options: [String: ArgumentValue] = [:]
    if case .mapping(let pairs) = arguments["lr_scheduler_kwargs"] {
        for (name, value) in pairs {
            guard known.contains(name) else {
                arguments.report(
                    "lr_scheduler_kwargs: the schedule \(scheduler) has no setting \(quoted(name)).",
                    at: names,
                    remedy: unknownOptionRemedy(name, known))
                continue
            }
            if let problem = problem(of: name, value) {
                arguments.report(
                    "lr_scheduler_kwargs: \(name) \(problem), got \(rendered(value)).", at: names,
                    remedy: "Correct it, or remove it for the schedule's own.")
                continue
            }
            options[name] = value
        }
    }
    checkRequiredOptions(scheduler, options, &arguments, names)
}

private func checkRequiredOptions(
    _ scheduler: String, _ options: [String: ArgumentValue], _ arguments: inout ArgumentValues,
    _ names: [String]
) {
    switch scheduler {
    case "cosine_with_min_lr", "cosine_warmup_with_min_lr":
        let isGiven = (options["min_lr"] != nil, options["min_lr_rate"] != nil)
        if isGiven == (true, true) {
            arguments.report(
                "Only one of min_lr and min_lr_rate can be set in lr_scheduler_kwargs.", at: names,
                remedy: "Keep one of them.")
        } else if isGiven == (false, false) {
            arguments.report(
                "The schedule \(scheduler) needs min_lr or min_lr_rate.", at: names,
                remedy: "Set `lr_scheduler_kwargs: {min_lr_rate: 0.1}`.")
        }
    case "polynomial":
        guard arguments.isUsable("learning_rate"), arguments.double("learning_rate") > 0 else { return }
        let end: Double
        switch options["lr_end"] {
        case .double(let number): end = number
        case .int(let number): end = Double(number)
        default: end = 1e-7
        }
        if !(end < arguments.double("learning_rate")) {
            arguments.report(
                "lr_end (\(spelled(end))) must be smaller than learning_rate "
                    + "(\(spelled(arguments.double("learning_rate")))).", at: names + ["learning_rate"],
                remedy: "Lower lr_end in lr_scheduler_kwargs.")
        }
    default: break
    }
}

private func unknownOptionRemedy(_ name: String, _ known: [String]) -> String {
    if let near = nearestName(to: name, among: known) { return "Did you mean \"\(near)\"?" }
    return known.isEmpty ? "Remove it; the schedule has none." : "It has \(spokenList(known))."
}

/// What is wrong with one setting's value, or nil.
private func problem(of name: String, _ value: ArgumentValue) -> String? {
    if name == "warmup_type" || name == "decay_type" {
        let shapes = ["linear", "cosine", "1-sqrt"]
        guard case .string(let text) = value, shapes.contains(text) else {
            return "must be one of \(spokenList(shapes))"
        }
        return nil
    }
    let number: Double
    switch value {
    case .int(let whole): number = Double(whole)
    case .double(let decimal): number = decimal
    default: return "must be a number"
    }
    guard number.isFinite, number >= 0 else { return "must be a finite number, at least 0" }
    switch name {
    case "timescale" where number == 0: return "must be greater than 0"
    case "num_decay_steps", "num_stable_steps", "timescale":
        return number == number.rounded() && number <= NumericBounds.largestCount
            ? nil : "must be a whole number"
    case "min_lr_rate", "min_lr_ratio", "warmup_lr_rate":
        return number <= 1 ? nil : "must be at most 1"
    default: return nil
    }
}
