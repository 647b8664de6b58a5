/// A failure that the person running the program can act on.
public struct UserError: Error, Sendable, Equatable, CustomStringConvertible {
    /// What the failure means for the process' exit status.
    public enum Code: Sendable, Equatable {
        /// Wrong command line or configuration: exit status 64.
        case configuration
        /// Bad data, model files or surroundings met while running: exit status 1.
        case failedRun
    }

    public var code: Code
    /// What is wrong, naming the value found.
    public var problem: String
    /// Where to look: a file and line, a dataset row, a tensor name.
    public var location: String?
    /// One imperative sentence.
    public var remedy: String

    public init(_ code: Code = .failedRun, _ problem: String, at location: String? = nil, remedy: String) {
        self.code = code
        self.problem = problem
        self.location = location
        self.remedy = remedy
    }

    public var description: String { (location.map { "\($0): " } ?? "") + "\(problem) \(remedy)" }
    public var exitStatus: Int32 { code == .configuration ? 64 : 1 }
}

/// Several failures found in one pass; validation reports all of them at once.
public struct UserErrors: Error, Sendable, Equatable, CustomStringConvertible {
    public var errors: [UserError]

    public init(_ errors: [UserError]) { self.errors = errors }

    public var description: String { errors.map(\.description).joined(separator: "\n") }
    public var exitStatus: Int32 { errors.map(\.exitStatus).max() ?? 1 }
}

/// Makes every check, so that one run reports the problems of all.
///
/// - Throws: The failures of all checks, or the first failure that is not a person's to mend.
public func makeAll(_ checks: (() throws -> Void)...) throws {
    var errors: [UserError] = []
    for check in checks {
        do { try check() } catch let error as UserError { errors.append(error) } catch let several
            as UserErrors
        {
            errors += several.errors
        }
    }
    if errors.count == 1 { throw errors[0] }
    if !errors.isEmpty { throw UserErrors(errors) }
}
