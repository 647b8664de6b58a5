import Foundation

/// Cuts text into words as `jieba.cut` does: the likeliest path through the dictionary, and a hidden Markov model for what it does not
/// know.
package struct WordCutter: Sendable {
    private let dictionary: WordDictionary
    private let logTotal: Double

    package init(_ dictionary: WordDictionary) {
        self.dictionary = dictionary
        logTotal = log(Double(dictionary.total))
    }

    /// The words of a text; all of them together are the text.
    package func cut(_ text: String) -> [String] {
        let scalars = text.unicodeScalars.map(\.value)
        var words: [ArraySlice<UInt32>] = []
        var place = 0
        while place < scalars.count {
            var end = place
            while end < scalars.count, Self.isWordScalar(scalars[end]) { end += 1 }
            if end > place {
                cutByDictionary(scalars[place..<end], into: &words)
            } else {
                end = place + 1
                if scalars[place] == 0x0D, end < scalars.count, scalars[end] == 0x0A { end += 1 }
                words.append(scalars[place..<end])
            }
            place = end
        }
        return words.map(Self.string)
    }

    private static func string(_ scalars: ArraySlice<UInt32>) -> String {
        var result = String.UnicodeScalarView()
        for value in scalars { if let scalar = Unicode.Scalar(value) { result.append(scalar) } }
        return String(result)
    }

    private static func isChinese(_ scalar: UInt32) -> Bool { (0x4E00...0x9FD5).contains(scalar) }
    private static func isAlphanumeric(_ scalar: UInt32) -> Bool {
        (0x30...0x39).contains(scalar) || (0x41...0x5A).contains(scalar) || (0x61...0x7A).contains(scalar)
    }
    private static func isDigit(_ scalar: UInt32) -> Bool { (0x30...0x39).contains(scalar) }
    /// Chinese characters, Latin letters, digits and `+#&._%-`.
    private static func isWordScalar(_ scalar: UInt32) -> Bool {
        if isChinese(scalar) || isAlphanumeric(scalar) { return true }
        switch scalar {
        case 0x2B, 0x23, 0x26, 0x2E, 0x5F, 0x25, 0x2D: return true
        default: return false
        }
    }

    /// The path of words whose frequencies have the greatest product; runs of single characters go to the model of unknown words.
    private func cutByDictionary(_ text: ArraySlice<UInt32>, into words: inout [ArraySlice<UInt32>]) {
        let base = text.startIndex, count = text.count
        var best = Array(repeating: (score: 0.0, end: 0), count: count + 1)
        for first in stride(from: count - 1, through: 0, by: -1) {
            var choice = (score: -Double.infinity, end: first)
            func consider(_ frequency: Int, _ last: Int) {
                let score = log(Double(max(frequency, 1))) - logTotal + best[last + 1].score
                // Of equals the longer word wins.
                if score >= choice.score { choice = (score, last) }
            }
            var node = WordDictionary.root
            var known = false
            for last in first..<count {
                guard let next = dictionary.next(node, text[base + last]) else { break }
                node = next
                let frequency = dictionary.frequency(node)
                if frequency > 0 {
                    known = true
                    consider(frequency, last)
                }
            }
            if !known { consider(1, first) }
            best[first] = choice
        }
        var place = 0, unknown = 0
        func flush(_ end: Int) {
            let run = text[base + unknown..<base + end]
            if run.count == 1 {
                words.append(run)
            } else if run.count > 1 {
                if dictionary.frequency(of: run) > 0 {
                    for index in run.indices { words.append(run[index...index]) }
                } else {
                    cutUnknown(run, into: &words)
                }
            }
        }
        while place < count {
            let end = best[place].end + 1
            if end - place > 1 {
                flush(place)
                words.append(text[base + place..<base + end])
                unknown = end
            }
            place = end
        }
        flush(count)
    }

    /// Chinese by the hidden Markov model, the rest at numbers and words of letters.
    private func cutUnknown(_ text: ArraySlice<UInt32>, into words: inout [ArraySlice<UInt32>]) {
        var place = text.startIndex
        while place < text.endIndex {
            let chinese = Self.isChinese(text[place])
            var end = place
            while end < text.endIndex, Self.isChinese(text[end]) == chinese { end += 1 }
            if chinese {
                cutByModel(text[place..<end], into: &words)
            } else {
                cutLatin(text[place..<end], into: &words)
            }
            place = end
        }
    }

    /// `[a-zA-Z0-9]+(?:\.\d+)?%?` are words, and so is what stands between them.
    private func cutLatin(_ text: ArraySlice<UInt32>, into words: inout [ArraySlice<UInt32>]) {
        var place = text.startIndex, other = text.startIndex
        while place < text.endIndex {
            guard Self.isAlphanumeric(text[place]) else {
                place += 1
                continue
            }
            if other < place { words.append(text[other..<place]) }
            var end = place
            while end < text.endIndex, Self.isAlphanumeric(text[end]) { end += 1 }
            if end + 1 < text.endIndex, text[end] == 0x2E, Self.isDigit(text[end + 1]) {
                end += 1
                while end < text.endIndex, Self.isDigit(text[end]) { end += 1 }
            }
            if end < text.endIndex, text[end] == 0x25 { end += 1 }
            words.append(text[place..<end])
            (place, other) = (end, end)
        }
        if other < text.endIndex { words.append(text[other...]) }
    }

    /// The likeliest states of the characters (Viterbi), and the words that they spell.
    private func cutByModel(_ text: ArraySlice<UInt32>, into words: inout [ArraySlice<UInt32>]) {
        typealias State = WordDictionary.State
        func emission(_ state: State, _ scalar: UInt32) -> Double {
            dictionary.emission[state.rawValue][scalar] ?? WordDictionary.impossible
        }
        // Which states can stand before each; the last of equals wins, as letters are compared.
        let before: [[State]] = [[.end, .single], [.begin, .middle], [.begin, .middle], [.end, .single]]
        var scores = State.allCases.map {
            dictionary.start[$0.rawValue] + emission($0, text[text.startIndex])
        }
        var origins: [[State]] = []
        for scalar in text.dropFirst() {
            var next: [Double] = [], origin: [State] = []
            for state in State.allCases {
                let own = emission(state, scalar)
                var best = -Double.infinity, from = State.begin
                for previous in before[state.rawValue] {
                    let transition = dictionary.transition[previous.rawValue][state.rawValue]
                    let score = scores[previous.rawValue] + transition + own
                    if score >= best { (best, from) = (score, previous) }
                }
                next.append(best)
                origin.append(from)
            }
            scores = next
            origins.append(origin)
        }
        var state = scores[State.single.rawValue] >= scores[State.end.rawValue] ? State.single : .end
        var states = [state]
        for origin in origins.reversed() {
            state = origin[state.rawValue]
            states.append(state)
        }
        var begin = text.startIndex, next = text.startIndex
        for (index, state) in zip(text.indices, states.reversed()) {
            switch state {
            case .begin: begin = index
            case .middle: break
            case .end:
                words.append(text[begin...index])
                next = index + 1
            case .single:
                words.append(text[index...index])
                next = index + 1
            }
        }
        if next < text.endIndex { words.append(text[next...]) }
    }
}
