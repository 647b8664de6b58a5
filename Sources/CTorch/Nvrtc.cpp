// Kernels on NVIDIA's GPUs: compiled from their text by NVRTC at their first use, each instance by itself, and started by the driver on libtorch's stream.
// Both libraries are opened when they are needed, so that the program is the same where there is no GPU.
#include "Launcher.hpp"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <cstdio>
#include <cstdlib>
#include <dlfcn.h>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <mutex>
#include <unistd.h>
#include <unordered_map>

namespace lf::kernels {
namespace {

/// What of a library is called, by its own names and types.
class Library {
    void *handle = nullptr;

  public:
    explicit Library(std::initializer_list<const char *> names) {
        for (const char *name : names)
            if (!handle) handle = dlopen(name, RTLD_LAZY | RTLD_GLOBAL);
    }
    /// A function; one that libtorch has loaded where the library was not found by name.
    template <typename Function> void find(const char *name, Function *&function) const {
        void *address = handle ? dlsym(handle, name) : dlsym(RTLD_DEFAULT, name);
        function = reinterpret_cast<Function *>(address);
    }
};

struct Compiler {
    int (*create)(void **, const char *, const char *, int, const char *const *, const char *const *) = nullptr;
    int (*name)(void *, const char *) = nullptr;
    int (*compile)(void *, int, const char *const *) = nullptr;
    int (*log_size)(void *, size_t *) = nullptr;
    int (*log)(void *, char *) = nullptr;
    int (*size)(void *, size_t *) = nullptr;
    int (*code)(void *, char *) = nullptr;
    int (*lowered)(void *, const char *, const char **) = nullptr;
    int (*destroy)(void **) = nullptr;
    int (*version)(int *, int *) = nullptr;

    Compiler() {
        Library library{"libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so"};
        library.find("nvrtcCreateProgram", create);
        library.find("nvrtcAddNameExpression", name);
        library.find("nvrtcCompileProgram", compile);
        library.find("nvrtcGetProgramLogSize", log_size);
        library.find("nvrtcGetProgramLog", log);
        library.find("nvrtcGetCUBINSize", size);
        library.find("nvrtcGetCUBIN", code);
        library.find("nvrtcGetLoweredName", lowered);
        library.find("nvrtcDestroyProgram", destroy);
        library.find("nvrtcVersion", version);
    }
    bool is_whole() const { return version && create && name && compile && log_size && log && size && code && lowered && destroy; }
};

struct Driver {
    int (*current)(void **) = nullptr;
    int (*set_current)(void *) = nullptr;
    int (*retain)(void **, int) = nullptr;
    int (*attribute)(int *, int, int) = nullptr;
    int (*load)(void **, const void *) = nullptr;
    int (*function)(void **, void *, const char *) = nullptr;
    int (*launch)(void *, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void *, void **, void **) = nullptr;
    int (*text)(int, const char **) = nullptr;

    Driver() {
        Library library{"libcuda.so.1"};
        library.find("cuCtxGetCurrent", current);
        library.find("cuCtxSetCurrent", set_current);
        library.find("cuDevicePrimaryCtxRetain", retain);
        library.find("cuDeviceGetAttribute", attribute);
        library.find("cuModuleLoadData", load);
        library.find("cuModuleGetFunction", function);
        library.find("cuLaunchKernel", launch);
        library.find("cuGetErrorString", text);
    }
    bool is_whole() const { return current && set_current && retain && attribute && load && function && launch && text; }

    void check(int status, const char *what) const {
        const char *why = nullptr;
        if (status != 0) text(status, &why);
        TORCH_CHECK(status == 0, "the GPU's driver could not ", what, ": ", why ? why : "unknown error ", status);
    }
};

const Compiler &compiler() {
    static const Compiler compiler;
    return compiler;
}
const Driver &driver() {
    static const Driver driver;
    return driver;
}

/// The architecture's name of a device, such as `sm_90`.
std::string architecture(int device) {
    constexpr int major_attribute = 75, minor_attribute = 76;
    int major = 0, minor = 0;
    driver().check(driver().attribute(&major, major_attribute, device), "tell its architecture");
    driver().check(driver().attribute(&minor, minor_attribute, device), "tell its architecture");
    return c10::str("sm_", major, minor);
}

/// One instance for one architecture.
struct Compiled {
    std::vector<char> code;
    std::string symbol;
};

Compiled compiled(const std::string &name, const std::string &architecture) {
    const auto &nvrtc = compiler();
    std::string all = std::string(text) + "\nusing namespace lf_machine;\n";
    void *program = nullptr;
    TORCH_CHECK(nvrtc.create(&program, all.c_str(), "kernels.cu", 0, nullptr, nullptr) == 0, "NVRTC could not begin");
    nvrtc.name(program, name.c_str());
    std::string target = "--gpu-architecture=" + architecture;
    const char *options[] = {target.c_str(), "--std=c++17"};
    if (nvrtc.compile(program, 2, options) != 0) {
        size_t size = 0;
        nvrtc.log_size(program, &size);
        std::string log(size, '\0');
        nvrtc.log(program, log.data());
        nvrtc.destroy(&program);
        TORCH_CHECK(false, "NVRTC could not compile ", name, " for ", architecture, ": ", log);
    }
    Compiled result;
    size_t size = 0;
    const char *symbol = nullptr;
    bool is_read = nvrtc.size(program, &size) == 0;
    result.code.resize(size);
    is_read = is_read && nvrtc.code(program, result.code.data()) == 0 && nvrtc.lowered(program, name.c_str(), &symbol) == 0 && symbol;
    if (is_read) result.symbol = symbol;
    nvrtc.destroy(&program);
    TORCH_CHECK(is_read, "NVRTC gave no code of ", name, " for ", architecture);
    return result;
}

/// Where an instance is kept between runs, by all that it is made of; empty where there is no place for it.
std::filesystem::path kept_file(const std::string &name, const std::string &architecture) {
    const char *cache = std::getenv("XDG_CACHE_HOME"), *home = std::getenv("HOME");
    if ((!cache || !*cache) && (!home || !*home)) return {};
    std::filesystem::path folder = cache && *cache ? std::filesystem::path(cache) : std::filesystem::path(home) / ".cache";
    int major = 0, minor = 0;
    compiler().version(&major, &minor);
    // FNV-1a in 64 bits.
    uint64_t hash = 14695981039346656037u;
    for (const auto &part : {std::string(text), name, architecture, c10::str(major, ".", minor)})
        for (size_t i = 0; i <= part.size(); ++i) hash = (hash ^ static_cast<unsigned char>(part.c_str()[i])) * 1099511628211u;
    char digits[17];
    std::snprintf(digits, sizeof digits, "%016llx", static_cast<unsigned long long>(hash));
    return folder / "llamafactory" / "kernels" / (std::string(digits) + ".cubin");
}

/// What a file keeps: the symbol, a line's end, the code. Empty where there is none.
Compiled read_kept(const std::filesystem::path &file) {
    Compiled result;
    std::ifstream from(file, std::ios::binary);
    if (std::getline(from, result.symbol)) result.code.assign(std::istreambuf_iterator<char>(from), {});
    return result;
}

/// Keeps an instance, where that can be: other processes see the whole file or none.
void keep(const std::filesystem::path &file, const Compiled &what) {
    std::error_code error;
    std::filesystem::create_directories(file.parent_path(), error);
    auto unfinished = file;
    unfinished += c10::str(".", getpid());
    std::ofstream to(unfinished, std::ios::binary);
    to << what.symbol << '\n';
    to.write(what.code.data(), std::streamsize(what.code.size()));
    to.close();
    if (to) std::filesystem::rename(unfinished, file, error);
    if (!to || error) std::filesystem::remove(unfinished, error);
}

/// The device's context is libtorch's own; threads that have not asked libtorch for anything yet have none.
void enter_context(int device) {
    void *context = nullptr;
    if (driver().current(&context) == 0 && context) return;
    driver().check(driver().retain(&context, device), "give its context");
    driver().check(driver().set_current(context), "enter its context");
}

/// The function of an instance, which stays loaded for as long as the process.
void *function_of(const std::string &name, int device) {
    static std::mutex mutex;
    static auto *known = new std::unordered_map<std::string, void *>;
    std::lock_guard lock(mutex);
    auto &function = (*known)[c10::str(device, " ", name)];
    if (function) return function;
    auto target = architecture(device);
    auto file = kept_file(name, target);
    auto code = file.empty() ? Compiled{} : read_kept(file);
    void *module = nullptr;
    // What a file holds may be cut off: the driver tells.
    if (code.code.empty() || driver().load(&module, code.code.data()) != 0) {
        code = compiled(name, target);
        if (!file.empty()) keep(file, code);
        driver().check(driver().load(&module, code.code.data()), "load a kernel");
    }
    driver().check(driver().function(&function, module, code.symbol.c_str()), "find a kernel");
    return function;
}

void start_on_gpu(const Launch &launch, const at::Device &device) {
    constexpr unsigned threads = 256;
    c10::impl::VirtualGuardImpl guard(device.type());
    auto before = guard.exchangeDevice(device);
    enter_context(device.index());
    void *function = function_of(launch.name, device.index());
    void *stream = guard.getStream(device).native_handle();
    TORCH_CHECK(launch.blocks <= INT32_MAX, "a kernel of ", launch.blocks, " blocks is too large for a GPU");
    int status = driver().launch(function, unsigned(launch.blocks), 1, 1, threads, 1, 1, 0, stream, launch.arguments, nullptr);
    guard.uncheckedSetDevice(before);
    driver().check(status, ("start " + launch.name).c_str());
}

}  // namespace

void offer_gpu() {
    if (const char *wish = std::getenv("LLAMAFACTORY_GPU_KERNELS"); wish && std::string(wish) == "0") return;
    if (compiler().is_whole() && driver().is_whole()) return set_machine(c10::DeviceType::CUDA, &start_on_gpu);
    std::fprintf(stderr, "warning: %s was not found, so that layers take more and slower operations on the GPU.\n",
                 compiler().is_whole() ? "the GPU's driver (libcuda.so.1)" : "NVRTC (libnvrtc.so)");
}

}  // namespace lf::kernels
