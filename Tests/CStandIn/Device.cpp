// The stand-in as libtorch asks for it: one device with one stream, its allocator and its random streams.
#include "StandIn.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/detail/PrivateUse1HooksInterface.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

namespace stand_in {
namespace {

struct Guard final : c10::impl::DeviceGuardImplInterface {
    static c10::Stream stream() { return c10::Stream(c10::Stream::DEFAULT, device()); }

    c10::DeviceType type() const override { return device_type; }
    c10::Device exchangeDevice(c10::Device) const override { return device(); }
    c10::Device getDevice() const override { return device(); }
    void setDevice(c10::Device) const override {}
    void uncheckedSetDevice(c10::Device) const noexcept override {}
    c10::DeviceIndex deviceCount() const noexcept override { return 1; }

    c10::Stream getStream(c10::Device) const noexcept override { return stream(); }
    c10::Stream getDefaultStream(c10::Device) const override { return stream(); }
    c10::Stream getStreamFromGlobalPool(c10::Device, bool) const override { return stream(); }
    c10::Stream getNewStream(c10::Device, int) const override { return stream(); }
    c10::Stream exchangeStream(c10::Stream) const noexcept override { return stream(); }
    bool queryStream(const c10::Stream &) const override { return true; }
    void synchronizeStream(const c10::Stream &) const override { count_wait("stream"); }
    void synchronizeDevice(const c10::DeviceIndex) const override { count_wait("device"); }

    void record(void **, const c10::Stream &, const c10::DeviceIndex, const c10::EventFlag) const override {}
    void block(void *, const c10::Stream &) const override {}
    bool queryEvent(void *) const override { return true; }
    void destroyEvent(void *, const c10::DeviceIndex) const noexcept override {}
    void recordDataPtrOnStream(const c10::DataPtr &, const c10::Stream &) const override {}
};

/// A random stream of the device: a CPU's, under another device's name.
struct Generator final : c10::GeneratorImpl {
    at::Generator host;

    explicit Generator(at::Generator host) : GeneratorImpl(stand_in::device(), c10::DispatchKeySet(dispatch_key)), host(std::move(host)) {}

    void set_current_seed(uint64_t seed) override { host.set_current_seed(seed); }
    void set_offset(uint64_t offset) override { host.set_offset(offset); }
    uint64_t get_offset() const override { return host.get_offset(); }
    uint64_t current_seed() const override { return host.current_seed(); }
    uint64_t seed() override { return host.seed(); }
    void set_state(const c10::TensorImpl &state) override { host.unsafeGetGeneratorImpl()->set_state(state); }
    c10::intrusive_ptr<c10::TensorImpl> get_state() const override { return host.unsafeGetGeneratorImpl()->get_state(); }

  private:
    Generator *clone_impl() const override { return new Generator(host.clone()); }
};

at::Generator new_generator() { return at::make_generator<Generator>(at::make_generator<at::CPUGeneratorImpl>()); }

struct Hooks final : at::PrivateUse1HooksInterface {
    bool isBuilt() const override { return true; }
    bool isAvailable() const override { return true; }
    bool hasPrimaryContext(c10::DeviceIndex) const override { return true; }
    c10::DeviceIndex deviceCount() const override { return 1; }
    c10::DeviceIndex getCurrentDevice() const override { return 0; }
    const at::Generator &getDefaultGenerator(c10::DeviceIndex) const override {
        static auto *generator = new at::Generator(new_generator());
        return *generator;
    }
    at::Generator getNewGenerator(c10::DeviceIndex) const override { return new_generator(); }
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

at::Generator host_generator(const at::Generator &generator) {
    TORCH_CHECK(generator.device() == device(), "an operation of the device draws from a generator of ", generator.device());
    return static_cast<Generator *>(generator.unsafeGetGeneratorImpl())->host;
}

}  // namespace stand_in
