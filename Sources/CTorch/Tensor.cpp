// Creation, storage, random streams, process settings.
#include "Internal.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/detail/CUDAHooksInterface.h>
#include <atomic>
#include <c10/core/CPUAllocator.h>
#include <c10/core/CachingDeviceAllocator.h>
#include <c10/core/impl/VirtualGuardImpl.h>
#include <cstdlib>
#include <malloc.h>
#include <torch/csrc/api/include/torch/version.h>

namespace lf {

static thread_local std::string last_error;

lf_status fail(lf_status status, const char *message) noexcept {
    try {
        last_error = message;
    } catch (...) {
    }
    return status;
}

at::ScalarType scalar_type(lf_dtype dtype) {
    switch (dtype) {
        case LF_FLOAT32: return at::kFloat;
        case LF_FLOAT64: return at::kDouble;
        case LF_FLOAT16: return at::kHalf;
        case LF_BFLOAT16: return at::kBFloat16;
        case LF_INT8: return at::kChar;
        case LF_UINT8: return at::kByte;
        case LF_INT16: return at::kShort;
        case LF_INT32: return at::kInt;
        case LF_INT64: return at::kLong;
        case LF_BOOL: return at::kBool;
        case LF_FLOAT8: return at::kFloat8_e4m3fn;
    }
    throw std::runtime_error("unknown element type");
}

lf_dtype dtype_of(at::ScalarType type) {
    switch (type) {
        case at::kFloat: return LF_FLOAT32;
        case at::kDouble: return LF_FLOAT64;
        case at::kHalf: return LF_FLOAT16;
        case at::kBFloat16: return LF_BFLOAT16;
        case at::kChar: return LF_INT8;
        case at::kByte: return LF_UINT8;
        case at::kShort: return LF_INT16;
        case at::kInt: return LF_INT32;
        case at::kLong: return LF_INT64;
        case at::kFloat8_e4m3fn: return LF_FLOAT8;
        default: return LF_BOOL;
    }
}

/// From the first use of a device that adds in any order on, its sums are formed in one order: a resumed run then repeats the one that never stopped.
/// What has no such kernel is said by libtorch, and runs.
static void order_sums() {
    static const bool is_done = [] {
        setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8", /*overwrite=*/0);
        at::globalContext().setDeterministicAlgorithms(true, /*warn_only=*/true);
        at::globalContext().setDeterministicFillUninitializedMemory(false);
        return true;
    }();
    (void)is_done;
}

/// Of the process: its threads all compute on one GPU.
static std::atomic<int> chosen_gpu{0};

at::Device device(lf_device_type type) {
    if (type != LF_CPU) order_sums();
    switch (type) {
        case LF_CPU: return at::Device(at::kCPU);
        case LF_CUDA: return at::Device(at::kCUDA, c10::DeviceIndex(chosen_gpu));
        // In tests threads stand for processes.
        case LF_STAND_IN: return c10::impl::VirtualGuardImpl(at::kPrivateUse1).getDevice();
    }
    throw std::runtime_error("unknown device");
}

static at::TensorOptions options(lf_dtype dtype, lf_device_type type) {
    return at::TensorOptions().dtype(scalar_type(dtype)).device(device(type));
}

}  // namespace lf

using namespace lf;

const char *lf_last_error(void) { return last_error.c_str(); }
lf_status lf_fail_with(lf_status status, const char *message) { return fail(status, message); }
const char *lf_version(void) { return TORCH_VERSION; }

namespace {

/// Tensors' memory from plain malloc, aligned by hand. glibc before 2.38 cannot fill the hole of a freed aligned block with another of the same size, since
/// it looks for the alignment's slack beside it: a process whose large gradients come and go would grow for a dozen steps.
struct FittingAllocator final : at::Allocator {
    static constexpr size_t alignment = 64;

    at::DataPtr allocate(size_t size) override {
        auto device = at::Device(at::kCPU);
        if (size == 0) return {nullptr, nullptr, release, device};
        // The block's own beginning stands before the aligned part.
        size_t slack = alignment + sizeof(void *);
        void *block = size < SIZE_MAX - slack ? std::malloc(size + slack) : nullptr;
        TORCH_CHECK(block, "can't allocate memory: you tried to allocate ", size, " bytes.");
        auto address = (reinterpret_cast<uintptr_t>(block) + slack) / alignment * alignment;
        auto *data = reinterpret_cast<void **>(address);
        data[-1] = block;
        return {data, data, release, device};
    }
    at::DeleterFnPtr raw_deleter() const override { return release; }
    void copy_data(void *to, const void *from, size_t count) const override { default_copy_data(to, from, count); }

    static void release(void *data) {
        if (data) std::free(static_cast<void **>(data)[-1]);
    }
};

}  // namespace

void lf_refill_freed_memory(void) {
    static FittingAllocator allocator;
    c10::SetCPUAllocator(&allocator, /*priority=*/1);
}

void lf_keep_freed_memory(void) {
    mallopt(M_MMAP_THRESHOLD, 1 << 30);
    mallopt(M_TRIM_THRESHOLD, 2147483647);
    mallopt(M_TOP_PAD, 64 << 20);
}

void lf_prefer_huge_pages(void) { setenv("THP_MEM_ALLOC_ENABLE", "1", 0); }

void lf_trim_memory(void) { malloc_trim(0); }
void lf_set_threads(int count) { at::set_num_threads(count); }
int lf_threads(void) { return at::get_num_threads(); }
bool lf_cuda_available(void) { return at::hasCUDA() && at::detail::getCUDAHooks().deviceCount() > 0; }

int lf_device_count(lf_device_type type) {
    switch (type) {
        case LF_CPU: return 1;
        case LF_CUDA: return at::hasCUDA() ? at::detail::getCUDAHooks().deviceCount() : 0;
        case LF_STAND_IN: return c10::impl::VirtualGuardImpl(at::kPrivateUse1).deviceCount();
    }
    return 0;
}

lf_status lf_choose_device(lf_device_type type, int index) {
    return guarded([&] {
        if (type == LF_CPU) return;
        if (type == LF_CUDA) chosen_gpu = index;
        c10::impl::VirtualGuardImpl guard(device(type).type());
        guard.setDevice(at::Device(guard.type(), c10::DeviceIndex(index)));
    });
}

bool lf_free_memory(lf_device_type type, int64_t *bytes) {
    if (type == LF_CPU || (type == LF_CUDA && !lf_cuda_available())) return false;
    try {
        auto place = device(type);
        *bytes = static_cast<int64_t>(c10::getDeviceAllocator(place.type())->getMemoryInfo(place.index()).first);
        return true;
    } catch (const std::exception &) {
        return false;
    }
}

bool lf_grad_mode(void) { return c10::GradMode::is_enabled(); }

bool lf_grad_mode_set(bool enabled) {
    bool previous = c10::GradMode::is_enabled();
    c10::GradMode::set_enabled(enabled);
    return previous;
}

lf_status lf_synchronize(lf_device_type type) {
    return guarded([&] {
        if (type == LF_CPU) return;
        c10::impl::VirtualGuardImpl guard(device(type).type());
        guard.synchronizeDevice(device(type).index());
    });
}

// --- random streams

lf_status lf_generator_create(uint64_t seed, lf_device_type type, lf_generator_t *out) {
    return guarded([&] {
        if (type == LF_CPU) {
            *out = new lf_generator{at::make_generator<at::CPUGeneratorImpl>(seed)};
            return;
        }
        at::globalContext().lazyInitDevice(device(type).type());
        auto generator = at::globalContext().getAcceleratorHooksInterface(device(type).type()).getNewGenerator(device(type).index());
        generator.set_current_seed(seed);
        *out = new lf_generator{std::move(generator)};
    });
}
void lf_generator_free(lf_generator_t generator) { delete generator; }

lf_status lf_generator_seed(lf_generator_t generator, uint64_t seed) {
    return guarded([&] { generator->value.set_current_seed(seed); });
}
lf_status lf_generator_state(lf_generator_t generator, lf_tensor_t *out) {
    return returning(out, [&] { return generator->value.get_state(); });
}
lf_status lf_generator_set_state(lf_generator_t generator, lf_tensor_t state) {
    return guarded([&] { generator->value.set_state(state->value); });
}
lf_status lf_randperm(int64_t count, lf_generator_t generator, lf_tensor_t *out) {
    return returning(out, [&] { return at::randperm(count, generator->value, at::kLong); });
}
lf_status lf_fill_uniform(lf_tensor_t tensor, double low, double high, lf_generator_t generator) {
    return guarded([&] {
        WithoutGrad scope;
        tensor->value.uniform_(low, high, generator->value);
    });
}
lf_status lf_fill_normal(lf_tensor_t tensor, double mean, double deviation, lf_generator_t generator) {
    return guarded([&] {
        WithoutGrad scope;
        tensor->value.normal_(mean, deviation, generator->value);
    });
}
lf_status lf_dropout_mask(lf_tensor_t like, double p, lf_generator_t generator, lf_tensor_t *out) {
    return returning(out, [&] {
        WithoutGrad scope;
        // Drawn where the generator is; where that is not the device, the mask goes over without the host's waiting.
        auto mask = at::empty(like->value.sizes(), like->value.options().device(generator->value.device()));
        mask.bernoulli_(1 - p, generator->value).div_(1 - p);
        return mask.to(like->value.device(), /*non_blocking=*/mask.is_cpu());
    });
}
lf_status lf_multinomial(lf_tensor_t probabilities, lf_generator_t generator, lf_tensor_t *out) {
    return returning(out, [&] {
        auto drawn = at::multinomial(probabilities->value.cpu(), 1, false, generator->value).squeeze(-1);
        return drawn.to(probabilities->value.device());
    });
}

// --- creation, storage

void lf_tensor_free(lf_tensor_t tensor) { delete tensor; }

lf_status lf_zeros(const int64_t *shape, size_t rank, lf_dtype dtype, lf_device_type type, lf_tensor_t *out) {
    return returning(out, [&] { return at::zeros({shape, rank}, options(dtype, type)); });
}
lf_status lf_full(const int64_t *shape, size_t rank, double value, lf_dtype dtype, lf_device_type type, lf_tensor_t *out) {
    return returning(out, [&] { return at::full({shape, rank}, value, options(dtype, type)); });
}
lf_status lf_arange(int64_t count, lf_dtype dtype, lf_device_type type, lf_tensor_t *out) {
    return returning(out, [&] { return at::arange(count, options(dtype, type)); });
}
lf_status lf_from_bytes(const void *bytes, const int64_t *shape, size_t rank, lf_dtype dtype, lf_tensor_t *out) {
    return returning(out, [&] {
        auto tensor = at::empty({shape, rank}, options(dtype, LF_CPU));
        if (tensor.numel() > 0) memcpy(tensor.data_ptr(), bytes, tensor.nbytes());
        return tensor;
    });
}
lf_status lf_wrap_bytes(void *bytes, const int64_t *shape, size_t rank, lf_dtype dtype, void *owner, void (*release)(void *), lf_tensor_t *out) {
    return returning(out, [&] {
        return at::from_blob(bytes, {shape, rank}, [owner, release](void *) { release(owner); }, options(dtype, LF_CPU));
    });
}
lf_status lf_copy_bytes(lf_tensor_t tensor, void *bytes, size_t size) {
    return guarded([&] {
        auto host = tensor->value.detach().cpu().contiguous();
        TORCH_CHECK(host.nbytes() == size, "the buffer holds ", size, " bytes, the tensor ", host.nbytes());
        if (size > 0) memcpy(bytes, host.data_ptr(), size);
    });
}
lf_status lf_empty_like(lf_tensor_t tensor, lf_tensor_t *out) {
    return returning(out, [&] { return at::empty_like(tensor->value.detach()); });
}
lf_status lf_zeros_like(lf_tensor_t tensor, lf_tensor_t *out) {
    return returning(out, [&] { return at::zeros_like(tensor->value.detach()); });
}

size_t lf_rank(lf_tensor_t tensor) { return static_cast<size_t>(tensor->value.dim()); }
int64_t lf_dim(lf_tensor_t tensor, int64_t dim) {
    int64_t rank = tensor->value.dim();
    if (dim < 0) dim += rank;
    return dim >= 0 && dim < rank ? tensor->value.size(dim) : -1;
}
int64_t lf_numel(lf_tensor_t tensor) { return tensor->value.numel(); }
lf_dtype lf_dtype_of(lf_tensor_t tensor) { return dtype_of(tensor->value.scalar_type()); }
lf_device_type lf_device_of(lf_tensor_t tensor) {
    return tensor->value.is_cuda() ? LF_CUDA : tensor->value.is_privateuseone() ? LF_STAND_IN : LF_CPU;
}
bool lf_is_contiguous(lf_tensor_t tensor) { return tensor->value.is_contiguous(); }

lf_status lf_item(lf_tensor_t tensor, double *out) {
    return guarded([&] { *out = tensor->value.detach().to(at::kDouble).item<double>(); });
}
lf_status lf_to_dtype(lf_tensor_t tensor, lf_dtype dtype, lf_tensor_t *out) {
    return returning(out, [&] { return tensor->value.to(scalar_type(dtype)); });
}
lf_status lf_to_device(lf_tensor_t tensor, lf_device_type type, lf_tensor_t *out) {
    // What goes to the device is taken from the host at once and arrives in the order of operations: nobody needs to wait for it.
    return returning(out, [&] { return tensor->value.to(device(type), /*non_blocking=*/tensor->value.is_cpu()); });
}
lf_status lf_contiguous(lf_tensor_t tensor, lf_tensor_t *out) {
    return returning(out, [&] { return tensor->value.contiguous(); });
}
lf_status lf_detach(lf_tensor_t tensor, lf_tensor_t *out) {
    return returning(out, [&] { return tensor->value.detach(); });
}
lf_status lf_clone(lf_tensor_t tensor, lf_tensor_t *out) {
    return returning(out, [&] { return tensor->value.clone(); });
}
lf_status lf_alias(lf_tensor_t tensor, lf_tensor_t *out) {
    return returning(out, [&] { return tensor->value; });
}
lf_status lf_identical(lf_tensor_t a, lf_tensor_t b, bool *out) {
    return guarded([&] {
        auto x = a->value.detach().cpu().contiguous(), y = b->value.detach().cpu().contiguous();
        *out = x.sizes() == y.sizes() && x.scalar_type() == y.scalar_type() &&
               (x.nbytes() == 0 || memcmp(x.data_ptr(), y.data_ptr(), x.nbytes()) == 0);
    });
}
