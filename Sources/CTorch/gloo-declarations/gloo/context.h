// The few names of Gloo that libtorch's ProcessGroupGloo.hpp mentions. PyTorch's wheel carries Gloo compiled, but not its
// headers. Objects of these types are made, used and destroyed inside libtorch; here they are only pointed at.
#pragma once
#include <chrono>
#include <memory>
#include <string>
#include <vector>

namespace gloo {

class Context {
public:
    void setTimeout(std::chrono::milliseconds limit);
    void closeConnections();
};

namespace transport {
class Device;
class UnboundBuffer;
}  // namespace transport

namespace rendezvous {

/// The base of a class that libtorch derives; its members are declared so that the derivation parses.
class Store {
public:
    virtual ~Store();
    virtual void set(const std::string &key, const std::vector<char> &value) = 0;
    virtual std::vector<char> get(const std::string &key) = 0;
    virtual void wait(const std::vector<std::string> &keys) = 0;
    virtual void wait(const std::vector<std::string> &keys, const std::chrono::milliseconds &limit) = 0;
};

}  // namespace rendezvous
}  // namespace gloo
