internal import CTorch

/// Microscaling 4-bit floats as bfloat16 (Rouhani et al. 2023, arXiv 2310.10537; OCP MX 1.0).
///
/// - Parameters:
///   - blocks: uint8 `[…, G, 16]`, two numbers a byte, the first in the low half.
///   - scales: uint8 `[…, G]`, powers of two with a bias of 127.
/// - Returns: `[…, 32 · G]`.
public func unpackedMXFP4(_ blocks: Tensor, scales: Tensor) throws(TorchError) -> Tensor {
    try Tensor.make("MXFP4") { lf_unpack_mxfp4(blocks.handle, scales.handle, $0) }
}

/// 8-bit floats as bfloat16, each tile of 128 × 128 with a factor of its own (DeepSeek-AI 2024, arXiv 2412.19437, section 3.3).
///
/// - Parameters:
///   - x: float8 `[out, in]`.
///   - scales: float32 `[⌈out / 128⌉, ⌈in / 128⌉]`.
public func scaledTiles(_ x: Tensor, scales: Tensor) throws(TorchError) -> Tensor {
    let (rows, columns) = (scales.dim(0), scales.dim(1)), side = 128
    let factors = try scales.to(.float32).reshaped([rows, 1, columns, 1]).expanded([
        rows, side, columns, side,
    ])
    .reshaped([rows * side, columns * side]).slice(0..<x.dim(0)).slice(0..<x.dim(1), dim: 1)
    return try (x.to(.float32) * factors).to(.bfloat16)
}
