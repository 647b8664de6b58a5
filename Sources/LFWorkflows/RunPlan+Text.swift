import Foundation
import LFConfig
public import LFJSON
import LFTorch
import LFTrainer

extension RunPlan {
    /// The plan for a console.
    public var lines: [String] {
        let training = config.training
        let share = 100 * Double(weights.trained) / Double(max(weights.all, 1))
        var facts: [(String, String)] = [
            (
                "model",
                "\(config.model.modelNameOrPath) (\(modelType)), \(Self.grouped(weights.all)) parameters, computed in \(computeDType)"
            ),
            (
                "trained",
                "\(Self.grouped(weights.trained)) parameters, \(String(format: "%.4g", share)) % (stage \(config.finetuning.stage.rawValue), \(config.finetuning.type.rawValue))"
            ),
            ("data", dataText), ("tokens", tokenText), ("sharing", sharingText), ("run", runText),
        ]
        if let answerTokens {
            facts.append(
                (
                    "answers",
                    "\(answerTokens) tokens each, as is assumed; --answer-tokens N assumes another length"
                ))
        }
        if let cost {
            facts.append(("time", timeText(cost)))
            facts.append(("a step", phaseText(cost)))
            if let floor = cost.floor, let rate = cost.operationsPerSecond {
                facts.append(
                    (
                        "floor",
                        "\(Self.rounded(cost.operationsPerStep / 1e9, 1)) GFLOP a step take \(Self.seconds(floor)) at this machine's \(Int(rate / 1e9)) GFLOP/s, \(Self.rounded(100 * floor / max(cost.secondsPerStep, 1e-9), 0)) % of the step"
                    ))
            }
            facts.append(("memory", memoryText(cost)))
        } else if let costProblem {
            facts.append(("time", "not measured: \(costProblem)"))
        }
        if training.processCount > 1 {
            facts.append(
                (
                    "processes",
                    "\(training.processCount); the time is that of the one with most to compute in a step, the memory that of one, without what they exchange"
                ))
        }
        let width = (facts.map(\.0.count).max() ?? 0) + 2
        return facts.map { $0.0.padding(toLength: width, withPad: " ", startingAt: 0) + $0.1 }
            + warnings.map { "warning: \($0)" }
    }

    private var dataText: String {
        let names = config.data.dataset.joined(separator: ", ")
        guard let exampleCount else { return "\(names), streamed" }
        return "\(names), \(Self.grouped(exampleCount)) examples"
    }

    private var tokenText: String {
        let kind = exampleCount == nil ? "in the stream's first rows" : "an epoch"
        let share = 100 * Double(tokens.learned) / Double(max(tokens.all, 1))
        var text =
            "\(Self.grouped(tokens.all)) \(kind), \(Self.grouped(tokens.learned)) of them learned (\(Self.rounded(share, 1)) %), the longest sequence \(tokens.longest)"
        if exampleCount != nil {
            let epochs = Double(steps.totalSteps) / Double(max(steps.stepsPerEpoch, 1))
            text += "; \(Self.grouped(Int(Double(tokens.all) * epochs))) in all"
        }
        return text
    }

    private var sharingText: String {
        let saved = tokens.all - tokens.computed
        let share = 100 * Double(saved) / Double(max(tokens.all, 1))
        return
            "\(Self.grouped(tokens.computed)) tokens are computed; \(Self.grouped(saved)) are saved where sequences begin alike (\(Self.rounded(share, 1)) %)"
    }

    private var runText: String {
        let training = config.training
        var text = "\(steps.totalSteps) steps"
        if exampleCount != nil {
            let epochs = Double(steps.totalSteps) / Double(max(steps.stepsPerEpoch, 1))
            text += ", \(steps.stepsPerEpoch) an epoch, \(Self.rounded(epochs, 2)) epochs"
        }
        return text
            + "; \(steps.examplesPerStep) examples a step (batch \(training.perDeviceTrainBatchSize), accumulation \(steps.accumulation), \(training.processCount) \(training.processCount == 1 ? "process" : "processes"))"
    }

    private func timeText(_ cost: RunCost) -> String {
        "about \(Self.seconds(cost.secondsPerStep)) a step, \(Self.duration(cost.totalSeconds)) in all, without evaluations and checkpoints (\(TorchRuntime.threads) threads; measured on \(cost.measured.blocks) of \(cost.recomputed.of) blocks and \(cost.measured.tokens) tokens)"
    }

    private func phaseText(_ cost: RunCost) -> String {
        let whole = max(cost.secondsPerStep, 1e-12)
        let named = StepPhase.allCases.compactMap { phase in
            cost.phases[phase].map { (phase.rawValue, $0 / whole) }
        }
        return named.filter { $0.1 >= 0.005 }.map { "\($0.0) \(Self.rounded(100 * $0.1, 0)) %" }
            .joined(separator: ", ")
    }

    private func memoryText(_ cost: RunCost) -> String {
        var text = "not measured: the kernel does not tell this process's peak"
        if let peak = cost.peakBytes {
            text = "about \(Self.gibibytes(peak)) GiB at most"
            if let free = cost.freeBytes { text += ", \(Self.gibibytes(free)) GiB are free" }
            if let batch = cost.largestBatch {
                text +=
                    batch > 0
                    ? "; per_device_train_batch_size \(Self.grouped(batch)) is the largest that fits"
                    : "; not even one example a batch fits"
            }
        }
        if cost.recomputed.count > 0 {
            text +=
                "; \(cost.recomputed.count) of \(cost.recomputed.of) blocks are computed again in the backward pass"
        }
        return text
    }

    // MARK: JSON

    /// The plan for programs.
    public var json: JSONObject {
        func int(_ value: Int?) -> JSONValue { value.map { .int(Int64($0)) } ?? .null }
        var object: JSONObject = [
            "parameters": int(weights.all), "trained_parameters": int(weights.trained),
            "examples": int(exampleCount), "tokens": int(tokens.all), "learned_tokens": int(tokens.learned),
            "computed_tokens": int(tokens.computed), "longest": int(tokens.longest),
            "tokens_are_sampled": .bool(tokens.isSample), "steps": int(steps.totalSteps),
            "steps_per_epoch": int(steps.stepsPerEpoch), "examples_per_step": int(steps.examplesPerStep),
            "answer_tokens": int(answerTokens),
        ]
        if let cost {
            object["seconds_per_step"] = .double(cost.secondsPerStep)
            object["seconds"] = .double(cost.totalSeconds)
            var phases = JSONObject()
            for phase in StepPhase.allCases {
                if let seconds = cost.phases[phase] { phases[phase.rawValue] = .double(seconds) }
            }
            object["phases"] = .object(phases)
            object["operations_per_step"] = .double(cost.operationsPerStep)
            object["operations_per_second"] = cost.operationsPerSecond.map { .double($0) } ?? .null
            object["floor_seconds_per_step"] = cost.floor.map { .double($0) } ?? .null
            object["peak_bytes"] = int(cost.peakBytes)
            object["free_bytes"] = int(cost.freeBytes)
            object["largest_batch"] = int(cost.largestBatch)
            object["recomputed_blocks"] = int(cost.recomputed.count)
            object["blocks"] = int(cost.recomputed.of)
            object["measured_blocks"] = int(cost.measured.blocks)
            object["measured_tokens"] = int(cost.measured.tokens)
        }
        if let costProblem { object["not_measured"] = .string(costProblem) }
        object["warnings"] = .array(warnings.map { .string($0) })
        return object
    }

    // MARK: Numbers

    static func rounded(_ value: Double, _ digits: Int) -> String { String(format: "%.\(digits)f", value) }

    static func seconds(_ value: Double) -> String {
        value < 0.1 ? "\(rounded(value * 1000, 1)) ms" : "\(rounded(value, value < 10 ? 2 : 1)) s"
    }

    static func duration(_ value: Double) -> String {
        guard value >= 120 else { return seconds(value) }
        let minutes = Int((value / 60).rounded())
        guard minutes >= 120 else { return "\(minutes) min" }
        guard minutes >= 60 * 48 else { return "\(minutes / 60) h \(minutes % 60) min" }
        return "\(minutes / 60 / 24) d \(minutes / 60 % 24) h"
    }

    static func grouped(_ value: Int) -> String {
        var digits = Substring(String(value))
        var groups: [Substring] = []
        while digits.count > 3 {
            groups.insert(digits.suffix(3), at: 0)
            digits = digits.dropLast(3)
        }
        return ([digits] + groups).joined(separator: ",")
    }
}
