// The stand-in's memory: two halves of one range of addresses. Tensors lie in the first, which nobody may touch, their bytes in the second.
#include "StandIn.hpp"

#include <algorithm>
#include <atomic>
#include <cstring>
#include <map>
#include <mutex>
#include <sys/mman.h>
#include <unistd.h>

namespace stand_in {
namespace {

constexpr size_t half = size_t(8) << 30;

/// Sizes in few steps, so that freed blocks fit again: at most a quarter is lost.
size_t rounded(size_t size) {
    size_t step = 64;
    while (step * 8 <= size) step *= 2;
    return (size + step - 1) / step * step;
}

class Memory final : public c10::DeviceAllocator {
  public:
    c10::DataPtr allocate(size_t size) override {
        void *address = size > 0 ? take(size) : nullptr;
        return {address, address, release, device()};
    }
    c10::DeleterFnPtr raw_deleter() const override { return release; }
    void copy_data(void *, const void *, size_t) const override { TORCH_CHECK(false, "the stand-in copies by operations alone"); }

    bool initialized() override { return true; }
    void emptyCache(c10::MempoolId_t = {0, 0}) override {}
    void recordStream(const c10::DataPtr &, c10::Stream) override {}
    c10::CachingDeviceAllocator::DeviceStats getDeviceStats(c10::DeviceIndex) override { return {}; }
    void resetAccumulatedStats(c10::DeviceIndex) override {}
    void resetPeakStats(c10::DeviceIndex) override {}
    std::pair<size_t, size_t> getMemoryInfo(c10::DeviceIndex) override {
        std::lock_guard guard(lock);
        return {capacity - std::min(capacity, live), capacity};
    }

    void set_capacity(size_t size) {
        std::lock_guard guard(lock);
        capacity = std::min(size, half);
    }
    size_t peak_bytes() {
        std::lock_guard guard(lock);
        return peak;
    }
    void reset_peak() {
        std::lock_guard guard(lock);
        peak = live;
    }

  private:
    std::mutex lock;
    char *base = nullptr;
    size_t used = 0, live = 0, peak = 0, capacity = size_t(2) << 30;
    std::map<size_t, std::vector<void *>> free_blocks;
    std::map<void *, size_t> sizes;

    void *take(size_t size) {
        std::lock_guard guard(lock);
        if (!base) reserve();
        size_t block_size = rounded(size);
        TORCH_CHECK_WITH(OutOfMemoryError, live + block_size <= capacity, "the stand-in has no ", size, " bytes left");
        auto &blocks = free_blocks[block_size];
        void *address;
        if (!blocks.empty()) {
            address = blocks.back();
            blocks.pop_back();
        } else {
            TORCH_CHECK_WITH(OutOfMemoryError, used + block_size <= half, "the stand-in's addresses are used up");
            address = base + used;
            used += block_size;
            sizes[address] = block_size;
        }
        live += block_size;
        peak = std::max(peak, live);
        // Fresh memory is not zero: as floating-point numbers these bytes are NaN.
        std::memset(static_cast<char *>(address) + half, 0xFF, block_size);
        return address;
    }

    void reserve() {
        void *range = mmap(nullptr, 2 * half, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        TORCH_CHECK(range != MAP_FAILED, "no addresses for the stand-in");
        base = static_cast<char *>(range);
        TORCH_CHECK(mprotect(base + half, half, PROT_READ | PROT_WRITE) == 0, "no memory for the stand-in");
    }

    void put_back(void *address) {
        std::lock_guard guard(lock);
        size_t size = sizes.at(address);
        live -= size;
        free_blocks[size].push_back(address);
    }

    static void release(void *address);
};

Memory &the_memory() {
    static auto *memory = new Memory;  // never destroyed: tensors may outlive everything
    return *memory;
}

void Memory::release(void *address) {
    if (address) the_memory().put_back(address);
}

struct Counts {
    std::mutex lock;
    stand_in_counts sums{};
    std::map<std::string, int64_t> operations;
    std::string text;
};

Counts &counts() {
    static auto *counts = new Counts;
    return *counts;
}

template <typename Change> void change(const std::string &name, Change &&body) {
    auto &all = counts();
    std::lock_guard guard(all.lock);
    body(all.sums);
    if (!name.empty()) ++all.operations[name];
}

}  // namespace

c10::DeviceAllocator &memory() { return the_memory(); }
void *host_address(void *address) { return address ? static_cast<char *>(address) + half : nullptr; }

void count_launch(const std::string &operation) {
    change(operation, [](auto &sums) { ++sums.launches; });
}
void count_wait(const std::string &reason) {
    change("wait: " + reason, [](auto &sums) { ++sums.waits; });
}
void count_unordered(const std::string &operation) {
    change("unordered: " + operation, [](auto &sums) { ++sums.unordered; });
}
void count_copy_to_device(int64_t bytes) {
    change("copy to the device", [=](auto &sums) { sums.bytes_to_device += bytes; });
}
void count_copy_to_host(int64_t bytes) {
    change("copy to the host", [=](auto &sums) { sums.bytes_to_host += bytes; });
}

}  // namespace stand_in

using namespace stand_in;

static std::mutex users;
void stand_in_lock(void) { users.lock(); }
void stand_in_unlock(void) { users.unlock(); }

stand_in_counts stand_in_read(void) {
    auto &all = counts();
    std::lock_guard guard(all.lock);
    all.sums.peak_bytes = static_cast<int64_t>(the_memory().peak_bytes());
    return all.sums;
}

void stand_in_reset(void) {
    auto &all = counts();
    std::lock_guard guard(all.lock);
    all.sums = {};
    all.operations.clear();
    the_memory().reset_peak();
}

const char *stand_in_operations(void) {
    auto &all = counts();
    std::lock_guard guard(all.lock);
    std::vector<std::pair<int64_t, std::string>> sorted;
    for (const auto &[name, count] : all.operations) sorted.push_back({-count, name});
    std::sort(sorted.begin(), sorted.end());
    all.text.clear();
    for (const auto &[count, name] : sorted) all.text += name + "\t" + std::to_string(-count) + "\n";
    return all.text.c_str();
}

void stand_in_set_capacity(int64_t bytes) { the_memory().set_capacity(static_cast<size_t>(bytes)); }

bool stand_in_memory_is_closed(void) {
    auto block = the_memory().allocate(64);
    int ends[2];
    if (pipe(ends) != 0) return false;
    // The system looks whether it may read for us, and says so instead of ending the process.
    bool is_read = write(ends[1], block.get(), 1) == 1;
    close(ends[0]);
    close(ends[1]);
    return !is_read;
}
