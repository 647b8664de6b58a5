import LFDiagnostics
import LFTorch

/// Copies saved tensors into an optimizer's own, once all of them are known to fit.
///
/// - Throws: `UserError` naming a tensor that is missing, unknown or of another shape; then nothing was changed.
func replaceState(
    _ own: [(name: String, tensor: Tensor)], with saved: [(name: String, tensor: Tensor)]
) throws {
    func mismatch(_ problem: String) -> UserError {
        UserError(
            .failedRun, "the optimizer state does not match the trained parameters: \(problem)",
            remedy:
                "Resume with the settings of the run that wrote the checkpoint, or start from the beginning.")
    }
    var rest = Dictionary(saved.map { ($0.name, $0.tensor) }) { _, last in last }
    var copies: [(target: Tensor, source: Tensor)] = []
    for (name, target) in own {
        guard let source = rest.removeValue(forKey: name) else { throw mismatch("\"\(name)\" is missing.") }
        guard source.shape == target.shape, source.dtype == target.dtype else {
            throw mismatch(
                "\"\(name)\" is \(source.dtype) \(source.shape), but \(target.dtype) \(target.shape) is needed."
            )
        }
        copies.append((target, source))
    }
    if let name = rest.keys.min() { throw mismatch("\"\(name)\" belongs to no trained parameter.") }
    for (target, source) in copies { try target.copyInPlace(source) }
}
