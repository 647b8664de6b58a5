extension ArgumentCatalogue {
    static let dataTable = """
        ## Data
        template | string? | - | yes | Name of the chat template (`llamafactory-cli templates` lists them); `own`, or unset, is the model's own.
        dataset | names? | - | yes | Names of the training sets in `dataset_info.json`.
        eval_dataset | names? | - | yes | Names of the evaluation sets in `dataset_info.json`.
        dataset_dir | string | data | yes | Folder that holds `dataset_info.json` and the data files; `ONLINE`: datasets are names on the Hugging Face hub, or on ModelScope with `USE_MODELSCOPE_HUB=1`; `REMOTE:owner/name`: the folder is a dataset's repository on the Hugging Face hub.
        media_dir | string? | - | no effect | Folder of images, videos and audio. No model takes them yet: a row that has some is refused, wherever they lie.
        cutoff_len | int >=1 <=16777216 | 2048 | yes | Longest example in tokens, and the block size of packing. Left out, it is at most what a model with learned positions (GPT-2, OPT) can read. With `packing` or `neat_packing` in the file, upstream keeps one token back, and so do we.
        train_on_prompt | bool | false | yes | Learn the prompt's tokens too (sft).
        mask_history | bool | false | yes | Learn the last turn only (sft).
        streaming | bool | false | yes | Read the data while training instead of before, in memory that does not grow with it. Needs `max_steps`.
        buffer_size | int >=1 | 16384 | yes | Rows among which a streamed data set is shuffled; they are in memory.
        mix_strategy | choice concat interleave_under interleave_over interleave_once | concat | yes | How several data sets become one: one after the other; in turns until one is used up; until all are, repeating the shorter; or each example once.
        interleave_probs | numbers? >=0 <=1 | - | yes | Probability with which each data set has its turn; they add up to 1.
        overwrite_cache | bool | false | yes | Read and tokenize the data again even if the cache (`~/.cache/llamafactory`, or `LLAMAFACTORY_CACHE`) has them.
        preprocessing_batch_size | int >=1 | 1000 | yes | Examples that are packed together as a group, and rows that a stream tokenizes at once.
        preprocessing_num_workers | int? >=1 | - | yes | Threads that read and tokenize; all cores when unset. With packing the data are cut into as many parts, each packed by itself, as upstream does.
        max_samples | int? >=1 | - | yes | Take only the first n examples of each data set.
        eval_num_beams | int? >=1 | - | yes | Beams for the answers of evaluation and prediction (`predict_with_generate`); `num_beams` when unset.
        ignore_pad_token_for_loss | bool | true | no: Remove it; there is no padding here that could be learned. | Leave padding out of the loss.
        val_size | float >=0 | 0.0 | yes | Examples set aside for evaluation: a number from 1 on, else a fraction.
        eval_on_each_dataset | bool | false | yes | Evaluate on each evaluation set by itself.
        packing | bool? | - | yes | Fill each row with several examples, which never see one another. On for `pt` unless set.
        neat_packing | bool | false | yes | The same as `packing`, which here always keeps examples apart (sft).
        tool_format | string? | - | yes | How tools and calls of tools are written; the template's own format when unset.
        default_system | text? | - | yes | System message that takes the place of the template's own.
        enable_thinking | bool? | true | yes | How reasoning templates treat thoughts: `true` thinks, `false` gives empty thoughts and leaves out those of the data (with any template), `null` leaves it to the data.
        preserve_thinking | bool | false | yes | Keep the thoughts of earlier turns.
        tokenized_path | string? | - | yes | Folder for the tokenized data, written when it is missing, else read.
        data_shared_file_system | bool | false | yes | Whether all nodes share a file system, so that one process prepares the data for all.
        """
}
