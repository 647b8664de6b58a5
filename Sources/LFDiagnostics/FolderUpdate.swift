import Glibc

/// Puts a set of files into a folder that may hold others, as one change for whoever opens the set by its key file.
///
/// `body` fills a temporary folder inside. Only then is the old key file removed; the new files take their places, those that would
/// contradict them go, and the key file comes last. A process that is killed at any moment leaves the old set whole, or one
/// without its key, which nobody opens.
///
/// - Parameters:
///   - path: An existing folder. Files that `body` does not write stay, unless they are obsolete.
///   - keyFile: The file without which the set is not opened, such as `config.json`.
///   - isObsolete: Whether a file that is not part of the new set is left from an older one.
///   - body: Writes the files into the folder that it is given.
/// - Throws: What `body` throws, and then nothing of `path` has changed; `UserError` naming a file.
public func updateDirectory(
    _ path: String, keyFile: String, isObsolete: (_ name: String) -> Bool,
    _ body: (_ temporaryPath: String) throws -> Void
) throws {
    let temporaryPath = temporaryName(for: path + "/update")
    guard mkdir(temporaryPath, 0o777) == 0 else {
        throw UserError.file(path, notBe: "written", errorNumber: errno)
    }
    defer { removeTree(temporaryPath) }
    do {
        try body(temporaryPath)
        try syncTree(temporaryPath)
    } catch var error as UserError {
        // The folder that was asked for says more than the temporary one.
        if let location = error.location, location.hasPrefix(temporaryPath) {
            error.location = path + location.dropFirst(temporaryPath.count)
        }
        throw error
    }
    let names = directoryEntries(temporaryPath)
    precondition(names.contains(keyFile), "the set has its key file")
    for name in names where isDirectory(path + "/" + name) != isDirectory(temporaryPath + "/" + name) {
        var status = stat()
        guard lstat(path + "/" + name, &status) == 0 else { continue }
        throw UserError.file(path + "/" + name, notBe: "replaced", errorNumber: EISDIR)
    }
    guard unlink(path + "/" + keyFile) == 0 || errno == ENOENT else {
        throw UserError.file(path + "/" + keyFile, notBe: "replaced", errorNumber: errno)
    }
    syncDirectory(path)
    for name in names where name != keyFile { try move(name, from: temporaryPath, to: path) }
    for name in directoryEntries(path) where !names.contains(name) && isObsolete(name) {
        unlink(path + "/" + name)
    }
    syncDirectory(path)
    try move(keyFile, from: temporaryPath, to: path)
    syncDirectory(path)
}

private func isDirectory(_ path: String) -> Bool {
    var status = stat()
    return lstat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFDIR
}

/// Moves a file, or the files of a folder into the folder of that name.
private func move(_ name: String, from source: String, to target: String) throws(UserError) {
    let (source, target) = ("\(source)/\(name)", "\(target)/\(name)")
    if isDirectory(source), isDirectory(target) {
        for entry in directoryEntries(source) { try move(entry, from: source, to: target) }
        return syncDirectory(target)
    }
    guard rename(source, target) == 0 else { throw .file(target, notBe: "written", errorNumber: errno) }
}

/// A path without links and detours; what does not exist yet is taken as it is written.
public func resolvedPath(_ path: String) -> String {
    if let resolved = realpath(path, nil) {
        defer { free(resolved) }
        return String(cString: resolved)
    }
    let parent = parentDirectory(of: path)
    guard parent != path else { return path }
    let name = path.split(separator: "/").last.map(String.init) ?? path
    let folder = resolvedPath(parent)
    switch name {
    case ".": return folder
    case "..": return parentDirectory(of: folder)
    default: return folder == "/" ? "/" + name : folder + "/" + name
    }
}
