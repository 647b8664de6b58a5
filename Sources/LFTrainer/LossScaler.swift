package import LFConfig
package import LFJSON

/// The factor of losses whose gradients are float16, so that small ones do not vanish, and what becomes of it: it is halved when
/// gradients overflow, and doubled when they have not for long (Micikevicius et al. 2018, arXiv 1710.03740, section 3.2; torch's
/// `GradScaler`).
///
/// All scales are powers of two unless a file names another one, so scaling rounds nothing.
package final class LossScaler {
    private let settings: LossScaling
    /// What losses are multiplied by, and gradients divided by.
    package private(set) var scale: Double
    /// Updates that were left out because a gradient was infinite or NaN.
    package private(set) var skippedUpdates = 0
    /// Updates without overflow since the scale last grew or an update was left out.
    private var successes = 0
    /// Overflows until the scale is halved.
    private var tolerance: Int

    package init(_ settings: LossScaling) {
        self.settings = settings
        scale = settings.initialScale
        tolerance = settings.hysteresis
    }

    /// Follows an update.
    ///
    /// - Returns: Whether the run can go on; false where the scale would fall below its lower bound.
    package func update(overflowed: Bool) -> Bool {
        guard overflowed else {
            succeed()
            return true
        }
        skippedUpdates += 1
        successes = 0
        guard settings.isDynamic else { return true }
        guard tolerance <= 1 else {
            tolerance -= 1
            return true
        }
        guard scale / 2 >= settings.smallestScale else { return false }
        scale /= 2
        return true
    }

    private func succeed() {
        guard settings.isDynamic else { return }
        if settings.refillsHysteresis { tolerance = settings.hysteresis }
        successes += 1
        guard successes == settings.growthInterval else { return }
        successes = 0
        tolerance = settings.hysteresis
        // torch keeps its scale in float32.
        if scale * 2 <= Double(Float.greatestFiniteMagnitude) { scale *= 2 }
    }

    /// What a checkpoint holds.
    package var json: JSONValue {
        [
            "scale": .double(scale), "skipped": .int(Int64(skippedUpdates)),
            "successes": .int(Int64(successes)), "tolerance": .int(Int64(tolerance)),
        ]
    }

    /// Takes over what a checkpoint holds; one of a run without scaling holds nothing, and the scale begins anew.
    package func restore(_ json: JSONValue?) {
        guard let saved = json?["scale"]?.double, saved > 0, saved.isFinite else { return }
        scale = saved
        skippedUpdates = json?["skipped"]?.int ?? 0
        successes = json?["successes"]?.int ?? 0
        tolerance = json?["tolerance"]?.int ?? settings.hysteresis
    }
}
