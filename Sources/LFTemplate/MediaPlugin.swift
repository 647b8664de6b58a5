/// How a template's model family takes images, videos and sounds; upstream's names.
public enum MediaPlugin: String, Sendable, CaseIterable {
    case ernieVl = "ernie_vl"
    case gemma3
    case gemma3n
    case gemma4
    case glm4v
    case internVl = "intern_vl"
    case kimiVl = "kimi_vl"
    case lfm2Vl = "lfm2_vl"
    case llama4
    case llava
    case llavaNext = "llava_next"
    case llavaNextVideo = "llava_next_video"
    case minicpmV = "minicpm_v"
    case minicpmV46 = "minicpm_v_4_6"
    case mllama
    case mossVl = "moss_vl"
    case paligemma
    case pixtral
    case qwen2Audio = "qwen2_audio"
    case qwen2Omni = "qwen2_omni"
    case qwen2Vl = "qwen2_vl"
    case qwen3Vl = "qwen3_vl"
    case videoLlava = "video_llava"
    case youtuVl = "youtu_vl"
}
