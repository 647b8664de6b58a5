import Foundation
import LFDiagnostics

/// Checks the file or mapping that `deepspeed` names and keeps its ZeRO stage.
///
/// Every key is known, or it is refused by name. "auto" takes the training argument's value, and a value that contradicts an
/// argument is an error, as in transformers' `integrations/deepspeed.py`. What only tunes speed and memory is accepted.
func readDeepSpeed(_ arguments: inout ArgumentValues) {
    let entries: [ConfigurationFile.Entry]
    let place: String
    switch arguments["deepspeed"] {
    case .string(let path):
        let file: ConfigurationFile
        do {
            file = try ConfigurationFile(
                path: expandingHome(path),
                content: .init(
                    subject: "The DeepSpeed configuration", advice: deepSpeedAdvice,
                    emptyFileAdvice: deepSpeedAdvice, entries: "DeepSpeed settings"))
        } catch { return arguments.report(error) }
        for problem in file.problems { arguments.report(problem) }
        (entries, place) = (file.entries, expandingHome(path))
    case .mapping(let pairs):
        entries = pairs.map { .init(name: $0.0, value: ConfigurationNode($0.1)) }
        place = arguments.location(of: "deepspeed") ?? "deepspeed"
    default: return
    }
    var reader = DeepSpeedReader(place: place, arguments: arguments)
    for entry in entries where !entry.name.hasPrefix("_") { reader.read(entry.name, entry.value) }
    reader.compareOmitted()
    for problem in reader.problems { arguments.report(problem) }
    if let stage = reader.stage { arguments.zeroStage = stage }
    arguments.lossScaling = reader.scaling
    // One process is told that it has nothing to share.
    guard arguments.processCount > 1 else { return }
    if let name = reader.offloads { arguments.warnOfOffloading(name) }
    if let size = reader.tensorParallelSize {
        arguments.warn(
            "tensor_parallel.autotp_size is \(size), but processes share batches, not matrices: each of the \(arguments.processCount) processes learns from batches of its own."
        )
    }
}

extension ArgumentValues {
    /// Says that a wish to save the memory of one device by that of another changes nothing.
    mutating func warnOfOffloading(_ name: String) {
        warn(
            "`\(name)` moves nothing: weights, gradients and the optimizer's state stay in the memory of the processes that keep them."
        )
    }
}

private let deepSpeedAdvice = #"Write DeepSpeed's settings, such as {"zero_optimization": {"stage": 2}}."#

private struct DeepSpeedReader {
    let place: String
    let arguments: ArgumentValues
    var problems: [UserError] = []
    var stage: Int? = 0
    var scaling = LossScaling.deepSpeed
    /// The key that asks for offloading.
    var offloads: String?
    /// Among how many processes single matrices would be divided, where that is several.
    var tensorParallelSize: Int?
    /// The key that names an optimizer, and the keys that have been read.
    private var optimizer: ConfigurationNode?
    private var seen: Set<String> = []

    init(place: String, arguments: ArgumentValues) {
        self.place = place
        self.arguments = arguments
    }

    mutating func read(_ path: String, _ node: ConfigurationNode) {
        seen.insert(path)
        switch DeepSpeedRule.table[path] {
        case .idle, .idleSection: note(path, node)
        case .equals(let name): compare(path, node, with: name)
        case .scaling: readScaling(path, node)
        case .optimizer: checkOptimizer(node)
        case .anyOf(let choices):
            let value = spelled(node)
            if !choices.contains(value) {
                report(
                    "\(path) must be \(spokenList(choices)), got \(node.spelling).", node,
                    remedy: "Correct it.")
            } else if path == "zero_optimization.stage" {
                stage = Int(value)
            }
        case .refused(let harmless):
            guard !harmless.contains(spelled(node)) else { return }
            report(
                "\(path) is not supported yet.", node,
                remedy: "Remove it\(harmless.first.map { ", or set it to \($0)" } ?? "").")
        case nil:
            guard case .mapping(let pairs) = node.content,
                DeepSpeedRule.table.keys.contains(where: { $0.hasPrefix(path + ".") })
            else { return unknown(path, node) }
            for pair in pairs { read("\(path).\(pair.key)", pair.value) }
        }
    }

    /// Keeps what changes no number, but is worth a line.
    private mutating func note(_ path: String, _ node: ConfigurationNode) {
        func value(of key: String) -> String? {
            guard case .mapping(let pairs) = node.content else { return nil }
            return pairs.last { $0.key == key }.map { spelled($0.value) }
        }
        switch path {
        case "zero_optimization.offload_optimizer", "zero_optimization.offload_param":
            if let device = value(of: "device"), device != "none" { offloads = offloads ?? path }
        case "zero_optimization.cpu_offload", "zero_optimization.cpu_offload_param":
            if spelled(node) == "true" { offloads = offloads ?? path }
        case "tensor_parallel":
            tensorParallelSize = value(of: "autotp_size").flatMap { Int($0) }.flatMap { $0 > 1 ? $0 : nil }
        default: break
        }
    }

    private mutating func compare(_ path: String, _ node: ConfigurationNode, with name: String) {
        if spelled(node) == "auto" { return }
        let (argument, expected) = expectation(name)
        guard node.plainValue != expected,
            number(node.plainValue) != number(expected) || number(expected) == nil
        else { return }
        report(
            "\(path) is \(node.spelling), but \(argument) is \(rendered(expected)).", node,
            remedy: "Write \"auto\", or give both the same value.")
    }

    /// A key of the section `fp16`; a `loss_scale` other than 0 stays what it is, whatever the other keys say.
    private mutating func readScaling(_ path: String, _ node: ConfigurationNode) {
        let text = spelled(node)
        if text == "auto" { return }
        func number(_ kind: String, isValid: (Double) -> Bool) -> Double? {
            if let number = Double(text), isValid(number) { return number }
            report("\(path) must be \(kind), got \(node.spelling).", node, remedy: "Correct it.")
            return nil
        }
        func isCount(_ number: Double) -> Bool { number >= 1 && number == number.rounded() && number < 1e9 }
        switch path {
        case "fp16.loss_scale":
            guard let scale = number("0 or a scale", isValid: { $0 >= 0 && $0 < 1e38 }), scale > 0 else {
                return
            }
            scaling.isDynamic = false
            scaling.initialScale = scale
        case "fp16.initial_scale_power":
            let power = number("a whole number from 0 to 126") {
                (0...126).contains($0) && $0 == $0.rounded()
            }
            if let power, scaling.isDynamic { scaling.initialScale = exp2(power) }
        case "fp16.loss_scale_window":
            if let count = number("a number of steps", isValid: isCount) {
                scaling.growthInterval = Int(count)
            }
        case "fp16.hysteresis":
            if let count = number("a number of overflows", isValid: isCount) {
                scaling.hysteresis = Int(count)
            }
        case "fp16.min_loss_scale":
            let scale = number("a scale above 0") { $0 > 0 && $0 < 1e38 }
            if let scale { scaling.smallestScale = scale }
        default: scaling.refillsHysteresis = text == "true"
        }
    }

    /// Where the file names an optimizer, DeepSpeed's takes the place of the one that the arguments ask for (transformers'
    /// `deepspeed_optim_sched`): both must be the same. Its Adam decouples the weight decay too.
    private mutating func checkOptimizer(_ node: ConfigurationNode) {
        let type = spelled(node)
        guard ["adamw", "adam"].contains(type.lowercased()) else {
            return report(
                "optimizer.type must be AdamW or Adam, got \(node.spelling).", node, remedy: "Correct it.")
        }
        optimizer = node
        let others = ["use_adam_mini", "use_muon", "use_badam"].filter { arguments.bool($0) }
        let asked =
            others.first.map { "\($0) is true" }
            ?? (arguments.string("optim").hasPrefix("adamw") ? nil : "optim is \(arguments.string("optim"))")
            ?? (arguments.isNull("loraplus_lr_ratio") ? nil : "loraplus_lr_ratio asks for two learning rates")
        guard let asked else { return }
        report(
            "optimizer.type is \(node.spelling), but \(asked).", node,
            remedy: "Remove \"optimizer\" from the file: the arguments choose the optimizer.")
    }

    /// What the file's optimizer leaves out has DeepSpeed's own default, not the argument's value.
    mutating func compareOmitted() {
        guard let optimizer else { return }
        let defaults: [(key: String, name: String, value: ArgumentValue)] = [
            ("lr", "learning_rate", .double(1e-3)), ("eps", "adam_epsilon", .double(1e-8)),
            ("betas", "adam_betas", .list([.double(0.9), .double(0.999)])),
            ("weight_decay", "weight_decay", .double(0)),
        ]
        for (key, name, value) in defaults where !seen.contains("optimizer.params.\(key)") {
            let (argument, expected) = expectation(name)
            guard value != expected, number(value) != number(expected) || number(expected) == nil else {
                continue
            }
            report(
                "optimizer.params has no \(key), for which DeepSpeed takes \(rendered(value)), but \(argument) is \(rendered(expected)).",
                optimizer, remedy: "Write \"\(key)\": \"auto\".")
        }
    }

    /// The argument that a key repeats, as a message calls it, and its value.
    private func expectation(_ name: String) -> (argument: String, value: ArgumentValue) {
        switch name {
        case "train_batch_size":
            let size =
                arguments.int("per_device_train_batch_size") * arguments.int("gradient_accumulation_steps")
                * arguments.processCount
            let processes = arguments.processCount > 1 ? " times \(arguments.processCount) processes" : ""
            return (
                "per_device_train_batch_size times gradient_accumulation_steps\(processes)", .int(size)
            )
        case "adam_betas":
            return ("adam_beta1, adam_beta2", .list([arguments["adam_beta1"], arguments["adam_beta2"]]))
        default: return (name, arguments[name])
        }
    }

    private func number(_ value: ArgumentValue) -> Double? {
        switch value {
        case .int(let number): Double(number)
        case .double(let number): number
        default: nil
        }
    }

    private func spelled(_ node: ConfigurationNode) -> String {
        if case .scalar(let text, _) = node.content { text } else { "" }
    }

    private mutating func unknown(_ path: String, _ node: ConfigurationNode) {
        let near = nearestName(to: path, among: Array(DeepSpeedRule.table.keys))
        report(
            "unknown DeepSpeed key \"\(path)\".", node,
            remedy: near.map { "Did you mean \"\($0)\"?" } ?? "Remove it.")
    }

    private mutating func report(_ problem: String, _ node: ConfigurationNode, remedy: String) {
        let location = node.line.map { "\(place):\($0)" } ?? place
        problems.append(UserError(.configuration, problem, at: location, remedy: remedy))
    }
}
