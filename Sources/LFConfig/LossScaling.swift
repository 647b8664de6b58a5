/// How losses are scaled where gradients are float16 (`fp16: true` on a GPU).
///
/// Without a DeepSpeed file it is torch's `GradScaler` with the settings that accelerate leaves it; with one it is what the section
/// `fp16` of the file says, the rest being DeepSpeed's own defaults (`runtime/fp16/loss_scaler.py`).
public struct LossScaling: Sendable, Equatable {
    /// What the first losses are multiplied by.
    public var initialScale = 65_536.0
    /// Updates without overflow until the scale is doubled.
    public var growthInterval = 2000
    /// How many overflows lower the scale: the last of them does, and those before it are skipped all the same.
    public var hysteresis = 1
    /// Whether an update without overflow makes up for the overflows before it; else growing does.
    public var refillsHysteresis = false
    /// Below this scale the run ends. By default the smallest number of float16.
    public var smallestScale = 0x1p-24
    /// Whether the scale changes at all.
    public var isDynamic = true

    public init() {}

    /// DeepSpeed's defaults.
    static var deepSpeed: Self {
        var scaling = Self()
        scaling.growthInterval = 1000
        scaling.hysteresis = 2
        scaling.smallestScale = 1
        return scaling
    }
}
