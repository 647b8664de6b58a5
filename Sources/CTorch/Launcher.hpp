// Starts kernels on devices that are not the CPU: one text (Kernels/), compiled by NVRTC for GPUs and by a C++ compiler for tests.
#pragma once
#include <ATen/ATen.h>

#include <string>
#include <vector>

namespace lf::kernels {

/// One start of a kernel.
struct Launch {
    /// The instance as C++ writes it, such as `rotate<bfloat16>`.
    const std::string &name;
    int64_t blocks;
    /// Where each argument lies, in order.
    void **arguments;
};

/// Starts what a launch says on a device, in the order of the device's operations.
using Machine = void (*)(const Launch &launch, const at::Device &device);

/// Names the machine of a type of devices; null takes it away.
void set_machine(c10::DeviceType type, Machine machine);

/// Names the machine of GPUs where NVRTC and the driver are found, and says once where not.
void offer_gpu();

/// Whether kernels run where a tensor lies. Without them what they do takes libtorch's operations.
bool run_on(const at::Tensor &tensor);

/// Whether this thread's layers take kernels where they run, which they do at first; returns what was said before. For tests of what runs without them.
bool use(bool kernels);

/// What kernels call a type of tensors; empty where they do not know it.
std::string type_name(at::ScalarType type);

void start(const std::string &name, const at::Device &device, int64_t blocks, void **arguments);

/// Starts a kernel of `blocks` blocks; the arguments' types are exactly its parameters'.
template <typename... Arguments>
void launch(const std::string &name, const at::Tensor &like, int64_t blocks, Arguments... arguments) {
    void *places[] = {static_cast<void *>(&arguments)...};
    if (blocks > 0) start(name, like.device(), blocks, places);
}

/// A tensor's numbers as the kernel's parameter; null where it is not defined.
template <typename T = void> T *data(const at::Tensor &tensor) { return tensor.defined() ? static_cast<T *>(tensor.mutable_data_ptr()) : nullptr; }

/// All kernels' text, for a compiler.
extern const char text[];

}  // namespace lf::kernels
