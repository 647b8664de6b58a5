internal import CTorch

/// The Euclidean norm of all tensors together, `[]` float32.
public func totalNorm(_ tensors: [Tensor]) throws(TorchError) -> Tensor {
    let handles = tensors.map { Optional($0.handle) }
    return try withExtendedLifetime(tensors) { () throws(TorchError) in
        try Tensor.make("norm") { lf_total_norm(handles, handles.count, $0) }
    }
}

/// Multiplies all tensors in place by a one-element tensor.
public func scaleInPlace(_ tensors: [Tensor], by factor: Tensor) throws(TorchError) {
    let handles = tensors.map { Optional($0.handle) }
    try withExtendedLifetime(tensors) { () throws(TorchError) in
        try check("scale", lf_scale_all(handles, handles.count, factor.handle))
    }
}

/// One step of AdamW on all parameters at once (Loshchilov & Hutter 2017, arXiv 1711.05101, algorithm 2).
///
/// - Parameters:
///   - steps: `[]` float32 counters, one per parameter, advanced here.
///   - gradientScale: `[]` float32; multiplies all gradients, whose values are undefined afterwards.
public func adamWStep(
    parameters: [Tensor], gradients: [Tensor], firstMoments: [Tensor], secondMoments: [Tensor],
    steps: [Tensor], gradientScale: Tensor? = nil,
    learningRate: Double, beta1: Double, beta2: Double, weightDecay: Double, epsilon: Double
) throws(TorchError) {
    let lists = [parameters, gradients, firstMoments, secondMoments, steps].map {
        $0.map { Optional($0.handle) }
    }
    let status = withExtendedLifetime((parameters, gradients, firstMoments, secondMoments, steps)) {
        lf_adamw_step(
            lists[0], lists[1], lists[2], lists[3], lists[4], parameters.count, gradientScale?.handle,
            learningRate, beta1, beta2, weightDecay, epsilon)
    }
    try check("AdamW", status)
}
