/// Who speaks in a conversation; upstream's five roles.
public enum Role: String, Sendable, CaseIterable {
    case user
    case assistant
    case system
    /// The model calls tools; the content is JSON.
    case function
    /// What a tool answered.
    case observation
}

/// One turn of a conversation.
public struct Message: Sendable, Equatable {
    public var role: Role
    public var content: String

    public init(_ role: Role, _ content: String) {
        self.role = role
        self.content = content
    }
}
