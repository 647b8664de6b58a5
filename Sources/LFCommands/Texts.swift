import Foundation
import LFTorch
import LFWorkflows

let usage = """
    Fine-tune language models from a YAML file. One binary, no Python.

    Usage: llamafactory-cli COMMAND [ARGUMENTS]    (short name: lmf)

      train CONFIG.yaml [key=value …]   train (pt, sft, rm, ppo, dpo, kto); also CONFIG.json, or --key value flags
      train --help                      every argument with its default
      export CONFIG.yaml [key=value …]  merge adapters and write a Hugging Face folder; --help says more
      chat CONFIG.yaml [key=value …]    talk with a model on the console; --help says more
      api CONFIG.yaml [key=value …]     serve a model as OpenAI's API; --help says more
      eval CONFIG.yaml [key=value …]    score a model on MMLU, C-Eval or CMMLU; --help says more
      preview CONFIG.yaml               what the configuration learns from, without training; --help says more
      plan CONFIG.yaml                  what a training will take: tokens, steps, time, memory; --help says more
      tokenize MODEL_DIR                token ids of JSON strings on standard input; --help says more
      render TEMPLATE CONVERSATIONS     what a template makes of conversations, as JSON; --help says more
      templates [WORD …]                the chat templates, with their tool formats and thoughts
      models [WORD …]                   the models that upstream lists, and which of them work here
      version                           this program's version and libtorch's
      env                               what a bug report should hold
      arguments                         the reference of all arguments as Markdown
      help                              this text

    Exit status: 0 success, 64 wrong command line or configuration, 1 a run that failed, 130 after Ctrl-C.
    """

let exportUsage = """
    Usage: llamafactory-cli export CONFIG.yaml [key=value …]

    Writes a model, its adapters merged, as one folder that transformers, Ollama (Modelfile) and this program load.

      model_name_or_path     the base model, or one that was trained whole
      adapter_name_or_path   adapters to merge, in this order
      template               the template that the model was trained with; goes into the tokenizer and the Modelfile
      export_dir             the folder to write; other files in it stay
      export_size            largest file of weights, in GB; 5 by default
      infer_dtype            float32, bfloat16 or float16; by default the checkpoint's own
      export_gguf            a GGUF file for llama.cpp and Ollama too: f32, f16, bf16, q8_0, q4_0, q4_1, q4_k_m or q6_k
      export_gguf_lora       true writes the adapter unmerged as a GGUF LoRA file (f32, f16 or bf16), and no model
      stage                  rm also copies the value head
    """

var versionText: String {
    "LlamaFactory for Swift \(programVersion) (libtorch \(TorchRuntime.version))"
}

var environmentText: String {
    var lines = [
        ("llamafactory version", programVersion),
        ("Platform", "\(ProcessInfo.processInfo.operatingSystemVersionString)"),
        ("libtorch version", TorchRuntime.version),
        ("Processors", "\(ProcessInfo.processInfo.activeProcessorCount)"),
        ("Threads", "\(TorchRuntime.threads) (fused kernels: \(TorchRuntime.loopThreads))"),
        ("Memory", "\(ProcessInfo.processInfo.physicalMemory >> 30) GiB"),
        ("GPU", Device.hasCUDA ? "CUDA" : "none"),
        ("float32 products", TorchRuntime.routesFloat32Matmul ? "oneDNN" : "libtorch's BLAS"),
    ]
    let hasData = FileManager.default.fileExists(atPath: "data/dataset_info.json")
    lines.append(("Default data directory", hasData ? "detected" : "not detected"))
    return lines.map { "- \($0): \($1)" }.joined(separator: "\n")
}
