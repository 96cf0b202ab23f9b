// The same control loop in C++: a class that owns what an agent works in, and throws what the library says.
// Usage: control_loop agent.safetensors
#include "dreamstep.h"

#include <cinttypes>
#include <cstdio>
#include <exception>
#include <fstream>
#include <iterator>
#include <stdexcept>
#include <string>
#include <vector>

/// An agent in its loop, with its file, its model and its memory. They point to each other: it neither moves nor is copied.
class Agent {
public:
  explicit Agent(std::vector<char> file) : file_(std::move(file)) {
    // operator new aligns the bytes to more than the four that the weights need.
    const auto *bytes = reinterpret_cast<const uint8_t *>(file_.data());
    call(dreamstep_model_load, &model_, bytes, file_.size(), DREAMSTEP_BACKEND_AUTO);
    call(dreamstep_model_get_info, &model_, &info_);
    memory_.resize(dreamstep_memory_len(&info_.dims));
    call(dreamstep_self_test, &model_, memory_.data(), memory_.size());
    call(dreamstep_agent_new, &agent_, &model_, memory_.data(), memory_.size());
  }
  Agent(const Agent &) = delete;
  Agent &operator=(const Agent &) = delete;

  const dreamstep_model_info &info() const { return info_; }
  void act(const std::vector<float> &observation, std::vector<float> &action) {
    call(dreamstep_act, &agent_, observation.data(), observation.size(), action.data(), action.size());
  }
  void advance() { call(dreamstep_advance, &agent_); }
  uint64_t digest() const {
    uint64_t digest;
    call(dreamstep_digest, &agent_, &digest);
    return digest;
  }

private:
  template <typename Function, typename... Arguments> static void call(Function function, Arguments... arguments) {
    char message[256];
    if (function(arguments..., message, sizeof message) != DREAMSTEP_STATUS_OK) throw std::runtime_error(message);
  }

  std::vector<char> file_;
  std::vector<float> memory_;
  dreamstep_model model_;
  dreamstep_model_info info_;
  dreamstep_agent agent_;
};

int main(int argc, char **argv) try {
  std::ifstream file(argc == 2 ? argv[1] : "", std::ios::binary);
  if (!file) throw std::runtime_error("usage: control_loop agent.safetensors");
  Agent agent({std::istreambuf_iterator<char>(file), {}});
  std::printf("self-test passed on back end %s\n", dreamstep_backend_name(agent.info().backend));

  std::vector<float> observation(agent.info().dims.obs), action(agent.info().dims.action);
  observation.at(0) = 1.4f; // the torso's height, standing
  observation.at(1) = 1.0f; // and its orientation: upright
  for (int tick = 0; tick < 3; tick++) {
    agent.act(observation, action);
    // the command goes out here
    agent.advance();
    std::printf("tick %d: first torque %+.4f, state %016" PRIx64 "\n", tick, static_cast<double>(action.at(0)), agent.digest());
  }
} catch (const std::exception &error) {
  std::fprintf(stderr, "%s\n", error.what());
  return 1;
}
