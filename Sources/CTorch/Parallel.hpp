// Loops over libtorch's own threads.
#pragma once
#include <algorithm>
#include <cstdint>
#include <type_traits>

namespace lf {

/// One thread's share of a loop: calls back with `[begin, end)`.
using LoopBody = void (*)(const void *context, int64_t begin, int64_t end);

/// Splits `[0, count)` evenly among libtorch's threads, each of which gets at least `grain` (but for the last); exceptions reach the caller.
void parallel_loop(int64_t count, int64_t grain, LoopBody body, const void *context);

/// `body(begin, end)` on disjoint ranges that cover `[0, count)`.
///
/// libtorch's `at::parallel_for` is a template whose threads exist only in code that the compiler built for OpenMP; in this code it would be a
/// plain loop. This one enters the OpenMP runtime that libtorch loads, so both share their threads.
template <typename Body> void parallel_for(int64_t count, int64_t grain, const Body &body) {
    parallel_loop(
        count, grain, [](const void *context, int64_t begin, int64_t end) { (*static_cast<const Body *>(context))(begin, end); }, &body);
}

}  // namespace lf
