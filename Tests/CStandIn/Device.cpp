// The stand-in as libtorch asks for it: devices with one stream each, their allocator and their random streams.
#include "StandIn.hpp"

#include <array>
#include <atomic>

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

namespace stand_in {
namespace {

constexpr c10::DeviceIndex device_count = 4;
thread_local c10::DeviceIndex current = 0;
std::array<std::atomic<int>, device_count> waiting;

struct Guard final : c10::impl::DeviceGuardImplInterface {
    static c10::Stream stream(c10::Device device) { return c10::Stream(c10::Stream::DEFAULT, device); }

    c10::DeviceType type() const override { return device_type; }
    c10::Device exchangeDevice(c10::Device next) const override {
        auto previous = device();
        setDevice(next);
        return previous;
    }
    c10::Device getDevice() const override { return device(); }
    void setDevice(c10::Device next) const override {
        TORCH_CHECK(next.index() < device_count, "there is no device ", next);
        if (next.has_index()) current = next.index();
    }
    void uncheckedSetDevice(c10::Device next) const noexcept override {
        if (next.has_index()) current = next.index();
    }
    c10::DeviceIndex deviceCount() const noexcept override { return device_count; }

    c10::Stream getStream(c10::Device device) const noexcept override { return stream(device); }
    c10::Stream getDefaultStream(c10::Device device) const override { return stream(device); }
    c10::Stream getStreamFromGlobalPool(c10::Device device, bool) const override { return stream(device); }
    c10::Stream getNewStream(c10::Device device, int) const override { return stream(device); }
    c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(device()); }
    void *getStreamNativeHandle(const c10::Stream) const override { return nullptr; }
    bool queryStream(const c10::Stream &) const override { return true; }
    void synchronizeStream(const c10::Stream &) const override { count_wait("stream"); }
    void synchronizeDevice(const c10::DeviceIndex) const override { count_wait("device"); }

    // An event is its device's number, counted from 1.
    void record(void **event, const c10::Stream &stream, const c10::DeviceIndex, const c10::EventFlag) const override {
        *event = reinterpret_cast<void *>(uintptr_t(stream.device_index()) + 1);
    }
    void block(void *, const c10::Stream &) const override {}
    bool queryEvent(void *event) const override { return waiting[reinterpret_cast<uintptr_t>(event) - 1] == 0; }
    void destroyEvent(void *, const c10::DeviceIndex) const noexcept override {}
    void recordDataPtrOnStream(const c10::DataPtr &, const c10::Stream &) const override {}
};

/// A random stream of the device: a CPU's, under another device's name.
struct Generator final : c10::GeneratorImpl {
    at::Generator host;

    Generator(at::Generator host, c10::DeviceIndex index)
        : GeneratorImpl(c10::Device(device_type, index), c10::DispatchKeySet(dispatch_key)), host(std::move(host)) {}

    void set_current_seed(uint64_t seed) override { host.set_current_seed(seed); }
    void set_offset(uint64_t offset) override { host.set_offset(offset); }
    uint64_t get_offset() const override { return host.get_offset(); }
    uint64_t current_seed() const override { return host.current_seed(); }
    uint64_t seed() override { return host.seed(); }
    void set_state(const c10::TensorImpl &state) override { host.unsafeGetGeneratorImpl()->set_state(state); }
    c10::intrusive_ptr<c10::TensorImpl> get_state() const override { return host.unsafeGetGeneratorImpl()->get_state(); }

  private:
    Generator *clone_impl() const override { return new Generator(host.clone(), device().index()); }
};

at::Generator new_generator(c10::DeviceIndex index) {
    return at::make_generator<Generator>(at::make_generator<at::CPUGeneratorImpl>(), index);
}

struct Hooks final : at::PrivateUse1HooksInterface {
    bool isBuilt() const override { return true; }
    bool isAvailable() const override { return true; }
    bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
    c10::DeviceIndex deviceCount() const override { return device_count; }
    c10::DeviceIndex getCurrentDevice() const override { return current; }
    const at::Generator &getDefaultGenerator(c10::DeviceIndex index) const override {
        static auto *generators = [] {
            auto *all = new std::vector<at::Generator>;
            for (c10::DeviceIndex each = 0; each < device_count; ++each) all->push_back(new_generator(each));
            return all;
        }();
        return generators->at(index);
    }
    at::Generator getNewGenerator(c10::DeviceIndex index) const override { return new_generator(index); }
};

Guard guard;

/// Before main: libtorch counts devices once, at the first backward pass.
const bool is_registered = [] {
    c10::register_privateuse1_backend("stand_in");
    c10::impl::DeviceGuardImplRegistrar registrar(device_type, &guard);
    c10::SetAllocator(device_type, &memory());
    at::RegisterPrivateUse1HooksInterface(new Hooks);
    return true;
}();

}  // namespace

c10::Device device() { return c10::Device(device_type, current); }

void begin_waiting(c10::DeviceIndex index) { ++waiting[index]; }
void end_waiting(c10::DeviceIndex index) { --waiting[index]; }

at::Generator host_generator(const at::Generator &generator) {
    TORCH_CHECK(generator.device() == device(), "an operation of the device draws from a generator of ", generator.device());
    return static_cast<Generator *>(generator.unsafeGetGeneratorImpl())->host;
}

}  // namespace stand_in
