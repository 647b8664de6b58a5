extension ArraySlice<[Int32]> {
    /// The first texts, as many as one pass takes.
    ///
    /// - Parameters:
    ///   - limit: Tokens of a pass, unless the first text alone has more.
    ///   - stableLength: A longer text has a pass of its own: RoPE scaling would turn its neighbours' positions by its length.
    package func onePass(limit: Int, stableLength: Int) -> Self {
        var tokens = 0
        let fitting = prefix { text in
            tokens += text.count
            return tokens <= limit && text.count <= stableLength
        }
        return prefix(Swift.max(1, fitting.count))
    }
}
