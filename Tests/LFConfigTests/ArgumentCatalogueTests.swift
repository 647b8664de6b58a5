import LFConfig
import LFDiagnostics
import Testing

@Suite("Argument catalogue")
struct ArgumentCatalogueTests {
    @Test("Every name occurs once")
    func uniqueNames() {
        let names = ArgumentCatalogue.all.map(\.name)
        #expect(Set(names).count == names.count)
    }
}
