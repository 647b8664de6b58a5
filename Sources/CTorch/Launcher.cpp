#include "Launcher.hpp"

#include <array>
#include <atomic>
#include <utility>

namespace lf::kernels {

namespace {

std::atomic<Machine> &machine_of(c10::DeviceType type) {
    static std::array<std::atomic<Machine>, static_cast<size_t>(c10::COMPILE_TIME_MAX_DEVICE_TYPES)> machines{};
    return machines[static_cast<size_t>(type)];
}

thread_local bool are_used = true;

}  // namespace

bool use(bool kernels) { return std::exchange(are_used, kernels); }

void set_machine(c10::DeviceType type, Machine machine) { machine_of(type) = machine; }

bool run_on(const at::Tensor &tensor) {
    if (tensor.is_cuda()) {
        static const bool is_offered = (offer_gpu(), true);
        (void)is_offered;
    }
    return are_used && !tensor.is_cpu() && machine_of(tensor.device().type()).load() != nullptr;
}

std::string type_name(at::ScalarType type) {
    switch (type) {
        case at::kFloat: return "float";
        case at::kDouble: return "double";
        case at::kBFloat16: return "bfloat16";
        case at::kHalf: return "float16";
        default: return "";
    }
}

void start(const std::string &name, const at::Device &device, int64_t blocks, void **arguments) {
    machine_of(device.type()).load()({name, blocks, arguments}, device);
}

const char text[] = {
#embed "Kernels/Machine.hpp"
    ,
#embed "Kernels/Rows.hpp"
    ,
#embed "Kernels/Products.hpp"
    ,
#embed "Kernels/Attention.hpp"
    ,
#embed "Kernels/Head.hpp"
    , 0};

}  // namespace lf::kernels
