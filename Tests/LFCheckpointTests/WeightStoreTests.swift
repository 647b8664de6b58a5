import Foundation
import LFCheckpoint
import LFDiagnostics
import LFTorch
import Testing

@Suite struct WeightStoreTests {
    let folder = ScratchFolder()

    @Test func readsEveryTypeFromTheBytesOfTheFile() throws {
        // One element each, in the order of the format's names below.
        let header =
            #"{"__metadata__":{"format":"pt"},"#
            + #""f64":{"dtype":"F64","shape":[1],"data_offsets":[0,8]},"i64":{"dtype":"I64","shape":[],"data_offsets":[8,16]},"#
            + #""f32":{"dtype":"F32","shape":[1,1],"data_offsets":[16,20]},"i32":{"dtype":"I32","shape":[1],"data_offsets":[20,24]},"#
            + #""f16":{"dtype":"F16","shape":[1],"data_offsets":[24,26]},"bf16":{"dtype":"BF16","shape":[1],"data_offsets":[26,28]},"#
            + #""i16":{"dtype":"I16","shape":[1],"data_offsets":[28,30]},"i8":{"dtype":"I8","shape":[1],"data_offsets":[30,31]},"#
            + #""u8":{"dtype":"U8","shape":[1],"data_offsets":[31,32]},"b":{"dtype":"BOOL","shape":[2],"data_offsets":[32,34]},"#
            + #""none":{"dtype":"F32","shape":[0,3],"data_offsets":[34,34]}}"#
        var data: [UInt8] = []
        func put<Value>(_ value: Value) { withUnsafeBytes(of: value) { data.append(contentsOf: $0) } }
        put((1.5).bitPattern)
        put(Int64(-3))
        put(Float(0.25).bitPattern)
        put(Int32(-70000))
        put(UInt16(0x3E00))  // 1.5
        put(UInt16(0xC020))  // -2.5
        put(Int16(-300))
        put(Int8(-5))
        put(UInt8(200))
        data += [1, 0]
        // Once with data at a multiple of eight and once at an odd address.
        for padding in [-header.utf8.count & 7, (-header.utf8.count & 7) + 3] {
            let file = try folder.write(
                "m.safetensors", header: header + String(repeating: " ", count: padding), data: data)
            let store = try WeightStore.open(file: file)
            #expect(
                store.names == ["f64", "i64", "f32", "i32", "f16", "bf16", "i16", "i8", "u8", "b", "none"])
            #expect(store.metadata == ["format": "pt"])
            let values = try ["f64", "i64", "f32", "i32", "f16", "bf16", "i16", "i8", "u8"].map {
                try store.tensor($0).doubles()
            }
            #expect(values == [[1.5], [-3], [0.25], [-70000], [1.5], [-2.5], [-300], [-5], [200]])
            #expect(try store.tensor("b").bools() == [true, false])
            #expect(try store.tensor("f32").shape == [1, 1])
            #expect(try store.tensor("i64").shape == [])
            #expect(try store.tensor("none").shape == [0, 3])
            #expect(store.dtype(of: "bf16") == .bfloat16)
            #expect(store.shape(of: "none") == [0, 3])
            #expect(store.byteCount == 34)
        }
    }

    @Test func aTensorOutlivesItsStoreAndNeverWritesToTheFile() throws {
        let file = folder.path + "/m.safetensors"
        try writeSafetensors([("w", Tensor([1, 2, 3] as [Float]))], to: file)
        let before = try folder.bytes("m.safetensors")
        let tensor = try WeightStore.open(file: file).tensor("w")
        removeTree(file)
        #expect(try tensor.floats() == [1, 2, 3])
        try folder.write("m.safetensors", before)
        let other = try WeightStore.open(file: file).tensor("w")
        try other.multiplyInPlace(10)
        #expect(try other.floats() == [10, 20, 30])
        #expect(try folder.bytes("m.safetensors") == before)
    }

    static let headers: [(header: String, data: Int, problem: String)] = [
        ("[1]", 0, "its header is an array, not an object."),
        (#"{"a":{"dtype":"F32","shape":[1]}}"#, 4, #"tensor "a" lacks its dtype, shape or data_offsets."#),
        (#"{"a":{"dtype":"F32","shape":[-1],"data_offsets":[0,4]}}"#, 4, #"tensor "a" has the shape [-1]."#),
        (
            #"{"a":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}}"#, 4,
            #"tensor "a" of shape [4611686018427387904, 4] exceeds any memory."#
        ),
        (
            #"{"a":{"dtype":"F32","shape":[99999999999999999999],"data_offsets":[0,4]}}"#, 4,
            #"tensor "a" has the shape [99999999999999999999]."#
        ),
        (
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,4]}}"#, 4,
            #"tensor "a" of type F32 and shape [2] needs 8 bytes, but has 4."#
        ),
        (
            #"{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,0]}}"#, 4,
            #"tensor "a" has the data_offsets [4, 0]."#
        ),
        (
            #"{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}"#, 4,
            #"tensor "a" ends at byte 8 of the data, but only 4 are there."#
        ),
        (
            #"{"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}"#,
            3, #"tensor "b" overlaps the tensor before it."#
        ),
        (
            #"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}"#,
            3, #"tensor "b" leaves a gap behind the tensor before it."#
        ),
        (#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}"#, 3, "2 bytes follow the last tensor."),
        (#"{"__metadata__":{"n":1}}"#, 0, #"its metadata "n" is an integer, not a string."#),
        (#"{"__metadata__":[]}"#, 0, "its metadata is an array, not an object."),
    ]

    @Test(arguments: headers) func aWrongTableIsRefused(
        _ sample: (header: String, data: Int, problem: String)
    ) throws {
        let file = try folder.write(
            "m.safetensors", header: sample.header, data: [UInt8](repeating: 0, count: sample.data))
        let error = try #require(throws: UserError.self) { try WeightStore.open(file: file) }
        #expect(error.problem == "is not a valid safetensors file: " + sample.problem)
        #expect(error.location == file)
    }

    static let files: [(bytes: [UInt8], problem: String)] = [
        ([], "is not a valid safetensors file: the file is empty."),
        ([1, 2, 3], "is not a valid safetensors file: it has 3 bytes, fewer than a header."),
        (
            [100, 0, 0, 0, 0, 0, 0, 0, 0x7B],
            "is not a valid safetensors file: it announces a header of 100 bytes in a file of 9."
        ),
        (
            [UInt8](repeating: 0xFF, count: 8),
            "is not a valid safetensors file: it announces a header of 18446744073709551615 bytes in a file of 8."
        ),
        (
            Array("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n".utf8),
            "is a Git LFS pointer, not the weights themselves."
        ),
    ]

    @Test(arguments: files) func aDamagedFileIsRefused(_ sample: (bytes: [UInt8], problem: String)) throws {
        let file = try folder.write("m.safetensors", sample.bytes)
        let error = try #require(throws: UserError.self) { try WeightStore.open(file: file) }
        #expect(error.problem == sample.problem)
        #expect(error.location == file)
    }

    @Test func everyTruncationIsRefused() throws {
        let file = folder.path + "/m.safetensors"
        try writeSafetensors([("w", Tensor([1, 2, 3] as [Float])), ("b", Tensor([7] as [Int64]))], to: file)
        let whole = try folder.bytes("m.safetensors")
        for length in 0..<whole.count {
            try folder.write("m.safetensors", Array(whole[..<length]))
            #expect(throws: UserError.self, "\(length) bytes") { try WeightStore.open(file: file) }
        }
    }

    @Test func invalidJSONNamesFileAndPlace() throws {
        let file = try folder.write("m.safetensors", header: #"{"a":"#)
        let error = try #require(throws: UserError.self) { try WeightStore.open(file: file) }
        #expect(error.location?.hasPrefix(file) == true)
    }

    @Test func anUnknownTypeIsNamed() throws {
        let file = try folder.write(
            "m.safetensors", header: #"{"a":{"dtype":"F8_E5M2","shape":[1],"data_offsets":[0,1]}}"#, data: [0]
        )
        let error = try #require(throws: UserError.self) { try WeightStore.open(file: file) }
        #expect(error.problem == #"tensor "a" has the type F8_E5M2, which is not supported."#)
    }

    @Test func aBoolIsZeroOrOne() throws {
        let file = try folder.write(
            "m.safetensors", header: #"{"a":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}}"#,
            data: [1, 7]
        )
        let store = try WeightStore.open(file: file)
        #expect(throws: UserError.self) { try store.tensor("a") }
    }

    @Test func aMissingTensorComesWithTheNearestName() throws {
        let file = folder.path + "/m.safetensors"
        try writeSafetensors([("model.norm.weight", Tensor([1] as [Float]))], to: file)
        let store = try WeightStore.open(file: file)
        let error = try #require(throws: UserError.self) { try store.tensor("model.norms.weight") }
        #expect(error.problem == #"holds no tensor "model.norms.weight", but "model.norm.weight"."#)
    }

    // MARK: Folders

    private func writeShards() throws {
        try writeSafetensors([("a", Tensor([1] as [Float]))], to: folder.path + "/one.safetensors")
        try writeSafetensors([("b", Tensor([2] as [Float]))], to: folder.path + "/two.safetensors")
    }

    private func problem(ofIndex weightMap: String) throws -> String {
        try folder.write("model.safetensors.index.json", #"{"metadata":{},"weight_map":\#(weightMap)}"#)
        let error = try #require(throws: UserError.self) { try WeightStore.open(directory: folder.path) }
        #expect(error.location == folder.path + "/model.safetensors.index.json")
        return error.problem
    }

    @Test func readsTheShardsOfAnIndex() throws {
        try writeShards()
        try folder.write(
            "model.safetensors.index.json", #"{"weight_map":{"b":"two.safetensors","a":"one.safetensors"}}"#)
        let store = try WeightStore.open(directory: folder.path + "/")
        #expect(store.names.sorted() == ["a", "b"])
        #expect(try store.tensor("a").floats() + store.tensor("b").floats() == [1, 2])
    }

    @Test func aWrongIndexIsRefused() throws {
        try writeShards()
        #expect(
            try problem(ofIndex: #"{"a":"three.safetensors"}"#)
                == #"the file three.safetensors, which should hold tensor "a", is missing."#)
        #expect(
            try problem(ofIndex: #"{"c":"one.safetensors"}"#)
                == #"tensor "c" is listed, but one.safetensors does not hold it."#)
        for path in ["../one.safetensors", "/etc/passwd", "x/../../y", ""] {
            #expect(
                try problem(ofIndex: #"{"a":"\#(path)"}"#)
                    == #"tensor "a" is said to be in "\#(path)", which is not a file in this folder."#)
        }
        #expect(try problem(ofIndex: "[]") == #"has no object "weight_map"."#)
    }

    @Test func aFolderWithoutSafetensorsSaysWhatItHolds() throws {
        func problem() throws -> String {
            try #require(throws: UserError.self) { try WeightStore.open(directory: folder.path) }.problem
        }
        #expect(try problem().hasPrefix("holds no weights: neither"))
        try folder.write("model-00002-of-00002.safetensors", "x")
        #expect(
            try problem()
                == "holds the shard model-00002-of-00002.safetensors, but not model.safetensors.index.json, which says what each holds."
        )
        try folder.write("model-00001-of-00002.safetensors", "x")
        #expect(try problem().hasPrefix("holds 2 shards, model-00001-of-00002.safetensors for one, but not"))
        for name in ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"] {
            try FileManager.default.removeItem(atPath: folder.path + "/" + name)
        }
        try folder.write("adapter_config.json", "{}")
        #expect(try problem() == "holds an adapter (adapter_config.json), not a model.")
        try folder.write("pytorch_model.bin", "x")
        #expect(try problem().hasPrefix("has its weights only as pytorch_model.bin"))
        #expect(throws: UserError.file("/nowhere", notBe: "read", errorNumber: ENOENT)) {
            try WeightStore.open(directory: "/nowhere")
        }
        #expect(throws: UserError.file(folder.path, notBe: "read", errorNumber: EISDIR)) {
            try WeightStore.open(file: folder.path)
        }
    }
}
