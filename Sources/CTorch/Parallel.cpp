// Enters the OpenMP runtime that libtorch brings by its C interface, which compilers call for `#pragma omp parallel`.
#include "CTorch.h"
#include "Parallel.hpp"

#include <ATen/Parallel.h>
#include <c10/util/ParallelGuard.h>
#include <atomic>
#include <dlfcn.h>
#include <exception>

namespace lf {
namespace {

/// The runtime's entry points; null where libtorch was built without OpenMP.
struct Runtime {
    void (*parallel)(void (*)(void *), void *, unsigned threads, unsigned flags) = nullptr;
    int (*thread)() = nullptr;
    int (*threads)() = nullptr;

    Runtime() {
        auto find = [](auto &function, const char *name) {
            function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(RTLD_DEFAULT, name));
        };
        find(parallel, "GOMP_parallel");
        find(thread, "omp_get_thread_num");
        find(threads, "omp_get_num_threads");
    }
    bool is_complete() const { return parallel && thread && threads; }
};

struct Loop {
    const Runtime &runtime;
    int64_t count, grain;
    LoopBody body;
    const void *context;
    std::atomic_flag has_failed = ATOMIC_FLAG_INIT;
    std::exception_ptr error;

    /// What one of the runtime's threads does.
    void run() {
        int64_t threads = std::min<int64_t>(runtime.threads(), (count + grain - 1) / grain);
        int64_t share = (count + threads - 1) / threads, begin = runtime.thread() * share;
        if (begin >= count) return;
        try {
            c10::ParallelGuard guard(true);
            body(context, begin, std::min(count, begin + share));
        } catch (...) {
            if (!has_failed.test_and_set()) error = std::current_exception();
        }
    }
};

}  // namespace

void parallel_loop(int64_t count, int64_t grain, LoopBody body, const void *context) {
    static const Runtime runtime;
    if (count <= 0) return;
    grain = std::max<int64_t>(1, grain);
    at::internal::lazy_init_num_threads();
    if (count <= grain || at::get_num_threads() < 2 || at::in_parallel_region() || !runtime.is_complete()) {
        body(context, 0, count);
        return;
    }
    Loop loop{runtime, count, grain, body, context};
    // 0 threads asked for means the runtime's own number: teams of changing size would end and start threads each time.
    runtime.parallel([](void *it) { static_cast<Loop *>(it)->run(); }, &loop, 0, 0);
    if (loop.error) std::rethrow_exception(loop.error);
}

}  // namespace lf

int lf_loop_threads(void) {
    std::atomic<int> shares{0};
    lf::parallel_for(at::get_num_threads(), 1, [&](int64_t, int64_t) { shares += 1; });
    return shares;
}
