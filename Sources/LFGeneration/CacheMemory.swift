import LFDiagnostics
import LFModels
import LFTorch

/// How much memory the cache of a model may take.
struct CacheMemory {
    /// Blocks at most.
    var blocks = Int.max
    /// Of them, those of texts that have ended.
    var keptBlocks = Int.max
    /// For what recurrent layers keep of texts that have ended.
    let stateBytes: Int

    /// What a machine or device is taken to have free that does not say it.
    private static let unknownFree = 16 << 30

    init(_ model: LanguageModel, _ room: EngineLimits.Room) {
        let free = (model.device == .cpu ? FreeMemory.bytes : model.device.freeMemory) ?? Self.unknownFree
        stateBytes = free / 8
        let bytesPerToken = model.caches.reduce(0) { sum, cache in
            guard case .keysValues(let heads, let keyDim, let valueDim) = cache else { return sum }
            return sum + heads * (keyDim + valueDim) * model.computeDType.size
        }
        func count(_ bytes: Int) -> Int {
            bytesPerToken == 0 ? .max : max(1, bytes / (bytesPerToken * KeyValueStore.blockSize))
        }
        switch room {
        case .asNeeded: keptBlocks = count(free / 8)
        case .halfOfFreeMemory: blocks = count(free / 2)
        case .tokens(let tokens): blocks = max(1, tokens / KeyValueStore.blockSize)
        }
    }
}
