import LFCheckpoint
import LFDiagnostics
import LFJSON
import LFTorch
import Testing

@Suite struct SafetensorsWriterTests {
    let folder = ScratchFolder()

    @Test func writesTheFormatByteForByte() throws {
        try writeSafetensors(
            [
                ("small", Tensor([5, 6] as [UInt8])), ("b", Tensor([1] as [Float])),
                ("a", Tensor([2] as [Float])),
            ],
            to: folder.path + "/m.safetensors")
        let bytes = try folder.bytes("m.safetensors")
        let length = Int(bytes[0]) + Int(bytes[1]) << 8
        #expect(length % 8 == 0)
        let header = String(decoding: bytes[8..<8 + length], as: UTF8.self)
        #expect(
            header.hasPrefix(
                #"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"#
                    + #""b":{"dtype":"F32","shape":[1],"data_offsets":[4,8]},"small":{"dtype":"U8","shape":[2],"data_offsets":[8,10]}}"#
            ))
        #expect(Array(bytes[(8 + length)...]) == [0, 0, 0, 0x40, 0, 0, 0x80, 0x3F, 5, 6])
        #expect(folder.names == ["m.safetensors"])
    }

    @Test func everyTypeAndShapeReadsBackIdentical() throws {
        var tensors: [NamedTensor] = []
        for dtype in DType.allCases {
            tensors.append((dtype.rawValue, try Tensor([1, 0, 1, 1, 0, 1] as [Float], [2, 3]).to(dtype)))
        }
        tensors.append(("scalar", try Tensor.scalar(2.5)))
        tensors.append(("empty", try Tensor.zeros([3, 0])))
        tensors.append(("transposed", try Tensor([1, 2, 3, 4, 5, 6] as [Float], [2, 3]).transposed()))
        tensors.append(("漢字 \"quoted\"", try Tensor([1] as [Float])))
        try writeSafetensors(tensors, metadata: [:], to: folder.path + "/m.safetensors")
        let store = try WeightStore.open(file: folder.path + "/m.safetensors")
        #expect(store.names.count == tensors.count)
        #expect(store.metadata.isEmpty)
        for (name, tensor) in tensors {
            #expect(try store.tensor(name).isIdentical(to: tensor), "\(name)")
        }
    }

    @Test func aTensorLargerThanAPieceReadsBackIdentical() throws {
        let tensor = try Tensor.range(5_000_001, .int64)
        try writeSafetensors([("long", tensor)], to: folder.path + "/m.safetensors")
        #expect(
            try WeightStore.open(file: folder.path + "/m.safetensors").tensor("long").isIdentical(to: tensor))
    }

    @Test func shardsFollowTheOrderAndTheLimit() throws {
        // 8, 8, 40, 4 bytes at 16 per file: the large tensor is alone, and does not end the shard that is being filled.
        let tensors: [NamedTensor] = [
            ("z", try Tensor.zeros([2])), ("y", try Tensor.zeros([1])), ("big", try Tensor.zeros([10])),
            ("x", try Tensor.full([1], 3)), ("w", try Tensor.full([1], 4)),
        ]
        let names = try writeShardedSafetensors(tensors, shardSize: 16, to: folder.path)
        #expect(
            names == [
                "model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                "model-00003-of-00003.safetensors", "model.safetensors.index.json",
            ])
        #expect(folder.names == names)
        let index = try JSONValue.read(path: folder.path + "/model.safetensors.index.json")
        #expect(index["metadata"] == ["total_parameters": 15, "total_size": 60])
        #expect(
            index["weight_map"] == [
                "big": "model-00001-of-00003.safetensors", "z": "model-00002-of-00003.safetensors",
                "y": "model-00002-of-00003.safetensors", "x": "model-00002-of-00003.safetensors",
                "w": "model-00003-of-00003.safetensors",
            ])
        let store = try WeightStore.open(directory: folder.path)
        #expect(store.names.sorted() == ["big", "w", "x", "y", "z"])
        #expect(try store.tensor("w").floats() == [4])
    }

    @Test func oneFileNeedsNoIndexAndReplacesAnEarlierOne() throws {
        let tensors: [NamedTensor] = [("a", try Tensor.zeros([2])), ("b", try Tensor.zeros([2]))]
        try writeShardedSafetensors(tensors, shardSize: 8, to: folder.path)
        #expect(
            try writeShardedSafetensors(tensors, shardSize: 100, to: folder.path) == ["model.safetensors"])
        #expect(!folder.names.contains("model.safetensors.index.json"))
        try writeShardedSafetensors(tensors, shardSize: 8, to: folder.path)
        #expect(!folder.names.contains("model.safetensors"))
    }

    @Test func aFolderThatIsMissingIsNamed() throws {
        let tensor = try Tensor.zeros([1])
        let error = try #require(throws: UserError.self) {
            try writeSafetensors([("a", tensor)], to: folder.path + "/no/m.safetensors")
        }
        #expect(error.location == folder.path + "/no/m.safetensors")
    }
}
