import LFStream

enum LFDataStream {
    /// One sequence as a stream without targets.
    static func sequence(_ ids: [Int32]) -> TokenStream {
        var stream = TokenStream()
        stream.inputIDs = ids
        stream.positions = ids.indices.map { Int32($0) }
        stream.segments = [TokenStream.Segment(range: 0..<ids.count, sequences: [0])]
        stream.sequenceCount = 1
        return stream
    }
}
