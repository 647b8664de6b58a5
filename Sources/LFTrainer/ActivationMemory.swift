import Foundation
import LFModels
import LFTorch

/// How many layers must be computed again in the backward pass for the activations to fit into memory.
///
/// What a run holds besides (weights, optimizer) is allocated already when this is asked.
struct ActivationMemory {
    /// Tokens of the largest batch.
    var tokens: Int
    /// Bytes that may be used; nil where the device does not say.
    var available: Int?

    /// Part of the free memory that activations may take; the rest is for gradients, the head's logits and fragments.
    private static let usableShare = 0.6

    func recomputedLayers(of model: LanguageModel) -> Int {
        let kept = model.activationBytesPerToken.map { $0 * tokens }
        guard let available else { return kept.count }
        let input = model.config.hiddenSize * model.computeDType.size * tokens
        var excess = kept.reduce(0, +) - Int(Double(available) * Self.usableShare)
        var layers = 0
        while excess > 0, layers < kept.count {
            excess -= max(1, kept[layers] - input)
            layers += 1
        }
        return layers
    }

    /// Free memory of this machine in bytes, within the limit of the control group that the process runs in.
    static func availableOnHost() -> Int? {
        var free: Int?
        if let text = try? String(contentsOfFile: "/proc/meminfo", encoding: .utf8) {
            for line in text.split(separator: "\n") where line.hasPrefix("MemAvailable:") {
                free = line.split(separator: " ").dropFirst().first.flatMap { Int($0) }.map { $0 << 10 }
            }
        }
        let group = "/sys/fs/cgroup/memory"
        func number(_ name: String) -> Int? {
            (try? String(contentsOfFile: group + name, encoding: .utf8)).flatMap {
                Int($0.trimmingCharacters(in: .whitespacesAndNewlines))
            }
        }
        if let limit = number(".max"), let used = number(".current") {
            free = min(free ?? .max, max(0, limit - used))
        }
        return free
    }
}
