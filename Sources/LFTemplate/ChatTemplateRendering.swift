package import LFDiagnostics
package import LFJSON
import LFJinja

/// What a Jinja chat template makes of talks: a list of `{"text": …, "generation": [[start, end], …]}`, or
/// `{"error": why}` for what it refuses.
///
/// - Parameter talks: A list of objects whose members are the template's variables: `messages`, `tools`,
///   `add_generation_prompt`, `bos_token` and so on, as `apply_chat_template` passes them.
/// - Throws: A `UserError` where the talks are not a list.
package func renderedTalks(_ source: String, name: String, _ talks: JSONValue) throws(UserError) -> JSONValue
{
    guard let talks = talks.array else {
        throw UserError(
            .failedRun, "The talks are \(talks.kind) where a list belongs.",
            remedy: #"Write [{"messages": [{"role": …, "content": …}]}]."#)
    }
    return .array(
        talks.map { talk in
            do {
                let rendering = try JinjaTemplate(source, name: name).rendering(talk.object ?? [:])
                let marks = rendering.generated.map {
                    JSONValue.array([.int(Int64($0.lowerBound)), .int(Int64($0.upperBound))])
                }
                return .object(["text": .string(rendering.text), "generation": .array(marks)])
            } catch {
                return .object(["error": .string(String(describing: error))])
            }
        })
}
