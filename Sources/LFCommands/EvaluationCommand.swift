import Foundation
import LFConfig
import LFWorkflows

let evaluationUsage = """
    Usage: llamafactory-cli eval CONFIG.yaml [key=value …]

    Asks a model the questions of a benchmark and prints the percentage of right answers by subject and category. An answer is the
    likeliest of the letters A to D.

      model_name_or_path     the model
      adapter_name_or_path   adapters to merge into it
      template               the template that the model was trained with; `fewshot` for one that was not
      task                   mmlu, ceval or cmmlu with _test, _validation (not cmmlu) or _train: mmlu_test
      task_dir               the folder with the benchmarks' folders, of LLaMA-Factory's layout, archives unpacked; evaluation
      lang                   the language of what stands around the questions: en or zh; en
      n_shot                 examples before each question; 5
      seed                   what their order is drawn by; 42
      batch_size             questions that are answered side by side; 4
      save_dir               a new folder for results.json (all answers) and results.log (the percentages)
      infer_dtype            float32, bfloat16 or float16; by default float32 on a CPU
    """

/// Scores a model on a benchmark (upstream `run_eval`).
func runEvaluation(_ arguments: [String]) throws -> Int32 {
    if arguments.contains("-h") || arguments.contains("--help") {
        print(evaluationUsage)
        return 0
    }
    signal(SIGPIPE, SIG_IGN)
    return try evaluateBenchmark(resolveConfig(arguments: arguments, for: .evaluation)) ? 0 : 130
}
