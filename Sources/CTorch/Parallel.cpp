// Enters the OpenMP runtime that libtorch brings by its C interface, which compilers call for `#pragma omp parallel`.
#include "CTorch.h"
#include "Parallel.hpp"
#include "Team.hpp"

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
    void (*barrier)() = nullptr;

    Runtime() {
        auto find = [](auto &function, const char *name) {
            function = reinterpret_cast<std::remove_reference_t<decltype(function)>>(dlsym(RTLD_DEFAULT, name));
        };
        find(parallel, "GOMP_parallel");
        find(thread, "omp_get_thread_num");
        find(threads, "omp_get_num_threads");
        find(barrier, "GOMP_barrier");
    }
    bool is_complete() const { return parallel && thread && threads && barrier; }
    /// Whether a region would have several threads here.
    bool has_threads() const {
        at::internal::lazy_init_num_threads();
        return at::get_num_threads() > 1 && !at::in_parallel_region() && is_complete();
    }
};

const Runtime &runtime() {
    static const Runtime value;
    return value;
}

struct Loop {
    int64_t count, grain;
    LoopBody body;
    const void *context;
    std::atomic_flag has_failed = ATOMIC_FLAG_INIT;
    std::exception_ptr error;

    /// What one of the runtime's threads does.
    void run() {
        int64_t threads = std::min<int64_t>(runtime().threads(), (count + grain - 1) / grain);
        int64_t share = (count + threads - 1) / threads, begin = runtime().thread() * share;
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
    if (count <= 0) return;
    grain = std::max<int64_t>(1, grain);
    if (count <= grain || !runtime().has_threads()) {
        body(context, 0, count);
        return;
    }
    Loop loop{count, grain, body, context};
    // 0 threads asked for means the runtime's own number: teams of changing size would end and start threads each time.
    runtime().parallel([](void *it) { static_cast<Loop *>(it)->run(); }, &loop, 0, 0);
    if (loop.error) std::rethrow_exception(loop.error);
}

void TeamMember::meet() const {
    if (count > 1) runtime().barrier();
}

void run_team(TeamBody body, const void *context) {
    if (!runtime().has_threads()) return body(context, {0, 1});
    struct Team {
        TeamBody body;
        const void *context;
    } team{body, context};
    runtime().parallel(
        [](void *it) {
            c10::ParallelGuard guard(true);
            const auto &team = *static_cast<const Team *>(it);
            team.body(team.context, {runtime().thread(), runtime().threads()});
        },
        &team, 0, 0);
}

}  // namespace lf

int lf_loop_threads(void) {
    std::atomic<int> shares{0};
    lf::parallel_for(at::get_num_threads(), 1, [&](int64_t, int64_t) { shares += 1; });
    return shares;
}
