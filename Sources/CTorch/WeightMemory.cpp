// Where a model that answers has its weights.
#include "Decoding.h"
#include "Internal.hpp"
#include "Parallel.hpp"

#include <memory>
#include <sys/mman.h>

using namespace lf;

lf_status lf_lay_together(const lf_tensor_t *tensors, size_t count, lf_tensor_t *outs) {
    return guarded([&] {
        constexpr size_t line = 64, page = 2 << 20;
        std::vector<at::Tensor> sources;
        std::vector<size_t> offsets;
        size_t size = 0;
        for (size_t i = 0; i < count; ++i) {
            sources.push_back(tensors[i]->value.detach().contiguous());
            TORCH_CHECK(sources.back().is_cpu(), "only tensors on the CPU are laid together");
            offsets.push_back(size);
            size += (sources.back().nbytes() + line - 1) / line * line;
        }
        size = std::max(size, line);
        auto *start = static_cast<char *>(mmap(nullptr, size + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0));
        if (start == MAP_FAILED) throw std::bad_alloc();
        std::shared_ptr<char> region(start, [size, page](char *it) { munmap(it, size + page); });
        auto *first = reinterpret_cast<char *>((reinterpret_cast<uintptr_t>(start) + page - 1) / page * page);
        madvise(first, size, MADV_HUGEPAGE);  // where the system has none, small ones do
        for (size_t i = 0; i < count; ++i) {
            auto *to = first + offsets[i];
            const auto *from = static_cast<const char *>(sources[i].const_data_ptr());
            parallel_for(sources[i].nbytes(), page, [&](int64_t begin, int64_t end) { memcpy(to + begin, from + begin, end - begin); });
            outs[i] = adopt(at::from_blob(to, sources[i].sizes(), [region](void *) {}, sources[i].options().requires_grad(false)));
        }
    });
}
