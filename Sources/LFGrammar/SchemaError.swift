/// What of a JSON schema cannot be kept to.
package struct SchemaError: Error, Equatable {
    /// The keyword's place within the schema: `properties.age.multipleOf`; empty for the whole schema.
    package var path: String
    /// A sentence without the path.
    package var problem: String

    init(_ path: [String], _ problem: String) {
        self.path = path.joined(separator: ".")
        self.problem = problem
    }
}
