package import LFModelConfig
package import LFNN

extension RotaryPositions {
    package func embedding(isInterleaved: Bool = false, _ weights: WeightScope) -> RotaryEmbedding {
        weights.rotary(dim: dim, theta: theta, scaling: scaling, isInterleaved: isInterleaved)
    }
}
