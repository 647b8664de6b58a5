import Glibc
package import LFDiagnostics

/// The folders into which checkpoints of earlier runs are moved: `earlier-run-1`, `earlier-run-2`, …
private let asidePrefix = "earlier-run-"
/// Ends the name of such a folder while checkpoints are on their way, followed by the first step that moves.
private let movingMark = ".moving-from-"

/// Moves the checkpoints of an earlier run into a folder of their own, where no resume looks for them.
///
/// Each goes whole. A process that is killed in between leaves a folder whose name says what is still to be moved;
/// `finishSettingCheckpointsAside` does that.
///
/// - Parameter step: Checkpoints with fewer steps stay.
/// - Returns: The folder they are in now and how many they are; nil where there was none.
/// - Throws: `UserError` naming a folder that cannot be made or renamed.
package func setCheckpointsAside(
    in outputDirectory: String, from step: Int = 0
) throws(UserError) -> (folder: String, count: Int)? {
    guard checkpoints(in: outputDirectory).contains(where: { $0.step >= step }) else { return nil }
    let number = (directoryEntries(outputDirectory).compactMap(asideNumber).max() ?? 0) + 1
    let moving = "\(outputDirectory)/\(asidePrefix)\(number)\(movingMark)\(step)"
    try createDirectories(at: moving)
    return try move(from: step, of: outputDirectory, through: moving, to: number)
}

/// Completes what a killed process began; a run does this before it looks for a checkpoint to resume from.
///
/// - Throws: `UserError` naming a folder that cannot be renamed.
package func finishSettingCheckpointsAside(in outputDirectory: String) throws(UserError) {
    for name in directoryEntries(outputDirectory) {
        guard let number = asideNumber(name), name != "\(asidePrefix)\(number)",
            let step = Int(name.dropFirst("\(asidePrefix)\(number)\(movingMark)".count))
        else { continue }
        _ = try move(
            from: step, of: outputDirectory, through: outputDirectory + "/" + name, to: number)
    }
}

private func move(
    from step: Int, of outputDirectory: String, through moving: String, to number: Int
) throws(UserError) -> (folder: String, count: Int) {
    for (_, path) in checkpoints(in: outputDirectory).filter({ $0.step >= step }) {
        try rename(path, to: "\(moving)/\(path.split(separator: "/").last ?? "")")
    }
    let folder = "\(outputDirectory)/\(asidePrefix)\(number)"
    let count = checkpoints(in: moving).count
    try rename(moving, to: folder)
    return (folder, count)
}

private func rename(_ path: String, to target: String) throws(UserError) {
    guard Glibc.rename(path, target) == 0 else {
        throw .file(path, notBe: "moved", errorNumber: errno)
    }
}

/// The number in the name of such a folder, complete or not.
private func asideNumber(_ name: String) -> Int? {
    guard name.hasPrefix(asidePrefix) else { return nil }
    let rest = name.dropFirst(asidePrefix.count)
    let digits = rest.prefix { $0.isASCII && $0.isNumber }
    guard rest.count == digits.count || rest.dropFirst(digits.count).hasPrefix(movingMark) else { return nil }
    return Int(digits)
}
