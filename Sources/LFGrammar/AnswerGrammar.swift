package import LFJSON

/// What a whole answer may be.
package struct AnswerGrammar {
    /// A thought that stands before the answer.
    package struct Thought: Sendable {
        package var opening: String
        package var closing: String
        /// Whether the prompt has opened it; else the answer may begin with one or without.
        package var isOpen: Bool

        package init(opening: String, closing: String, isOpen: Bool) {
            (self.opening, self.closing, self.isOpen) = (opening, closing, isOpen)
        }
    }

    /// One of the forms that an answer may have.
    package enum Form: Sendable {
        /// Any object.
        case object
        /// A value that obeys a schema; `place` is how errors call it.
        case value(JSONValue, place: [String])
        /// A value between two texts, as calls have their arguments.
        case framed(String, JSONValue, String, place: [String])
    }

    private let forms: [Form]
    private let thought: Thought?

    /// - Parameter thought: nil where the model knows none.
    package init(_ forms: [Form], thought: Thought?) {
        self.forms = forms
        self.thought = thought
    }

    /// - Throws: `SchemaError` for what an answer cannot be kept to.
    package func grammar() throws(SchemaError) -> Grammar {
        var builder = GrammarBuilder()
        let start = builder.state(), end = builder.state()
        builder.end(end)
        let answer = begun(start, &builder)
        for form in forms {
            let last = try add(form, from: answer, &builder)
            builder.jump(from: last, to: end)
        }
        guard let grammar = builder.grammar(from: start, origin: origin) else {
            throw SchemaError(forms.first?.place ?? [], "allows no value that comes to an end")
        }
        return grammar
    }

    /// - Returns: The state behind thoughts and white space.
    private func begun(_ start: Int32, _ builder: inout GrammarBuilder) -> Int32 {
        let answer = builder.state()
        let plain = builder.whitespace(from: start)
        guard let thought, !thought.closing.isEmpty else {
            builder.jump(from: plain, to: answer)
            return answer
        }
        var inside = start
        if !thought.isOpen {
            builder.jump(from: plain, to: answer)
            inside = builder.bytes(thought.opening.utf8, from: plain)
        }
        let closed = builder.text(upTo: Array(thought.closing.utf8), from: inside)
        let blank = builder.shared("blank or line end") { builder, first in
            let last = builder.state()
            for mark in " \t\r\n".unicodeScalars { builder.edge(mark, from: first, to: last) }
            return last
        }
        let behind = builder.loop(blank, 0, 8, from: closed)
        builder.jump(from: behind, to: answer)
        return answer
    }

    private func add(
        _ form: Form, from: Int32, _ builder: inout GrammarBuilder
    ) throws(SchemaError) -> Int32 {
        func value(
            _ schema: JSONValue, _ place: [String], from: Int32
        ) throws(SchemaError) -> Int32 {
            var compiler = SchemaCompiler(schema, at: place, builder)
            let rule = try compiler.rule()
            builder = compiler.builder
            return builder.call(rule, from: from)
        }
        switch form {
        case .object:
            let rule = builder.object()
            return builder.call(rule, from: from)
        case .value(let schema, let place): return try value(schema, place, from: from)
        case .framed(let before, let schema, let behind, let place):
            let opened = builder.bytes(before.utf8, from: from)
            let last = try value(schema, place, from: opened)
            return builder.bytes(behind.utf8, from: last)
        }
    }

    private var origin: String {
        let parts = forms.map { form -> JSONValue in
            switch form {
            case .object: true
            case .value(let schema, _): [schema]
            case .framed(let before, let schema, let behind, _):
                [.string(before), schema, .string(behind)]
            }
        }
        let words: JSONValue =
            thought.map { [.string($0.opening), .string($0.closing), .bool($0.isOpen)] } ?? .null
        return JSONValue.array([words, .array(parts)]).serialized()
    }
}

extension AnswerGrammar.Form {
    fileprivate var place: [String] {
        switch self {
        case .object: []
        case .value(_, let place), .framed(_, _, _, let place): place
        }
    }
}

extension GrammarBuilder {
    /// Reads any bytes up to the first occurrence of a word, which is read too (Knuth, Morris and Pratt 1977).
    mutating func text(upTo word: [UInt8], from: Int32) -> Int32 {
        let places = (0...word.count).map { _ in state() }
        jump(from: from, to: places[0])
        /// How much of the word a text ends with.
        func matched(_ text: ArraySlice<UInt8>) -> Int {
            (0...min(word.count, text.count)).last { text.suffix($0).elementsEqual(word.prefix($0)) } ?? 0
        }
        let marks = Set(word).sorted()
        for count in word.indices {
            for mark in marks {
                let next = matched(word.prefix(count) + [mark])
                edge(mark...mark, from: places[count], to: places[next])
            }
            var first: UInt8 = 0
            for mark in marks {
                if first < mark { edge(first...mark - 1, from: places[count], to: places[0]) }
                first = mark &+ 1
            }
            if marks.last != 255 { edge(first...255, from: places[count], to: places[0]) }
        }
        return places[word.count]
    }
}
