// The shim's own kernels on the stand-in: their text as ordinary C++, a block after the other. A start counts as one.
#include "StandIn.hpp"

#include "../../Sources/CTorch/Launcher.hpp"

#include "../../Sources/CTorch/Kernels/Machine.hpp"
#include "../../Sources/CTorch/Kernels/Rows.hpp"
#include "../../Sources/CTorch/Kernels/Products.hpp"
#include "../../Sources/CTorch/Kernels/Attention.hpp"
#include "../../Sources/CTorch/Kernels/Head.hpp"

#include <functional>
#include <map>
#include <tuple>

namespace stand_in {
namespace {

/// An argument whose addresses are those of the bytes: what a kernel reads must lie on the device.
template <typename T> T on_host(T argument) {
    auto move = [](auto &pointer) {
        using Pointer = std::remove_reference_t<decltype(pointer)>;
        if (pointer) pointer = static_cast<Pointer>(host_address(const_cast<void *>(static_cast<const void *>(pointer))));
    };
    if constexpr (std::is_pointer_v<T>) move(argument);
    else if constexpr (requires { argument.each_pointer(move); }) argument.each_pointer(move);
    return argument;
}

template <typename... Parameters, size_t... places>
void run_blocks(void (*kernel)(Parameters...), int64_t blocks, void **arguments, std::index_sequence<places...>) {
    std::tuple<Parameters...> taken{on_host(*static_cast<Parameters *>(arguments[places]))...};
    for (lf_machine::current_block = 0; lf_machine::current_block < blocks; ++lf_machine::current_block) std::apply(kernel, taken);
}

template <typename... Parameters> void run(void (*kernel)(Parameters...), int64_t blocks, void **arguments) {
    run_blocks(kernel, blocks, arguments, std::index_sequence_for<Parameters...>());
}

using Kernel = std::function<void(int64_t, void **)>;

template <auto kernel> Kernel runner() {
    return [](int64_t blocks, void **arguments) { run(+kernel, blocks, arguments); };
}

using namespace lf_machine;
#define LF_INSTANCE(...) {#__VA_ARGS__, runner<&__VA_ARGS__>()}
#define LF_ATTENTION(T, real, width)                                                                        \
    LF_INSTANCE(attention_forward<T, real, width>), LF_INSTANCE(attention_query_gradient<T, real, width>), \
        LF_INSTANCE(attention_key_gradient<T, real, width>)
#define LF_ATTENTIONS(T, real) LF_ATTENTION(T, real, 64), LF_ATTENTION(T, real, 128), LF_ATTENTION(T, real, 256)
#define LF_NORM(T, W) LF_INSTANCE(rms_norm_forward<T, W>), LF_INSTANCE(rms_norm_backward<T, W>)
#define LF_PER_TYPE(T, real)                                                                                                              \
    LF_INSTANCE(rotate<T>), LF_INSTANCE(gated_forward<T>), LF_INSTANCE(gated_backward<T>), LF_INSTANCE(head_rows<T, real>),               \
        LF_INSTANCE(head_fold<T, real>), LF_INSTANCE(head_gradient<T, real>), LF_ATTENTIONS(T, real)

const std::map<std::string, Kernel> &all_kernels() {
    static const auto *kernels = new std::map<std::string, Kernel>{
        LF_PER_TYPE(float, float),
        LF_PER_TYPE(double, double),
        LF_PER_TYPE(bfloat16, float),
        LF_PER_TYPE(float16, float),
        LF_NORM(float, float),
        LF_NORM(double, double),
        LF_NORM(bfloat16, bfloat16),
        LF_NORM(bfloat16, float),
        LF_NORM(float16, float16),
        LF_NORM(float16, float),
        LF_NORM(float, bfloat16),
        LF_NORM(float, float16),
        LF_INSTANCE(column_sums<float, float>),
        LF_INSTANCE(column_sums<double, double>),
        LF_INSTANCE(column_sums<float, bfloat16>),
        LF_INSTANCE(column_sums<float, float16>),
        LF_INSTANCE(short_products<float, 64, 16>),
        LF_INSTANCE(short_products<float, 64, 64>),
        LF_INSTANCE(short_products<double, 64, 16>),
        LF_INSTANCE(short_products<double, 64, 64>),
        LF_INSTANCE(convert_all),
        LF_INSTANCE(sum_columns<float>),
        LF_INSTANCE(sum_columns<double>),
        LF_INSTANCE(attention_sink_gradient<float>),
        LF_INSTANCE(attention_sink_gradient<double>),
    };
    return *kernels;
}

void start(const lf::kernels::Launch &launch, const at::Device &) {
    auto found = all_kernels().find(launch.name);
    TORCH_CHECK(found != all_kernels().end(), "the stand-in has no kernel ", launch.name);
    count_launch(launch.name);
    found->second(launch.blocks, launch.arguments);
}

/// Before main, as the device itself.
const bool is_registered = (lf::kernels::set_machine(device_type, &start), true);

}  // namespace
}  // namespace stand_in

bool stand_in_use_kernels(bool used) { return lf::kernels::use(used); }
