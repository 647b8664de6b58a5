import Foundation

/// How alike a prediction and its label are, each from 0 to 100 with four decimals.
package struct TextSimilarity: Sendable, Equatable {
    package var rouge1 = 0.0
    package var rouge2 = 0.0
    package var rougeL = 0.0
    package var bleu4 = 0.0

    /// The names under which they are reported.
    package static let metricNames = ["rouge-1", "rouge-2", "rouge-l", "bleu-4"]
    /// The numbers in the order of `metricNames`.
    package var values: [Double] { [rouge1, rouge2, rougeL, bleu4] }

    /// ROUGE-1, -2 and -L (Lin 2004) of words as `rouge_chinese` counts them, and BLEU-4 (Papineni et al. 2002) of characters with NIST's
    /// smoothing as nltk's `method3` does it.
    package init(prediction: String, label: String, cutter: WordCutter) {
        let predicted = rougeWords(cutter.cut(prediction).joined(separator: " "))
        let wanted = rougeWords(cutter.cut(label).joined(separator: " "))
        if let predicted, let wanted {
            rouge1 = percent(ngramOverlap(predicted, wanted, 1))
            rouge2 = percent(ngramOverlap(predicted, wanted, 2))
            rougeL = percent(
                balanced(
                    longestCommonSubsequence(predicted, wanted), predicted: predicted.count,
                    wanted: wanted.count))
        }
        bleu4 = percent(bleu(prediction.unicodeScalars.map(\.value), label.unicodeScalars.map(\.value)))
    }
}

/// Times 100, to four decimals as Python rounds.
private func percent(_ value: Double) -> Double {
    Double(String(format: "%.4f", value * 100)) ?? value * 100
}

/// What Python counts as white space.
private func isSpace(_ scalar: UInt32) -> Bool {
    switch scalar {
    case 0x09...0x0D, 0x1C...0x20, 0x85, 0xA0, 0x1680, 0x2000...0x200A, 0x2028, 0x2029, 0x202F, 0x205F,
        0x3000:
        true
    default: false
    }
}

/// The words of a text as `rouge_chinese` sees them: sentences are split first, and one of white space alone counts as an empty word.
/// Nil for a text without words.
private func rougeWords(_ text: String) -> [[UInt32]]? {
    var scalars = text.unicodeScalars.map(\.value)
    guard scalars.contains(where: { !isSpace($0) }) else { return nil }
    let stops: Set<UInt32> = [0x3002, 0xFF01, 0xFF1F, 0x3F]
    let quotes: Set<UInt32> = [0x201D, 0x2019]
    func breakLines(_ length: Int, _ matches: (ArraySlice<UInt32>) -> Bool, unless: Set<UInt32>) {
        var result: [UInt32] = []
        var place = 0
        while place < scalars.count {
            let end = place + length
            if end < scalars.count, matches(scalars[place..<end]), !unless.contains(scalars[end]) {
                result += scalars[place..<end] + [0x0A, scalars[end]]
                place = end + 1
            } else {
                result.append(scalars[place])
                place += 1
            }
        }
        scalars = result
    }
    breakLines(1, { stops.contains($0[$0.startIndex]) }, unless: quotes)
    breakLines(6, { $0.allSatisfy { $0 == 0x2E } }, unless: quotes)
    breakLines(2, { $0.allSatisfy { $0 == 0x2026 } }, unless: quotes)
    breakLines(
        2, { stops.contains($0[$0.startIndex]) && quotes.contains($0[$0.startIndex + 1]) },
        unless: stops.union([0xFF0C]))
    while let last = scalars.last, isSpace(last) { scalars.removeLast() }
    var words: [[UInt32]] = []
    for sentence in scalars.split(separator: 0x0A) {
        let parts = sentence.split(whereSeparator: isSpace).map { Array($0) }
        words += parts.isEmpty ? [[]] : parts
    }
    return words
}

/// The balanced mean of precision and recall, with the reference's guard against zero.
private func balanced(_ overlap: Int, predicted: Int, wanted: Int) -> Double {
    let precision = predicted == 0 ? 0 : Double(overlap) / Double(predicted)
    let recall = wanted == 0 ? 0 : Double(overlap) / Double(wanted)
    return 2 * ((precision * recall) / (precision + recall + 1e-8))
}

/// ROUGE-N over the sets of n-grams.
private func ngramOverlap(_ predicted: [[UInt32]], _ wanted: [[UInt32]], _ n: Int) -> Double {
    func ngrams(_ words: [[UInt32]]) -> Set<[[UInt32]]> {
        guard words.count >= n else { return [] }
        return Set((0...(words.count - n)).map { Array(words[$0..<$0 + n]) })
    }
    let (own, other) = (ngrams(predicted), ngrams(wanted))
    return balanced(own.intersection(other).count, predicted: own.count, wanted: other.count)
}

private func longestCommonSubsequence(_ a: [[UInt32]], _ b: [[UInt32]]) -> Int {
    // Words as numbers, so that the table compares integers.
    var numbers: [[UInt32]: Int] = [:]
    func number(_ word: [UInt32]) -> Int {
        if let known = numbers[word] { return known }
        numbers[word] = numbers.count
        return numbers.count - 1
    }
    let (first, second) = (a.map(number), b.map(number))
    var row = Array(repeating: 0, count: second.count + 1)
    for word in first {
        var diagonal = 0
        for (column, other) in second.enumerated() {
            let above = row[column + 1]
            row[column + 1] = word == other ? diagonal + 1 : max(above, row[column])
            diagonal = above
        }
    }
    return row[second.count]
}

/// BLEU-4 of one text against one reference; a precision of zero counts as `1 / (2^k · n-grams)`, k the number of zeros so far.
private func bleu(_ text: [UInt32], _ reference: [UInt32]) -> Double {
    func counts(_ scalars: [UInt32], _ n: Int) -> [ArraySlice<UInt32>: Int] {
        var result: [ArraySlice<UInt32>: Int] = [:]
        guard scalars.count >= n else { return result }
        for start in 0...(scalars.count - n) { result[scalars[start..<start + n], default: 0] += 1 }
        return result
    }
    var sum = 0.0
    var zeros = 0.0
    for n in 1...4 {
        let own = counts(text, n), other = counts(reference, n)
        let matches = own.reduce(0) { $0 + min($1.value, other[$1.key] ?? 0) }
        if n == 1, matches == 0 { return 0 }
        let total = Double(max(1, own.values.reduce(0, +)))
        if matches == 0 { zeros += 1 }
        sum += 0.25 * log(matches > 0 ? Double(matches) / total : 1 / (pow(2, zeros) * total))
    }
    let brevity = text.count > reference.count ? 1 : exp(1 - Double(reference.count) / Double(text.count))
    return brevity * exp(sum)
}
