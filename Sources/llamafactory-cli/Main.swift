import Foundation
import LFCommands

@main
struct Main {
    static func main() {
        exit(runCommand(Array(CommandLine.arguments.dropFirst())))
    }
}
