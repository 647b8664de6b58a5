extension ModelArguments {
    init(_ arguments: ArgumentValues, for use: ConfigurationUse, cutoffLen: Int) {
        self.init(modelNameOrPath: arguments.string("model_name_or_path"))
        adapterNameOrPath = arguments.names("adapter_name_or_path")
        adapterFolder = arguments.optionalString("adapter_folder")
        loraModules = (try? LoRAModule.all(of: arguments["lora_modules"])) ?? []
        cacheDir = arguments.optionalString("cache_dir")
        revision = arguments.optionalString("model_revision") ?? "main"
        // The files that a run writes hold `<HF_HUB_TOKEN>` in its place.
        hubToken = arguments.optionalString("hf_hub_token").flatMap { $0.hasPrefix("<") ? nil : $0 }
        modelScopeToken = arguments.optionalString("ms_hub_token").flatMap { $0.hasPrefix("<") ? nil : $0 }
        resizeVocab = arguments.bool("resize_vocab")
        splitSpecialTokens = arguments.bool("split_special_tokens")
        addTokens = arguments.names("add_tokens")
        tokenDescriptions = arguments.describedTokens ?? []
        addSpecialTokens =
            arguments.describedTokens?.map(\.token) ?? arguments.names("add_special_tokens")
        newTokenStart = arguments.choice("init_special_tokens", default: .noise)
        ropeScaling = arguments.optionalString("rope_scaling").flatMap(RopeScaling.init(rawValue:))
        upcastLayernorm = arguments.bool("upcast_layernorm")
        upcastLMHeadOutput = arguments.bool("upcast_lmhead_output")
        disableGradientCheckpointing = arguments.bool("disable_gradient_checkpointing")
        trainFromScratch = arguments.bool("train_from_scratch")
        moeAuxLossCoef = arguments.optionalDouble("moe_aux_loss_coef").flatMap { $0 > 0 ? $0 : nil }
        inferDType = arguments.choice("infer_dtype", default: .auto)
        inferBackend = arguments.choice("infer_backend", default: .huggingface)
        printParamStatus = arguments.bool("print_param_status")
        if arguments.bool("bf16") || arguments.bool("pure_bf16") {
            computeDType = .bfloat16
        } else if arguments.bool("fp16") {
            computeDType = .float16
        }
        switch use {
        case .training: modelMaxLength = cutoffLen
        // A length of its own says which context the model was trained for.
        case .export: modelMaxLength = arguments.isChanged("cutoff_len") ? cutoffLen : nil
        case .chat, .api, .evaluation: modelMaxLength = nil
        }
    }
}

extension ExportArguments {
    init(_ arguments: ArgumentValues) {
        self.init()
        directory = arguments.optionalString("export_dir")
        shardSize = arguments.int("export_size") * 1_000_000_000
        gguf = arguments.optionalString("export_gguf")
        writesAdapter = arguments.bool("export_gguf_lora")
        hubRepository = arguments.optionalString("export_hub_model_id")
    }
}

extension DataArguments {
    init(_ arguments: ArgumentValues, cutoffLen: Int) {
        self.init()
        template = arguments.optionalString("template")
        dataset = arguments.names("dataset")
        evalDataset = arguments.names("eval_dataset")
        datasetDir = arguments.string("dataset_dir")
        mediaDir = arguments.optionalString("media_dir") ?? arguments.string("dataset_dir")
        self.cutoffLen = cutoffLen
        trainOnPrompt = arguments.bool("train_on_prompt")
        maskHistory = arguments.bool("mask_history")
        streaming = arguments.bool("streaming")
        bufferSize = arguments.int("buffer_size")
        mixStrategy = arguments.choice("mix_strategy", default: .concat)
        interleaveProbs = arguments.numbers("interleave_probs")
        overwriteCache = arguments.bool("overwrite_cache")
        preprocessingBatchSize = arguments.int("preprocessing_batch_size")
        preprocessingNumWorkers = arguments.optionalInt("preprocessing_num_workers")
        maxSamples = arguments.optionalInt("max_samples")
        ignorePadTokenForLoss = arguments.bool("ignore_pad_token_for_loss")
        valSize = arguments.double("val_size")
        evalNumBeams = arguments.optionalInt("eval_num_beams")
        evalOnEachDataset = arguments.bool("eval_on_each_dataset")
        packing = arguments.optionalBool("packing") ?? (arguments.string("stage") == "pt")
        neatPacking = arguments.bool("neat_packing")
        toolFormat = arguments.optionalString("tool_format")
        defaultSystem = arguments.optionalString("default_system")
        enableThinking = arguments.optionalBool("enable_thinking")
        preserveThinking = arguments.bool("preserve_thinking")
        tokenizedPath = arguments.optionalString("tokenized_path")
    }
}

extension FinetuningArguments {
    init(_ arguments: ArgumentValues) {
        self.init()
        stage = arguments.choice("stage", default: .sft)
        type = arguments.choice("finetuning_type", default: .lora)
        pureBF16 = arguments.bool("pure_bf16")
        computeAccuracy = arguments.bool("compute_accuracy")
        disableShuffling = arguments.bool("disable_shuffling")
        earlyStoppingSteps = arguments.optionalInt("early_stopping_steps")
        plotLoss = arguments.bool("plot_loss")
        includeEffectiveTokensPerSecond = arguments.bool("include_effective_tokens_per_second")
        lora = LoRA(arguments)
        freeze.trainableLayers = arguments.int("freeze_trainable_layers")
        freeze.trainableModules = arguments.names("freeze_trainable_modules")
        freeze.extraModules = arguments.names("freeze_extra_modules")
        preference = Preference(arguments)
        policyOptimization = PolicyOptimization(arguments)
        if arguments.bool("use_dft_loss") {
            tokenLoss = .dft
        } else if arguments.bool("use_eaft_loss") {
            tokenLoss = .eaft(alpha: arguments.double("eaft_alpha"))
        } else if arguments.bool("use_asft_loss") {
            tokenLoss = .asft(alpha: arguments.double("asft_alpha"))
        }
    }
}

extension FinetuningArguments.LoRA {
    init(_ arguments: ArgumentValues) {
        self.init()
        rank = arguments.int("lora_rank")
        alpha = arguments.optionalInt("lora_alpha") ?? 2 * rank
        dropout = arguments.double("lora_dropout")
        target = arguments.names("lora_target")
        additionalTarget = arguments.names("additional_target")
        usesRSLoRA = arguments.bool("use_rslora")
        createNewAdapter = arguments.bool("create_new_adapter")
        usesDoRA = arguments.bool("use_dora")
        plusLearningRateRatio = arguments.optionalDouble("loraplus_lr_ratio")
        plusEmbeddingRate = arguments.double("loraplus_lr_embedding")
    }
}

extension FinetuningArguments.Preference {
    init(_ arguments: ArgumentValues) {
        self.init()
        beta = arguments.double("pref_beta")
        ftx = arguments.double("pref_ftx")
        bcoWeight = arguments.double("pref_bco_weight")
        loss = arguments.choice("pref_loss", default: .sigmoid)
        labelSmoothing = arguments.double("dpo_label_smoothing")
        simpoGamma = arguments.double("simpo_gamma")
        ldAlpha = arguments.optionalDouble("ld_alpha")
        ktoChosenWeight = arguments.double("kto_chosen_weight")
        ktoRejectedWeight = arguments.double("kto_rejected_weight")
        refModel = arguments.optionalString("ref_model")
        refModelAdapters = arguments.names("ref_model_adapters")
    }
}

extension FinetuningArguments.PolicyOptimization {
    init(_ arguments: ArgumentValues) {
        self.init()
        rewardModel = arguments.optionalString("reward_model")
        rewardModelAdapters = arguments.names("reward_model_adapters")
        rewardModelType = arguments.choice("reward_model_type", default: .lora)
        bufferSize = arguments.int("ppo_buffer_size")
        epochs = arguments.int("ppo_epochs")
        normalizesScores = arguments.bool("ppo_score_norm")
        targetDivergence = arguments.double("ppo_target")
        whitensRewards = arguments.bool("ppo_whiten_rewards")
    }
}

extension TrainingArguments {
    init(_ arguments: ArgumentValues) {
        self.init()
        outputDir = arguments.string("output_dir")
        overwriteOutputDir = arguments.bool("overwrite_output_dir")
        doTrain = arguments.bool("do_train")
        doEval = arguments.bool("do_eval")
        fullEvaluationDType =
            arguments.bool("bf16_full_eval") ? .bfloat16 : arguments.bool("fp16_full_eval") ? .float16 : nil
        doPredict = arguments.bool("do_predict")
        evalStrategy = arguments.choice("eval_strategy", default: .no)
        perDeviceTrainBatchSize = arguments.int("per_device_train_batch_size")
        perDeviceEvalBatchSize = arguments.int("per_device_eval_batch_size")
        gradientAccumulationSteps = arguments.int("gradient_accumulation_steps")
        learningRate = arguments.double("learning_rate")
        weightDecay = arguments.double("weight_decay")
        adamBeta1 = arguments.double("adam_beta1")
        adamBeta2 = arguments.double("adam_beta2")
        adamEpsilon = arguments.double("adam_epsilon")
        maxGradNorm = arguments.double("max_grad_norm")
        numTrainEpochs = arguments.double("num_train_epochs")
        maxSteps = arguments.int("max_steps")
        lrSchedulerType = arguments.choice("lr_scheduler_type", default: .linear)
        lrSchedulerKwargs = schedulerOptions(arguments["lr_scheduler_kwargs"])
        warmupSteps = arguments.double("warmup_steps")
        warmupRatio = arguments.optionalDouble("warmup_ratio")
        optim = arguments.choice("optim", default: .adamwTorchFused)
        if arguments.bool("use_muon") {
            optimizerMethod = .muon
        } else if arguments.bool("use_adam_mini") {
            optimizerMethod = .adamMini
        } else if arguments.bool("use_badam") {
            optimizerMethod = .blockwise(BlockSwitching(arguments))
        }
        loggingStrategy = arguments.choice("logging_strategy", default: .steps)
        loggingSteps = arguments.double("logging_steps")
        loggingFirstStep = arguments.bool("logging_first_step")
        trackers = TrackerName.named(in: arguments)
        hubPush = HubPushArguments(arguments)
        loggingDir = arguments.optionalString("logging_dir")
        saveStrategy = arguments.choice("save_strategy", default: .steps)
        saveSteps = arguments.double("save_steps")
        saveTotalLimit = arguments.optionalInt("save_total_limit")
        saveOnlyModel = arguments.bool("save_only_model")
        evalSteps = arguments.optionalDouble("eval_steps")
        evalDelay = arguments.double("eval_delay")
        evalOnStart = arguments.bool("eval_on_start")
        seed = arguments.int("seed")
        dataSeed = arguments.optionalInt("data_seed")
        bf16 = arguments.bool("bf16")
        fp16 = arguments.bool("fp16")
        lossScaling = arguments.lossScaling
        zeroStage = arguments.zeroStage
        processCount = arguments.processCount
        ddpTimeout = arguments.int("ddp_timeout")
        bucketMebibytes = arguments.optionalInt("ddp_bucket_cap_mb")
        sharesFileSystem = arguments.bool("data_shared_file_system")
        useCPU = arguments.bool("use_cpu")
        dataloaderDropLast = arguments.bool("dataloader_drop_last")
        runName = arguments.optionalString("run_name")
        disableTqdm = arguments.bool("disable_tqdm")
        loadBestModelAtEnd = arguments.bool("load_best_model_at_end")
        metricForBestModel = arguments.optionalString("metric_for_best_model")
        greaterIsBetter = arguments.optionalBool("greater_is_better")
        ignoreDataSkip = arguments.bool("ignore_data_skip")
        predictWithGenerate = arguments.bool("predict_with_generate")
        generationMaxLength = arguments.optionalInt("generation_max_length")
        generationNumBeams = arguments.optionalInt("generation_num_beams")
        resume = resumeChoice(arguments)
        includeNumInputTokensSeen = arguments.string("include_num_input_tokens_seen") != "no"
        neftuneNoiseAlpha = arguments.optionalDouble("neftune_noise_alpha").flatMap { $0 > 0 ? $0 : nil }
        threads = arguments.optionalInt("threads")
        profile = arguments.bool("profile")
    }
}

extension TrainingArguments.BlockSwitching {
    init(_ arguments: ArgumentValues) {
        self.init()
        order = arguments.choice("badam_switch_mode", default: .ascending)
        startBlock = arguments.optionalInt("badam_start_block")
        let steps = arguments.optionalInt("badam_switch_interval") ?? 50
        interval = steps > 0 ? steps : nil
    }
}

private func resumeChoice(_ arguments: ArgumentValues) -> TrainingArguments.Resume {
    switch arguments["resume_from_checkpoint"] {
    case .bool(true): .latest
    case .bool(false): .never
    case .string(let path): .checkpoint(path)
    default: arguments.bool("overwrite_output_dir") ? .never : .automatic
    }
}

private func schedulerOptions(_ value: ArgumentValue) -> [String: TrainingArguments.SchedulerOption] {
    guard case .mapping(let pairs) = value else { return [:] }
    var options: [String: TrainingArguments.SchedulerOption] = [:]
    for (name, option) in pairs {
        switch option {
        case .int(let number): options[name] = .number(Double(number))
        case .double(let number): options[name] = .number(number)
        case .string(let text): options[name] = .text(text)
        default: continue
        }
    }
    return options
}

extension GeneratingArguments {
    init(_ arguments: ArgumentValues, for use: ConfigurationUse) {
        self.init()
        doSample = arguments.bool("do_sample")
        temperature = arguments.double("temperature")
        topP = arguments.double("top_p")
        topK = arguments.int("top_k")
        numBeams = arguments.int("num_beams")
        maxLength = arguments.int("max_length")
        maxNewTokens = arguments.int("max_new_tokens")
        repetitionPenalty = arguments.double("repetition_penalty")
        lengthPenalty = arguments.double("length_penalty")
        skipSpecialTokens = arguments.bool("skip_special_tokens")
        if use == .chat || use == .api, arguments.isGiven("seed") { seed = arguments.int("seed") }
    }
}
