public import LFTorch

/// Where a model's blocks take their weights from while other processes keep them (ZeRO's third stage).
///
/// A block's weights are brought before it computes and dismissed after it; in the backward pass, which computes the block again,
/// they stay until its gradients have been passed on.
public protocol BlockSource: AnyObject {
    /// Whether a weight of the block, or of an adapter in it, is trained.
    func learns(_ block: Int) -> Bool
    /// Puts the block's weights in place; with gradient while gradients are recorded.
    func bring(_ block: Int) throws(TorchError)
    /// Passes the gradients of the weights that were brought to the processes that keep them.
    func passGradients(of block: Int) throws(TorchError)
    /// Lets go of what was brought.
    func dismiss(_ block: Int)
    /// Brings all blocks at once, until `releaseAll`.
    func holdAll() throws(TorchError)
    func releaseAll()
}
