/// How many tokens of a prompt and of its answer fit into `cutoff` (upstream `infer_seqlen`).
///
/// A short answer is kept whole and the prompt takes the rest; else a short prompt is kept whole; else both shrink in
/// proportion.
package func sharedLengths(source: Int, target: Int, cutoff: Int) -> (source: Int, target: Int) {
    let targetLimit: Int
    if target * 2 < cutoff {
        targetLimit = cutoff
    } else if source * 2 < cutoff {
        targetLimit = cutoff - source
    } else {
        targetLimit = Int(Double(cutoff) * (Double(target) / Double(source + target)))
    }
    let target = min(targetLimit, target)
    return (min(max(cutoff - target, 0), source), target)
}
