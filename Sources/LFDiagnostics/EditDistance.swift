/// The nearest of `candidates` to a misspelt `word`, for "did you mean" remedies.
///
/// - Returns: The candidate with the least Levenshtein distance, a third of the word's length at most; nil when none is that near.
public func nearestName(to word: String, among candidates: some Sequence<String>) -> String? {
    let limit = max(2, word.utf8.count / 3)
    var best: (name: String, distance: Int)?
    for candidate in candidates {
        let distance = levenshteinDistance(Array(word.utf8), Array(candidate.utf8))
        if distance <= limit, distance < (best?.distance ?? .max) { best = (candidate, distance) }
    }
    return best?.name
}

private func levenshteinDistance(_ a: [UInt8], _ b: [UInt8]) -> Int {
    var previous = Array(0...b.count)
    for (i, x) in a.enumerated() {
        var current = [i + 1]
        current.reserveCapacity(b.count + 1)
        for (j, y) in b.enumerated() {
            current.append(min(previous[j + 1] + 1, current[j] + 1, previous[j] + (x == y ? 0 : 1)))
        }
        previous = current
    }
    return previous[b.count]
}
